//! A server that runs, and its drain.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use reactor::{Handle, JoinHandle, time};

use super::state::{CUTS, Shared};
use super::stats::Stats;
use super::transport::Transport;

/// A server that runs; made by [`Server::start`](super::Server::start).
///
/// Dropping it changes nothing: the server runs until its reactor shuts down.
#[must_use = "a server that is never shut down runs as long as its reactor"]
pub struct Running<T: Transport> {
    shared: Arc<Shared>,
    local_addr: T::Address,
    drain: Duration,
    /// Ends after the drain.
    supervisor: JoinHandle<()>,
}

impl<T: Transport> Running<T> {
    pub(super) fn new(
        shared: Arc<Shared>,
        local_addr: T::Address,
        drain: Duration,
        at_end: impl Fn() + Clone + Send + 'static,
    ) -> Self {
        let supervised = Arc::clone(&shared);
        let supervisor = shared.handle.spawn(async move {
            supervise(&supervised, drain).await;
            drop(supervised.handle.spawn_on_all(move |_| {
                at_end();
                std::future::ready(())
            }));
        });
        Self {
            shared,
            local_addr,
            drain,
            supervisor,
        }
    }

    /// Returns the address that the server listens on.
    pub fn local_addr(&self) -> T::Address {
        self.local_addr.clone()
    }

    /// Returns the reactor that serves.
    pub fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Returns a function that returns the counters so far, for example for an exporter. It may be
    /// called after the server has ended.
    pub fn stats_source(&self) -> impl Fn() -> Stats + Send + Sync + use<T> {
        let shared = Arc::clone(&self.shared);
        move || shared.stats()
    }

    /// Begins the drain, with the time that [`Server::drain`](super::Server::drain) sets. Does
    /// nothing if the drain has begun already.
    pub fn begin_drain(&self) {
        self.begin_drain_within(self.drain);
    }

    /// Begins the drain and cuts connections off after `time`. If the drain has begun already, only
    /// a time of zero has an effect: it cuts the connections off now.
    pub fn begin_drain_within(&self, time: Duration) {
        self.shared.begin_drain(time);
    }

    /// Drains and waits for the end, then returns the final counters.
    ///
    /// It returns when no connection is left. At the deadline, the server drops the remaining
    /// connections. It waits for handlers that are inside a poll at that time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the drain.
    pub async fn shutdown(self) -> Stats {
        self.begin_drain();
        self.ended().await
    }

    /// Serves until `end` completes, then drains as [`shutdown`](Self::shutdown) does. Returns
    /// early if the reactor's shutdown ends the server.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before `end` completes, the server keeps running.
    pub async fn until(mut self, end: impl Future) -> Stats {
        let mut end = pin!(end);
        let has_ended = poll_fn(|cx| {
            if end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            Pin::new(&mut self.supervisor).poll(cx).map(|_| true)
        });
        if has_ended.await {
            return self.stats();
        }
        self.shutdown().await
    }

    /// Waits until the server has drained, whatever began the drain, and returns the final
    /// counters.
    pub async fn ended(self) -> Stats {
        let Self {
            shared, supervisor, ..
        } = self;
        // It ends with an error if the reactor ends first.
        let _ = supervisor.await;
        shared.stats()
    }
}

impl<T: Transport> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

/// Waits for the drain to begin and to end, and cuts connections off at its deadline.
async fn supervise(shared: &Shared, drain: Duration) {
    // The reactor requests the drain, or a call begins it.
    let mut requested = pin!(shared.handle.shutdown_requested());
    poll_fn(|cx| {
        if requested.as_mut().poll(cx).is_ready() {
            shared.begin_drain(drain);
        }
        shared.poll_drain(cx)
    })
    .await;
    let ended = poll_fn(|cx| shared.poll_end(cx));
    match shared.deadline().flatten() {
        None => ended.await,
        Some(deadline) => {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if time::timeout(left, ended).await.is_err() {
                shared.set_phase(CUTS);
                poll_fn(|cx| shared.poll_end(cx)).await;
            }
        }
    }
}
