//! A registration of the program, and the guarantees for its user.

use std::future::Future;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::{fmt, io};

use asyncfd::{AsyncFd, Interest, Ready};
use reactor::is_shutdown_error;
use rustix::event::PollFlags;

use crate::descriptors::Pair;
use crate::step::Side;

/// A waker that records its wake.
#[derive(Default)]
pub struct Flag(AtomicBool);

impl Flag {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

type Waiting = Pin<Box<dyn Future<Output = io::Result<Ready>>>>;

/// A wait that is kept. It has the waker of its last poll.
pub struct Wait {
    future: Waiting,
    pub interest: Interest,
    pub flag: Arc<Flag>,
}

impl Wait {
    pub fn poll(&mut self) -> Poll<io::Result<Ready>> {
        self.flag = Arc::default();
        let waker = Waker::from(Arc::clone(&self.flag));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

pub struct Registered {
    pub fd: Arc<AsyncFd<RawFd>>,
    pub shard: usize,
    pub pair: Pair,
    pub interest: Interest,
    /// True if its number was closed by another part of the program: it may then lose events or be
    /// refused, but must not harm others.
    pub betrayed: bool,
    /// True for a direction that was cleared although it may be ready: its user can rely only on
    /// the next event.
    pub cleared: [bool; 2],
    /// True if there was nothing to read at the last check, and nothing has happened to its pair
    /// since.
    pub quiet: bool,
    /// The wakers of pending polls.
    pub armed: [Option<Arc<Flag>>; 2],
    pub waits: Vec<Wait>,
}

impl Registered {
    pub fn new(fd: AsyncFd<RawFd>, shard: usize, pair: Pair) -> Self {
        Self {
            fd: Arc::new(fd),
            shard,
            pair,
            interest: Interest::READABLE | Interest::WRITABLE,
            betrayed: false,
            cleared: [false; 2],
            quiet: false,
            armed: [None, None],
            waits: Vec::new(),
        }
    }

    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Drops the waits and returns the `AsyncFd`.
    pub fn alone(&mut self) -> &mut AsyncFd<RawFd> {
        self.waits.clear();
        Arc::get_mut(&mut self.fd).expect("its waits are over")
    }

    /// Ends the registration and returns its object.
    pub fn into_inner(mut self) -> RawFd {
        self.waits.clear();
        let fd = Arc::into_inner(self.fd).expect("its waits are over");
        fd.into_inner()
    }

    /// Polls a side with a new waker, which stays there if the poll is pending.
    pub fn poll(&mut self, side: Side) -> Poll<io::Result<Ready>> {
        let flag = Arc::<Flag>::default();
        let waker = Waker::from(Arc::clone(&flag));
        let cx = &mut Context::from_waker(&waker);
        let polled = match side {
            Side::Read => self.fd.poll_read_ready(cx),
            Side::Write => self.fd.poll_write_ready(cx),
        };
        let polled = polled.map_ok(|mut guard| {
            guard.retain_ready();
            guard.ready()
        });
        self.armed[side as usize] = polled.is_pending().then_some(flag);
        if polled.is_ready() {
            self.cleared[side as usize] = false;
        }
        polled
    }

    /// Clears the readiness, true or not, and keeps the polls.
    pub fn clear(&mut self, side: Side) {
        let wait = pin!(self.fd.ready(side.interest()));
        if let Poll::Ready(Ok(mut guard)) = wait.poll(&mut Context::from_waker(Waker::noop())) {
            guard.clear_ready();
            self.cleared[side as usize] = true;
        }
    }

    pub fn wait(&mut self, interest: Interest) {
        let fd = Arc::clone(&self.fd);
        let mut wait = Wait {
            future: Box::pin(async move {
                let mut guard = fd.ready(interest).await?;
                guard.retain_ready();
                Ok(guard.ready())
            }),
            interest,
            flag: Arc::default(),
        };
        if wait.poll().is_pending() {
            self.waits.push(wait);
        }
    }

    /// Returns true if the kernel's state of a side must have been reported.
    pub fn owes(&self, side: Side, kernel: PollFlags) -> bool {
        asks(self.interest, side) && !self.cleared[side as usize] && is_ready(side, kernel)
    }

    /// Checks a side whose events have all been published; `owed` means that it is ready.
    pub fn look(&mut self, side: Side, owed: bool) -> Result<(), &'static str> {
        let mut waits = self.waits.iter();
        if owed && waits.any(|wait| asks(wait.interest, side) && !wait.flag.is_set()) {
            return Err("a wait was not woken");
        }
        let armed = self.armed[side as usize].take();
        let slept = armed.as_ref().is_some_and(|flag| !flag.is_set());
        match self.poll(side) {
            Poll::Ready(Err(error)) => panic!("{error}: {self:?}"),
            Poll::Ready(Ok(_)) if slept => {
                self.armed[side as usize] = armed;
                Err("ready, and who polled was not woken")
            }
            Poll::Pending if owed => Err("ready, and not reported"),
            _ => Ok(()),
        }
    }

    /// Checks that, after the reactor's shutdown, every waiter was woken and gets the shutdown
    /// error.
    pub fn look_after_the_end(&mut self) {
        let armed = self.armed.iter().flatten();
        let waits = self.waits.iter().map(|wait| &wait.flag);
        assert!(
            armed.chain(waits).all(|flag| flag.is_set()),
            "{self:?} sleeps"
        );
        let waits = std::mem::take(&mut self.waits).into_iter();
        let waits = waits.map(|mut wait| wait.poll());
        let polls = Side::BOTH.map(|side| self.poll(side));
        for polled in waits.chain(polls) {
            assert!(matches!(polled, Poll::Ready(Err(error)) if is_shutdown_error(&error)));
        }
    }
}

fn asks(interest: Interest, side: Side) -> bool {
    match side {
        Side::Read => interest.is_readable(),
        Side::Write => interest.is_writable(),
    }
}

pub fn is_ready(side: Side, kernel: PollFlags) -> bool {
    kernel.intersects(match side {
        Side::Read => PollFlags::IN | PollFlags::RDHUP | PollFlags::HUP,
        Side::Write => PollFlags::OUT | PollFlags::HUP,
    })
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("number", &self.number())
            .field("shard", &self.shard)
            .field("interest", &self.interest)
            .field("cleared", &self.cleared)
            .finish_non_exhaustive()
    }
}
