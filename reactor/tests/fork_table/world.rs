//! The parent's objects at the fork, and the effects that a call in the child may have.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reactor::time::{Sleep, sleep};
use reactor::{
    AbortHandle, Handle, Interest, JoinHandle, Placement, Reactor, Ready, ReadyEvent, Registration,
    ShardId,
};

use crate::support::{self, reactor, receive, total};

pub(crate) const READ: Interest = Interest::READABLE;
pub(crate) const WRITE: Interest = Interest::WRITABLE;

/// The effect of a call in the child. The texts of the table begin with these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Works,
    Panics,
    Unsupported,
    Nothing,
    /// The call did something else, or hung.
    Wrong,
}

impl Outcome {
    pub(crate) const ALL: [Self; 4] = [Self::Works, Self::Panics, Self::Unsupported, Self::Nothing];

    pub(crate) fn of_text(text: &str) -> Self {
        let starts = |outcome: &Self| text.starts_with(outcome.words());
        *Self::ALL
            .iter()
            .find(|outcome| starts(outcome))
            .unwrap_or_else(|| panic!("{text}"))
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Panics => "panics",
            Self::Unsupported => "error `Unsupported`",
            Self::Nothing => "does nothing",
            Self::Wrong => unreachable!("no row says so"),
        }
    }

    pub(crate) fn works(really: bool) -> Self {
        if really { Self::Works } else { Self::Wrong }
    }

    pub(crate) fn of<T>(result: io::Result<T>) -> Self {
        match result {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Self::Unsupported,
            _ => Self::Wrong,
        }
    }

    pub(crate) fn of_polled<T>(polled: Poll<io::Result<T>>) -> Self {
        match polled {
            Poll::Ready(result) => Self::of(result),
            Poll::Pending => Self::Wrong,
        }
    }
}

/// The parent's objects at the fork.
pub(crate) struct World {
    pub(crate) reactor: Reactor,
    /// The registration of a socket that is writable, and whose peer has sent nothing.
    pub(crate) registration: Registration,
    /// A wait that has begun, on another registration.
    pub(crate) wait: Pin<Box<dyn Future<Output = io::Result<ReadyEvent>> + Send + Sync>>,
    pub(crate) unregistered: UnixStream,
    /// The sockets of the two registrations.
    _sockets: [UnixStream; 2],
    pub(crate) pending: JoinHandle<()>,
    pub(crate) abort: AbortHandle,
    pub(crate) finished: JoinHandle<u32>,
    /// The waker of `pending`.
    pub(crate) waker: Waker,
    /// One armed on a shard, and one from this thread.
    pub(crate) sleeps: [Sleep; 2],
}

impl World {
    pub(crate) fn new() -> Self {
        let reactor = reactor(1);
        let handle = reactor.handle();
        let (near, unregistered) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let other = near.try_clone().unwrap();
        let register = |source: &UnixStream| {
            Registration::new(handle, Placement::Hash, source, READ | WRITE, Ready::EMPTY).unwrap()
        };
        let registration = register(&near);
        let waiting: &'static Registration = Box::leak(Box::new(register(&other)));
        let mut wait: Pin<Box<dyn Future<Output = _> + Send + Sync>> =
            Box::pin(waiting.ready(READ));
        assert!(poll(&mut wait).is_pending());
        let (sender, wakers) = channel();
        let pending = handle.spawn(std::future::poll_fn(move |cx| {
            let _ = sender.send(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let waker = receive(&wakers, "the waker of a task");
        let finished = handle.spawn(async { 7 });
        support::eventually("a task ends", || finished.is_finished());
        let far = || sleep(Duration::from_secs(3_600));
        let (sender, sleeps) = channel();
        let on_shard = handle.spawn(async move {
            let mut wait = far();
            assert!(poll(&mut wait).is_pending());
            sender.send(wait).unwrap();
        });
        reactor.block_on(on_shard).unwrap();
        let elsewhere = {
            let _entered = reactor.enter();
            let mut wait = far();
            assert!(poll(&mut wait).is_pending());
            wait
        };
        reactor.block_on(registration.writable()).unwrap();
        Self {
            abort: pending.abort_handle(),
            registration,
            wait,
            unregistered,
            _sockets: [near, other],
            pending,
            finished,
            waker,
            sleeps: [receive(&sleeps, "a sleep"), elsewhere],
            reactor,
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.reactor.handle()
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.handle().shards().next().unwrap()
    }

    /// Runs `does`, which must not reach the parent. It could reach it only through the eventfd of
    /// its shard.
    pub(crate) fn reaching_nobody(&self, does: impl FnOnce()) -> Outcome {
        let written = || total(self.handle(), |shard| shard.notifies);
        let before = written();
        does();
        if written() == before {
            Outcome::Nothing
        } else {
            Outcome::Wrong
        }
    }
}

pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
