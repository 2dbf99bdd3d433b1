//! The only file that names mio: registrations in, events out.
//!
//! A shard owns one [`Driver`] and is the only one to wait on it. The [`Registry`] is the same epoll instance through a
//! descriptor of its own, for everybody who registers, so it works for as long as anybody has it. The [`Notifier`] is an
//! eventfd that makes the wait return. What an event means for a registration is decided in `io.rs`. Tests at the end.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use mio::unix::SourceFd;

use crate::owners::Ctl;
use crate::shard::parker::Notify;
use crate::time::Clock;
use crate::token::Token;
use crate::{Interest, Ready};

/// The longest single wait. A shard that is told to sleep longer wakes once in between; every system takes this much.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One shard's epoll instance and its batch of events.
#[derive(Debug)]
pub(crate) struct Driver {
    poll: mio::Poll,
    events: mio::Events,
}

/// What the system reported of one registration, or of the notifier ([`Token::NOTIFIER`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OsEvent {
    pub(crate) token: Token,
    /// As the system said it. With an error among it, the closed states may not be true (see `io.rs`).
    pub(crate) ready: Ready,
}

/// The door to a shard's epoll instance for all threads.
#[derive(Debug)]
pub(crate) struct Registry(mio::Registry);

/// Ends a shard's wait.
#[derive(Debug)]
pub(crate) struct Notifier(mio::Waker);

impl Driver {
    /// Makes an epoll instance whose waits return at most `events_per_poll` events. They last by the system's clock; it is the
    /// simulated driver that has to be told which.
    ///
    /// # Errors
    ///
    /// The system's: three descriptors are needed.
    pub(crate) fn new(
        events_per_poll: usize,
        _clock: &Clock,
    ) -> io::Result<(Self, Registry, Notifier)> {
        let poll = mio::Poll::new()?;
        let registry = Registry(poll.registry().try_clone()?);
        let notifier = Notifier(mio::Waker::new(poll.registry(), to_mio(Token::NOTIFIER))?);
        let events = mio::Events::with_capacity(events_per_poll);
        Ok((Self { poll, events }, registry, notifier))
    }

    /// Replaces the batch: waits for an event, a notification, or until the time is over; `None` waits without end. It may
    /// return early and with nothing.
    ///
    /// # Errors
    ///
    /// The system's. The batch is empty then.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| timeout.min(WAIT_MAX));
        match self.poll.poll(&mut self.events, timeout) {
            // A signal: an empty batch, for the turn to look at the time again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            done => done,
        }
    }

    /// The batch, a notification among it.
    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.events.iter().map(|event| OsEvent {
            token: from_mio(event.token()),
            ready: ready(event),
        })
    }
}

impl Ctl for Registry {
    fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if interest.is_exclusive() {
            // mio has no such flag. Its events carry the token as the number that is given here.
            let epoll = std::os::fd::AsRawFd::as_raw_fd(&self.0);
            return crate::sys::add_exclusive(epoll, fd, token.to_bits());
        }
        self.0
            .register(&mut SourceFd(&fd), to_mio(token), interests(interest))
    }

    fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if interest.is_exclusive() {
            // The kernel modifies no exclusive entry.
            self.delete(fd)?;
            return self.add(fd, token, interest);
        }
        self.0
            .reregister(&mut SourceFd(&fd), to_mio(token), interests(interest))
    }

    fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.0.deregister(&mut SourceFd(&fd))
    }
}

impl Notify for Notifier {
    fn notify(&self) {
        // A write that a signal interrupts wrote nothing, and without it the shard sleeps on in front of its work. Linux
        // interrupts no write that does not block, but what stands between it and a process may.
        let written = loop {
            match self.0.wake() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written,
            }
        };
        // An eventfd write fails on a full counter only, which mio handles.
        debug_assert!(
            written.is_ok(),
            "the eventfd of a shard could not be written: {written:?}"
        );
    }
}

fn to_mio(token: Token) -> mio::Token {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "64-bit targets only, see token.rs"
    )]
    mio::Token(token.to_bits() as usize)
}

#[inline]
fn from_mio(token: mio::Token) -> Token {
    Token::from_bits(token.0 as u64)
}

#[inline]
fn ready(event: &mio::event::Event) -> Ready {
    let is_plain = !(event.is_error()
        || event.is_priority()
        || event.is_read_closed()
        || event.is_write_closed());
    let ready = set_of([
        (event.is_readable(), Ready::READABLE),
        (event.is_writable(), Ready::WRITABLE),
    ]);
    if is_plain {
        ready
    } else {
        ready | special_slow(event)
    }
}

/// What nearly no event says.
#[cold]
fn special_slow(event: &mio::event::Event) -> Ready {
    set_of([
        (event.is_read_closed(), Ready::READ_CLOSED),
        (event.is_write_closed(), Ready::WRITE_CLOSED),
        (event.is_priority(), Ready::PRIORITY_BIT),
        (event.is_error(), Ready::ERROR),
    ])
}

#[inline(always)]
fn set_of<const N: usize>(states: [(bool, Ready); N]) -> Ready {
    let mut set = Ready::EMPTY;
    for (is, state) in states {
        if is {
            set |= state;
        }
    }
    set
}

fn interests(interest: Interest) -> mio::Interest {
    let mut interests = None;
    let mut add = |asked: bool, one: mio::Interest| {
        if asked {
            interests = Some(interests.map_or(one, |others: mio::Interest| others.add(one)));
        }
    };
    add(interest.is_readable(), mio::Interest::READABLE);
    add(interest.is_writable(), mio::Interest::WRITABLE);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    add(interest.has_priority(), mio::Interest::PRIORITY);
    // Errors are always reported and cannot be asked for. Alone, they need something to stand beside: the rarest there is.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const RAREST: mio::Interest = mio::Interest::PRIORITY;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const RAREST: mio::Interest = mio::Interest::READABLE;
    interests.unwrap_or(RAREST)
}
