//! The driver over mio: registrations in, events out. This is the only file that names mio.
//!
//! # Contents of a driver module
//!
//! `lib.rs` selects one driver module at compile time: `driver.rs`, or `driver_sim.rs` under
//! `--cfg reactor_sim`. Each provides:
//!
//! - `Driver::new(events_per_poll, &Clock) -> io::Result<(Driver, Registry, Notifier)>`: one epoll
//!   instance, or a model of it. Each of the three values works for as long as it exists, whichever
//!   of the others are dropped.
//! - `Driver::wait(&mut self, timeout: Option<Duration>) -> io::Result<()>`: waits, and replaces
//!   the batch with at most `events_per_poll` events. It returns after an event, a notification or
//!   the timeout, and may return early with an empty batch. `None` waits without a limit. After an
//!   error the batch is empty. `Driver` is `Send`, so that a sibling can wait in a shard's place.
//! - `Driver::wait_precisely(&mut self)`: makes later waits end at their timeout, and not at the
//!   next whole millisecond.
//! - `Driver::events(&self) -> impl Iterator<Item = OsEvent>`: the batch of the last wait.
//! - `OsEvent { token: Token, ready: Ready }`: a `Copy` value. The token is that of the
//!   descriptor's last `add` or `modify`. A batch may also contain [`Token::NOTIFIER`].
//! - `Registry`: implements [`Ctl`] for any thread, also during a wait. Events are edge-triggered:
//!   a change is reported once. `add` and `modify` also report the states that are true at the
//!   call. Only an exclusive interest is level-triggered (`sys/exclusive.rs`). Errors and closed
//!   states are reported for every interest. `add` fails with EEXIST if the descriptor is already
//!   registered; `modify` and `delete` fail with ENOENT if it is not.
//! - `SIBLINGS_FETCH: bool`: true if `Registry::fetch(&self, &mut Fetched) -> io::Result<()>`
//!   works. It replaces the content of a `Fetched` with events that no wait has returned yet, in
//!   any thread and also during a wait. A notification that it fetches ends no wait any more.
//! - `Notifier`: implements [`Notify`] for any thread. A notification makes the current wait
//!   return, or else the next one.
//!
//! `driver_sim.rs` also provides the `Clock` of a simulation. The clock of the real driver is in
//! `time/clock.rs`.
//!
//! # This driver
//!
//! One thread at a time waits on a [`Driver`]: the holder of its shard's poll lock. The
//! [`Registry`] is the same epoll instance through a descriptor of its own, for all threads that
//! register. The [`Notifier`] is an eventfd. `io.rs` decides the meaning of an event for a
//! registration. Tests are those of the modules that use it.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use mio::unix::SourceFd;

use crate::owners::Ctl;
use crate::shard::parker::Notify;
use crate::time::Clock;
use crate::token::Token;
use crate::{Interest, Ready};

/// The longest single wait, which every system accepts. A shard with a longer timeout wakes once in
/// between.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// True if a thread can fetch events while another one waits on the same instance.
pub(crate) const SIBLINGS_FETCH: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The maximum number of events that a sibling fetches at once.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FETCH_MAX: usize = 128;

/// One shard's epoll instance and its batch of events.
#[derive(Debug)]
pub(crate) struct Driver {
    poll: mio::Poll,
    events: mio::Events,
    /// Set if a wait must end more precisely than at a whole millisecond.
    waits_precisely: bool,
}

/// An event that the system reported for one registration, or for the notifier
/// ([`Token::NOTIFIER`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OsEvent {
    pub(crate) token: Token,
    /// The states as the system reported them. If an error is among them, the closed states may be
    /// wrong (see `io.rs`).
    pub(crate) ready: Ready,
}

/// Registers descriptors with a shard's epoll instance, from any thread.
#[derive(Debug)]
pub(crate) struct Registry(mio::Registry);

/// Ends a shard's wait.
#[derive(Debug)]
pub(crate) struct Notifier(mio::Waker);

impl Driver {
    /// Creates an epoll instance whose waits return at most `events_per_poll` events. Waits use the
    /// system's clock. Only the simulated driver uses the clock argument.
    ///
    /// # Errors
    ///
    /// Returns the system's error. The driver needs three descriptors.
    pub(crate) fn new(
        events_per_poll: usize,
        _clock: &Clock,
    ) -> io::Result<(Self, Registry, Notifier)> {
        let poll = mio::Poll::new()?;
        let registry = Registry(poll.registry().try_clone()?);
        let notifier = Notifier(mio::Waker::new(poll.registry(), to_mio(Token::NOTIFIER))?);
        let events = mio::Events::with_capacity(events_per_poll);
        let driver = Self {
            poll,
            events,
            waits_precisely: false,
        };
        Ok((driver, registry, notifier))
    }

    /// Makes waits with a timeout end at that time and not at the next whole millisecond. Each of
    /// them costs another system call.
    pub(crate) fn wait_precisely(&mut self) {
        self.waits_precisely = true;
    }

    /// Sleeps until the epoll instance has an event, or until the end of the timeout. epoll_wait
    /// counts milliseconds; ppoll counts nanoseconds, and an epoll descriptor can be polled.
    #[cold]
    fn sleep(&self, timeout: Duration) -> io::Result<()> {
        let Ok(timeout) = rustix::event::Timespec::try_from(timeout) else {
            return Ok(());
        };
        let epoll = self.poll.registry();
        let mut asked = [rustix::event::PollFd::new(
            epoll,
            rustix::event::PollFlags::IN,
        )];
        match rustix::event::poll(&mut asked, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for an event, a notification, or the end of the timeout, and replaces the batch.
    /// `None` waits without a limit. It may return early with an empty batch.
    ///
    /// # Errors
    ///
    /// Returns the system's error. The batch is empty then.
    #[inline(always)]
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut timeout = timeout.map(|timeout| timeout.min(WAIT_MAX));
        if self.waits_precisely {
            if let Some(time) = timeout.filter(|time| !time.is_zero()) {
                self.sleep(time)?;
                timeout = Some(Duration::ZERO);
            }
        }
        match self.poll.poll(&mut self.events, timeout) {
            // A signal interrupted the wait: the turn gets an empty batch and checks the time
            // again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            done => done,
        }
    }

    /// Returns the batch, including a notification.
    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.events.iter().map(|event| OsEvent {
            token: from_mio(event.token()),
            ready: ready(event),
        })
    }
}

impl Registry {
    /// Fetches events in the place of the thread that waits, without waiting.
    ///
    /// # Errors
    ///
    /// Returns the system's error. Nothing is fetched then.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn fetch(&self, into: &mut Fetched) -> io::Result<()> {
        let events = &mut into.0;
        events.clear();
        // Without an effect unless the batch had no room from the start.
        events.reserve(FETCH_MAX);
        let now = rustix::event::Timespec::default();
        rustix::event::epoll::wait(&self.0, rustix::buffer::spare_capacity(events), Some(&now))?;
        Ok(())
    }

    /// Fetches nothing: mio has no such call.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn fetch(&self, _into: &mut Fetched) -> io::Result<()> {
        Ok(())
    }
}

/// Events that a sibling fetched.
#[derive(Default)]
pub(crate) struct Fetched(
    #[cfg(any(target_os = "linux", target_os = "android"))] Vec<rustix::event::epoll::Event>,
);

impl Fetched {
    /// Returns an empty batch with room for a whole fetch, so that no fetch allocates.
    pub(crate) fn with_room() -> Self {
        Self(
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Vec::with_capacity(FETCH_MAX),
        )
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Fetched {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if a notification is among the events.
    pub(crate) fn has_notice(&self) -> bool {
        self.events().any(|event| event.token == Token::NOTIFIER)
    }

    /// Returns the events, including a notification.
    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        self.0.iter().map(|event| OsEvent {
            token: Token::from_bits(event.data.u64()),
            ready: ready_of(event.flags),
        })
    }
}

/// Returns the states that mio reads from these flags.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn ready_of(flags: rustix::event::epoll::EventFlags) -> Ready {
    use rustix::event::epoll::EventFlags as Flags;
    let has = |bits| flags.contains(bits);
    set_of([
        (flags.intersects(Flags::IN | Flags::PRI), Ready::READABLE),
        (has(Flags::OUT), Ready::WRITABLE),
        (
            has(Flags::HUP) || has(Flags::IN | Flags::RDHUP),
            Ready::READ_CLOSED,
        ),
        (
            has(Flags::HUP) || has(Flags::OUT | Flags::ERR) || flags == Flags::ERR,
            Ready::WRITE_CLOSED,
        ),
        (has(Flags::PRI), Ready::PRIORITY_BIT),
        (has(Flags::ERR), Ready::ERROR),
    ])
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.events()).finish()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Fetched {
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn has_notice(&self) -> bool {
        false
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = OsEvent> + '_ {
        std::iter::empty()
    }
}

impl Ctl for Registry {
    fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if interest.is_exclusive() {
            // mio has no such flag. Its events carry the token as the number given here.
            let epoll = std::os::fd::AsRawFd::as_raw_fd(&self.0);
            return crate::sys::add_exclusive(epoll, fd, token.to_bits());
        }
        self.0
            .register(&mut SourceFd(&fd), to_mio(token), interests(interest))
    }

    fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if interest.is_exclusive() {
            // The kernel cannot modify an exclusive entry.
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
        // If a signal interrupts the write, nothing was written, and the shard would stay asleep in
        // front of its work. Linux does not interrupt a non-blocking write, but a layer between it
        // and the process, such as a sandbox, may do so.
        let written = loop {
            match self.0.wake() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written,
            }
        };
        // An eventfd write fails only if the counter is full, which mio handles.
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

/// Returns the states that almost no event has.
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
    // Errors are always reported and cannot be requested. An interest in errors alone needs some
    // other interest beside it: this is the rarest one.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const RAREST: mio::Interest = mio::Interest::PRIORITY;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const RAREST: mio::Interest = mio::Interest::READABLE;
    interests.unwrap_or(RAREST)
}

#[cfg(all(
    test,
    not(reactor_loom),
    any(target_os = "linux", target_os = "android")
))]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::token::SlotId;

    /// Returns the states that a wait and a fetch report for a descriptor in the same state.
    fn both(prepare: impl Fn(&UnixStream, UnixStream) -> Option<UnixStream>) -> [Ready; 2] {
        let (near, far) = UnixStream::pair().unwrap();
        let _far = prepare(&near, far);
        let (mut driver, registry, notifier) = Driver::new(8, &Clock::start()).unwrap();
        let token = Token::new(SlotId::new(0, 7), 3);
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.add(near.as_raw_fd(), token, interest).unwrap();
        driver.wait(Some(Duration::ZERO)).unwrap();
        let of = |event: OsEvent| (event.token == token).then_some(event.ready);
        let waited = driver.events().find_map(of).unwrap();
        registry.modify(near.as_raw_fd(), token, interest).unwrap();
        notifier.notify();
        let mut fetched = Fetched::default();
        registry.fetch(&mut fetched).unwrap();
        assert!(fetched.has_notice());
        [waited, fetched.events().find_map(of).unwrap()]
    }

    #[test]
    fn a_fetch_reports_what_a_wait_reports() {
        use std::io::Write;
        use std::net::Shutdown::{Both, Write as Writing};

        let [waited, fetched] = both(|_, far| Some(far));
        assert_eq!((waited, fetched), (Ready::WRITABLE, Ready::WRITABLE));
        let [waited, fetched] = both(|_, mut far| {
            far.write_all(b"x").unwrap();
            Some(far)
        });
        assert_eq!((waited, fetched), (waited, waited));
        assert!(fetched.is_readable() && fetched.is_writable());
        let [waited, fetched] = both(|_, far| {
            far.shutdown(Writing).unwrap();
            Some(far)
        });
        assert_eq!(waited, fetched);
        assert!(fetched.is_read_closed() && !fetched.is_write_closed());
        let [waited, fetched] = both(|near, _far| {
            near.shutdown(Both).unwrap();
            None
        });
        assert_eq!(waited, fetched);
        assert!(fetched.is_read_closed() && fetched.is_write_closed());
    }

    #[test]
    fn flags_mean_what_mio_reads_from_them() {
        use rustix::event::epoll::EventFlags as Flags;
        for (flags, ready) in [
            (Flags::ERR, Ready::ERROR | Ready::WRITE_CLOSED),
            (
                Flags::ERR | Flags::OUT,
                Ready::ERROR | Ready::WRITABLE | Ready::WRITE_CLOSED,
            ),
            (Flags::PRI, Ready::READABLE | Ready::PRIORITY_BIT),
            (Flags::RDHUP, Ready::EMPTY),
        ] {
            assert_eq!(ready_of(flags), ready, "{flags:?}");
        }
    }
}
