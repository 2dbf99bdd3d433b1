//! The time limit for the head of an HTTP/1 request.
//!
//! hyper has such a limit, too. It makes a timer for each request, and looks at the socket once
//! more after each answer. Here one timer serves all requests of a connection, and a request only
//! moves its deadline. [`Requests`] shows if a request is under way: the service counts its start,
//! and the drop of the answer's body counts its end. Tests: `tests/serve_http.rs` of this crate.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Method, Request, Response, StatusCode, Version};
use pin_project_lite::pin_project;

use crate::serve::state::Part;
use crate::serve::stats::Counters;
use crate::serve::timed::Timer;

/// The requests of one connection. Only the connection's own task changes it.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The number of starts and ends: it is odd while a request is under way.
    turns: AtomicU64,
}

impl Requests {
    /// The connection has no heads of HTTP/1: it became HTTP/2, or another protocol.
    const NO_HEADS: u64 = u64::MAX;

    fn turn(&self) {
        let turns = self.turns.load(Relaxed);
        if turns != Self::NO_HEADS {
            self.turns.store(turns + 1, Relaxed);
        }
    }

    pub(super) fn expect_no_heads(&self) {
        self.turns.store(Self::NO_HEADS, Relaxed);
    }
}

/// A stream that fails with [`TimedOut`](io::ErrorKind::TimedOut) when it waits too long for the
/// head of a request.
pub(super) struct HeadStream<S> {
    stream: S,
    timer: Timer,
    requests: Arc<Requests>,
    /// The state of `requests` at which the timer was started.
    started: u64,
    part: Arc<Part>,
}

impl<S> HeadStream<S> {
    pub(super) fn new(
        stream: S,
        limit: Duration,
        requests: &Arc<Requests>,
        part: &Arc<Part>,
    ) -> Self {
        Self {
            stream,
            timer: Timer::new(limit),
            requests: Arc::clone(requests),
            started: 0,
            part: Arc::clone(part),
        }
    }

    /// Returns true if the client has had its time. Called when a read would wait.
    fn has_passed(&mut self, cx: &mut Context<'_>) -> bool {
        let turns = self.requests.turns.load(Relaxed);
        if turns % 2 == 1 {
            // A request is under way, or there are no heads.
            return false;
        }
        if turns != self.started {
            self.started = turns;
            self.timer.restart();
        }
        self.timer.poll(cx)
    }

    /// Starts the timer if an answer has ended. hyper does not read again until the client sends.
    fn await_next(&mut self, cx: &mut Context<'_>) {
        if self.requests.turns.load(Relaxed) != self.started {
            // It starts now, so it has not passed.
            let _ = self.has_passed(cx);
        }
    }
}

impl<S: Read + Unpin> Read for HeadStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_pending() && self.has_passed(cx) {
            Counters::bump(&self.part.counters.timed_out);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no head of a request in time",
            )));
        }
        read
    }
}

impl<S: Write + Unpin> Write for HeadStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.await_next(cx);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

/// A service that counts its requests.
pub(super) struct Counted<S> {
    pub(super) service: S,
    pub(super) requests: Arc<Requests>,
}

impl<S, B, R> hyper::service::Service<Request<B>> for Counted<S>
where
    S: hyper::service::Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<CountedBody<R>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let is_http1 = request.version() <= Version::HTTP_11;
        let is_connect = *request.method() == Method::CONNECT;
        let under_way = is_http1.then(|| UnderWay::new(&self.requests));
        if !is_http1 {
            self.requests.expect_no_heads();
        }
        Answering {
            future: self.service.call(request),
            under_way,
            is_connect,
        }
    }
}

/// A request of HTTP/1 from its head to the end of its answer.
pub(super) struct UnderWay(Arc<Requests>);

impl UnderWay {
    fn new(requests: &Arc<Requests>) -> Self {
        requests.turn();
        Self(Arc::clone(requests))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.turn();
    }
}

pin_project! {
    /// The future of a request.
    pub(super) struct Answering<F> {
        #[pin]
        future: F,
        under_way: Option<UnderWay>,
        is_connect: bool,
    }
}

impl<F, R, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<CountedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.future.poll(cx))?;
        let under_way = this.under_way.take();
        if let Some(under_way) = &under_way {
            let status = answer.status();
            // Another protocol begins after this answer.
            if status == StatusCode::SWITCHING_PROTOCOLS
                || (*this.is_connect && status.is_success())
            {
                under_way.0.expect_no_heads();
            }
        }
        Poll::Ready(Ok(answer.map(|body| CountedBody { body, under_way })))
    }
}

pin_project! {
    /// The body of an answer, dropped when it was sent.
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        under_way: Option<UnderWay>,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
