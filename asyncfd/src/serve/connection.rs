//! A connection's handler as a task: its context, its start, and its end.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;
use reactor::{Handle, ShardId, is_shutdown_error, spawn_local};

use super::state::{Listed, Part, Permit, SERVES, Shared};
use super::stats::Ended;
use super::transport::{Home, Transport};

/// The context of a connection: its peer, its shard, and the server's drain.
pub struct Connection<T: Transport> {
    shared: Arc<Shared>,
    part: Arc<Part>,
    peer: T::Address,
}

impl<T: Transport> Connection<T> {
    /// Returns the address of the peer.
    pub fn peer(&self) -> &T::Address {
        &self.peer
    }

    /// Returns the shard that the server gave this connection to.
    pub fn shard(&self) -> ShardId {
        self.part.shard
    }

    #[cfg(feature = "http")]
    pub(super) fn part(&self) -> &Arc<Part> {
        &self.part
    }

    /// Returns true once the server drains: it accepts nothing more, and this connection should end
    /// after the request that is under way.
    ///
    /// The connection's task is woken when the drain begins. So a `poll` function of this task may
    /// call this only when it has nothing else to do.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.part.phase() != SERVES
    }

    /// Returns the time at which the drain cuts connections off, or `None` if no drain runs or it
    /// has no deadline.
    pub fn drain_deadline(&self) -> Option<Instant> {
        self.shared.deadline().flatten()
    }

    /// Waits until the server drains; see [`is_draining`](Self::is_draining).
    ///
    /// The future is `Send` and holds nothing of this context, so it can be given to other tasks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: during the drain, a new future completes at once.
    pub fn draining(&self) -> Draining {
        Draining(Listed::new(Arc::clone(&self.part)))
    }
}

impl<T: Transport> Clone for Connection<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            part: Arc::clone(&self.part),
            peer: self.peer.clone(),
        }
    }
}

impl<T: Transport> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("shard", &self.part.shard)
            .finish_non_exhaustive()
    }
}

/// A wait for the drain of a server; made by [`Connection::draining`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Draining(Listed);

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.list(cx);
        if self.0.is_draining() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// The output of a connection's handler: nothing, a result, or a type of your own.
///
/// If the type holds the stream, the stream closes after the connection has left the counters.
///
/// An error counts the connection as failed, unless it is the reactor's shutdown error
/// ([`is_shutdown_error`]).
pub trait Outcome {
    /// Returns the way in which the connection ended.
    fn ended(&self) -> Ended;
}

impl Outcome for () {
    fn ended(&self) -> Ended {
        Ended::Finished
    }
}

impl<T, E: 'static> Outcome for Result<T, E> {
    fn ended(&self) -> Ended {
        match self {
            Ok(_) => Ended::Finished,
            Err(error) => match (error as &dyn Any).downcast_ref() {
                Some(error) if is_shutdown_error(error) => Ended::CutOff,
                _ => Ended::Failed,
            },
        }
    }
}

pin_project! {
    /// A connection's task.
    ///
    /// The field `permit` comes first, so it is given back before the socket closes. A peer that
    /// sees the close and connects again is then not refused because of its own old connection.
    struct Served<F> {
        permit: Permit,
        #[pin]
        handler: F,
    }
}

impl<F: Future<Output: Outcome>> Future for Served<F> {
    type Output = ();

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.permit.is_cut(cx) {
            return Poll::Ready(());
        }
        this.handler
            .poll(cx)
            .map(|outcome| this.permit.end(outcome.ended()))
    }
}

/// A connection on its way from the shard that accepted it to the one that serves it.
pub(super) struct Accepted<T: Transport> {
    pub(super) shared: Arc<Shared>,
    pub(super) permit: Permit,
    pub(super) stream: T::Accepted,
    pub(super) peer: T::Address,
}

impl<T: Transport> Accepted<T> {
    /// Registers the stream on the current shard and calls the handler. Returns `None` if the
    /// system refused to register it, or if the handler panicked.
    fn call<F>(self, handler: impl FnOnce(T::Stream, Connection<T>) -> F) -> Option<Served<F>> {
        let Self {
            shared,
            mut permit,
            stream,
            peer,
        } = self;
        let home = Home {
            timeouts: shared.timeouts,
            part: permit.part(),
        };
        let Ok(stream) = T::register(stream, &home) else {
            permit.end(Ended::Failed);
            return None;
        };
        let part = Arc::clone(permit.part());
        let connection = Connection { shared, part, peer };
        // A panic here is the handler's own. The task that accepts continues.
        let handler = catch_unwind(AssertUnwindSafe(|| handler(stream, connection))).ok()?;
        Some(Served { permit, handler })
    }
}

/// The way to start the task of a connection, on the shard that calls it.
pub(super) trait Start<T: Transport>: Clone + Send + 'static {
    fn start(&self, handle: &Handle, accepted: Accepted<T>);
}

/// Handlers that are `Send`: their tasks may be moved to another shard.
pub(super) struct Mobile<H>(pub(super) Arc<H>);

impl<H> Clone for Mobile<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, H, F> Start<T> for Mobile<H>
where
    T: Transport,
    H: Fn(T::Stream, Connection<T>) -> F + Send + Sync + 'static,
    F: Future<Output: Outcome> + Send + 'static,
{
    fn start(&self, handle: &Handle, accepted: Accepted<T>) {
        if let Some(task) = accepted.call(&*self.0) {
            drop(handle.spawn(task));
        }
    }
}

thread_local! {
    /// The handlers of each server on this shard that are not `Send`.
    static LOCAL: RefCell<HashMap<usize, Rc<dyn Any>>> = RefCell::default();
}

/// Handlers that stay on their shard. Each shard makes its own when its first connection comes.
pub(super) struct Local<M>(pub(super) Arc<M>);

impl<M> Clone for Local<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> Local<M> {
    /// Returns a number that no other server has while this one lives.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as *const () as usize
    }

    /// Drops the handler that this shard made.
    pub(super) fn forget(&self) {
        let made = LOCAL.with_borrow_mut(|all| all.remove(&self.id()));
        drop(made);
    }
}

impl<T, M, S, F> Start<T> for Local<M>
where
    T: Transport,
    M: Fn() -> S + Send + Sync + 'static,
    S: Fn(T::Stream, Connection<T>) -> F + 'static,
    F: Future<Output: Outcome> + 'static,
{
    fn start(&self, _: &Handle, accepted: Accepted<T>) {
        let made = LOCAL.with_borrow(|all| all.get(&self.id()).cloned());
        let made = made.or_else(|| {
            // A panic of `make` fails this connection, and the next one tries again.
            let made: Rc<dyn Any> = Rc::new(catch_unwind(AssertUnwindSafe(|| (self.0)())).ok()?);
            LOCAL.with_borrow_mut(|all| all.insert(self.id(), Rc::clone(&made)));
            Some(made)
        });
        let Some(Ok(handler)) = made.map(Rc::downcast::<S>) else {
            return;
        };
        if let Some(task) = accepted.call(&*handler) {
            drop(spawn_local(task));
        }
    }
}
