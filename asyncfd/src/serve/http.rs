//! HTTP for [`Server`](super::Server): hyper's HTTP/1 and HTTP/2 connections, plain or over TLS,
//! for a tower service such as an axum `Router`.
//!
//! ```
//! # use std::convert::Infallible;
//! # use hyper::{Request, Response, body::Incoming};
//! use asyncfd::serve::Server;
//! use asyncfd::serve::http::Http;
//!
//! # #[derive(Clone)] struct Hello;
//! # impl tower_service::Service<Request<Incoming>> for Hello {
//! #     type Response = Response<String>;
//! #     type Error = Infallible;
//! #     type Future = std::future::Ready<Result<Response<String>, Infallible>>;
//! #     fn poll_ready(
//! #         &mut self,
//! #         _: &mut std::task::Context<'_>,
//! #     ) -> std::task::Poll<Result<(), Infallible>> {
//! #         std::task::Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, _: Request<Incoming>) -> Self::Future {
//! #         std::future::ready(Ok(Response::new(String::from("hello"))))
//! #     }
//! # }
//! # fn main() -> std::io::Result<()> {
//! # let service = Hello;
//! let reactor = reactor::Reactor::builder().shards(2).build()?;
//! let server = Server::bind("127.0.0.1:0")?.start(reactor.handle(), Http::new().serve(service))?;
//! # use std::io::{Read, Write};
//! # let mut client = std::net::TcpStream::connect(server.local_addr())?;
//! # client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
//! # let mut answer = String::new();
//! # client.read_to_string(&mut answer)?;
//! # assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
//! # Ok(()) }
//! ```
//!
//! By default a client has 30 seconds for the head of a request. A drain ends keep-alive
//! connections after the request that is under way.

mod head;

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
#[cfg(feature = "tls")]
use std::os::fd::BorrowedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

#[cfg(feature = "tls")]
use std::task::Context;

use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::{Request, Response};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tower_service::Service;

#[cfg(feature = "tls")]
use super::stats::Counters;
use super::timed::TimedStream;
use super::timeouts::Timeouts;
use super::{Connection, Transport};
use crate::compat::{MobileExecutor, ShardExecutor, ShardTimer};
use head::{Counted, HeadStream, Requests};

type BoxError = Box<dyn Error + Send + Sync>;

/// The future of an HTTP connection.
pub type Serving = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// The future of an HTTP connection that stays on its shard.
pub type LocalServing = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

/// The settings of HTTP connections.
#[derive(Clone)]
#[must_use = "settings do nothing until `serve`"]
pub struct Http {
    versions: Versions,
    head_timeout: Duration,
    keep_alive: Option<Duration>,
    timeouts: Timeouts,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsAcceptor>,
    #[cfg(feature = "tls")]
    handshake_timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Versions {
    Both,
    Http1,
    Http2,
}

impl Http {
    /// Creates settings for HTTP/1 and HTTP/2 on one listener. The first bytes of a connection show
    /// its version. With TLS, the client chooses it in the handshake (ALPN).
    pub fn new() -> Self {
        Self {
            versions: Versions::Both,
            head_timeout: Duration::from_secs(30),
            keep_alive: None,
            timeouts: Timeouts::new(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            handshake_timeout: Duration::from_secs(10),
        }
    }

    /// Serves HTTP/1 only.
    pub fn http1_only(mut self) -> Self {
        self.versions = Versions::Http1;
        self
    }

    /// Serves HTTP/2 only.
    pub fn http2_only(mut self) -> Self {
        self.versions = Versions::Http2;
        self
    }

    /// Sets the time that a client of HTTP/1 has for the head of a request. An idle connection is
    /// also closed after this time. Default: 30 seconds.
    ///
    /// A connection of HTTP/2 without TLS has this time for its first request, unless the server is
    /// for HTTP/2 only.
    pub fn header_read_timeout(mut self, time: Duration) -> Self {
        self.head_timeout = time;
        self
    }

    /// Sends a ping on HTTP/2 connections that were silent for `interval`, and closes those that do
    /// not answer in 20 seconds. Default: no pings.
    pub fn http2_keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// Closes a connection on which no byte has moved for `time`, in either direction. Default:
    /// never.
    ///
    /// It covers two cases that [`header_read_timeout`](Self::header_read_timeout) does not: a
    /// client that stops in the body of a request, and HTTP/2. Choose a longer time than the
    /// service needs for an answer, since no byte moves meanwhile. The timeout also applies after
    /// an upgrade.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.timeouts = self.timeouts.idle(time);
        self
    }

    /// Closes a connection whose peer takes no byte of an answer for `time`, counted from the
    /// moment at which the socket refuses more. A peer that reads slowly, but goes on reading, is
    /// served. Default: never.
    pub fn write_timeout(mut self, time: Duration) -> Self {
        self.timeouts = self.timeouts.write(time);
        self
    }

    /// Serves over TLS. If `config` names no protocols, it offers `h2` and `http/1.1`, as these
    /// settings allow.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, mut config: tokio_rustls::rustls::ServerConfig) -> Self {
        if config.alpn_protocols.is_empty() {
            let names: &[&[u8]] = match self.versions {
                Versions::Both => &[b"h2", b"http/1.1"],
                Versions::Http1 => &[b"http/1.1"],
                Versions::Http2 => &[b"h2"],
            };
            config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
        }
        self.tls = Some(Arc::new(config).into());
        self
    }

    /// Returns a handler for [`Server::start`](super::Server::start): it serves each connection
    /// with a clone of `service`, in `Send` tasks, and supports upgrades such as WebSocket.
    pub fn serve<T, S, B>(
        self,
        service: S,
    ) -> impl Fn(T::Stream, Connection<T>) -> Serving + Send + Sync + use<T, S, B>
    where
        T: Transport<Stream: Stream + Send>,
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let builder = self.builder(MobileExecutor::new());
        move |stream, connection| {
            let (http, builder, service) = (self.clone(), builder.clone(), service.clone());
            Box::pin(async move {
                let requests = http.requests();
                let Some(io) = http.accept(stream, &connection, &requests).await? else {
                    return Ok(());
                };
                let service = TowerToHyperService::new(service);
                let service = Counted { service, requests };
                let mut served = pin!(builder.serve_connection_with_upgrades(io, service));
                let draining = pin!(connection.draining());
                if let Some(result) = first(served.as_mut(), draining).await {
                    return result;
                }
                served.as_mut().graceful_shutdown();
                drained(served.await)
            })
        }
    }

    /// Returns a handler for [`Server::start_local`](super::Server::start_local): the service and
    /// its futures need not be `Send` and stay on their shard. It does not support upgrades,
    /// because hyper allows them only for `Send` streams and services.
    pub fn serve_local<T, S, B>(
        self,
        service: S,
    ) -> impl Fn(T::Stream, Connection<T>) -> LocalServing + use<T, S, B>
    where
        T: Transport<Stream: Stream>,
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + 'static,
        S::Error: Into<BoxError>,
        S::Future: 'static,
        B: Body<Error: Into<BoxError>> + 'static,
    {
        let builder = self.builder(ShardExecutor::new());
        move |stream, connection| {
            let (http, builder, service) = (self.clone(), builder.clone(), service.clone());
            Box::pin(async move {
                let requests = http.requests();
                let Some(io) = http.accept(stream, &connection, &requests).await? else {
                    return Ok(());
                };
                let service = TowerToHyperService::new(service);
                let service = Counted { service, requests };
                let mut served = pin!(builder.serve_connection(io, service));
                let draining = pin!(connection.draining());
                if let Some(result) = first(served.as_mut(), draining).await {
                    return result;
                }
                served.as_mut().graceful_shutdown();
                drained(served.await)
            })
        }
    }

    fn builder<E>(&self, executor: E) -> auto::Builder<E> {
        let mut builder = auto::Builder::new(executor);
        // `HeadStream` has the timeout.
        builder.http1().header_read_timeout(None);
        builder
            .http2()
            .timer(ShardTimer::new())
            .keep_alive_interval(self.keep_alive);
        match self.versions {
            Versions::Both => builder,
            Versions::Http1 => builder.http1_only(),
            Versions::Http2 => builder.http2_only(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("versions", &self.versions)
            .field("header_read_timeout", &self.head_timeout)
            .finish_non_exhaustive()
    }
}

/// Returns the result of a connection after its graceful shutdown. If the connection has sent
/// nothing yet, hyper-util returns `Interrupted`. Such a connection has ended in order.
fn drained(result: Result<(), BoxError>) -> Result<(), BoxError> {
    match result {
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::Interrupted) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Returns the output of `served`, or `None` if `end` completes first.
async fn first<F: Future>(
    mut served: Pin<&mut F>,
    mut end: Pin<&mut impl Future>,
) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = served.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        end.as_mut().poll(cx).map(|_| None)
    })
    .await
}

/// A stream that HTTP connections run over: [`TcpStream`](crate::net::TcpStream) or
/// [`UnixStream`](crate::net::UnixStream).
#[cfg(not(feature = "tls"))]
pub trait Stream: Read + Write + AsFd + Unpin + 'static {}

/// A stream that HTTP connections run over: [`TcpStream`](crate::net::TcpStream) or
/// [`UnixStream`](crate::net::UnixStream).
#[cfg(feature = "tls")]
pub trait Stream:
    Read + Write + tokio::io::AsyncRead + tokio::io::AsyncWrite + AsFd + Unpin + 'static
{
}

impl Stream for crate::net::TcpStream {}
impl Stream for crate::net::UnixStream {}
impl<S: Stream> Stream for TimedStream<S> {}

/// A stream with the timeouts of these settings.
type Limited<S> = HeadStream<TimedStream<S>>;

impl Http {
    fn requests(&self) -> Arc<Requests> {
        let requests = Arc::new(Requests::default());
        if matches!(self.versions, Versions::Http2) {
            requests.expect_no_heads();
        }
        requests
    }

    fn limit<S, T: Transport>(
        &self,
        stream: S,
        connection: &Connection<T>,
        requests: &Arc<Requests>,
    ) -> Limited<S> {
        let part = connection.part();
        let stream = TimedStream::new(stream, self.timeouts, part);
        HeadStream::new(stream, self.head_timeout, requests, part)
    }
}

#[cfg(not(feature = "tls"))]
impl Http {
    /// Returns the stream of the connection's HTTP, or `None` if it ended before there was one.
    async fn accept<S: Stream, T: Transport>(
        &self,
        stream: S,
        connection: &Connection<T>,
        requests: &Arc<Requests>,
    ) -> Result<Option<Limited<S>>, BoxError> {
        Ok(Some(self.limit(stream, connection, requests)))
    }
}

#[cfg(feature = "tls")]
impl Http {
    /// Returns the stream of the connection's HTTP, or `None` if it ended before there was one.
    async fn accept<S: Stream, T: Transport>(
        &self,
        stream: S,
        connection: &Connection<T>,
        requests: &Arc<Requests>,
    ) -> Result<Option<Limited<MaybeTls<S>>>, BoxError> {
        let Some(tls) = &self.tls else {
            let stream = MaybeTls::Plain(stream);
            return Ok(Some(self.limit(stream, connection, requests)));
        };
        let handshake = reactor::time::timeout(self.handshake_timeout, tls.accept(stream));
        let handshake = pin!(handshake);
        let draining = pin!(connection.draining());
        match first(handshake, draining).await {
            // No request is under way yet.
            None => Ok(None),
            Some(Err(elapsed)) => {
                Counters::bump(&connection.part().counters.timed_out);
                Err(elapsed.into())
            }
            Some(Ok(handshake)) => {
                let stream = handshake?;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    requests.expect_no_heads();
                }
                let stream = MaybeTls::Tls(Box::new(hyper_util::rt::TokioIo::new(stream)));
                Ok(Some(self.limit(stream, connection, requests)))
            }
        }
    }
}

/// A stream with or without TLS.
#[cfg(feature = "tls")]
enum MaybeTls<S> {
    Plain(S),
    Tls(Box<hyper_util::rt::TokioIo<tokio_rustls::server::TlsStream<S>>>),
}

#[cfg(feature = "tls")]
impl<S: Stream> AsFd for MaybeTls<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.inner().get_ref().0.as_fd(),
        }
    }
}

#[cfg(feature = "tls")]
impl<S: Stream> Read for MaybeTls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Read::poll_read(Pin::new(stream), cx, buffer),
            Self::Tls(stream) => Read::poll_read(Pin::new(&mut **stream), cx, buffer),
        }
    }
}

#[cfg(feature = "tls")]
impl<S: Stream> Write for MaybeTls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Write::poll_write(Pin::new(stream), cx, bytes),
            Self::Tls(stream) => Write::poll_write(Pin::new(&mut **stream), cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Write::poll_flush(Pin::new(stream), cx),
            Self::Tls(stream) => Write::poll_flush(Pin::new(&mut **stream), cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Write::poll_shutdown(Pin::new(stream), cx),
            Self::Tls(stream) => Write::poll_shutdown(Pin::new(&mut **stream), cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => Write::is_write_vectored(stream),
            Self::Tls(stream) => Write::is_write_vectored(&**stream),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Write::poll_write_vectored(Pin::new(stream), cx, slices),
            Self::Tls(stream) => Write::poll_write_vectored(Pin::new(&mut **stream), cx, slices),
        }
    }
}
