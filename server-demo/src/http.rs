//! The `http` service, for load generators and browsers: a fixed answer, an answer of a given size,
//! and a JSON echo, on `asyncfd::serve::http`. Tests: `tests/http.rs`.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncfd::serve::http::Http;
use asyncfd::serve::{Running, Stats, Tcp};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use reactor::{Handle, Metric, Reactor, ShutdownError};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, version};
use tower_service::Service;

use crate::config::Config;
use crate::server::bind;

/// The largest answer of `/size/N`, and the largest request of `/json`.
pub const SIZE_MAX: usize = 64 << 20;

/// The settings of the web service, besides those of every service.
#[derive(Debug, Clone, Default)]
pub struct Web {
    /// The size of the answer to `GET /`, in bytes. Default: the size of `hello, world\n`.
    pub size: Option<usize>,
    /// Serves over TLS, with a certificate for `localhost` that it signs itself.
    pub tls: bool,
    /// Closes a connection on which no byte moves for this long. Default: never.
    pub idle_timeout: Option<Duration>,
    /// Closes a connection whose peer takes no byte of an answer for this long. Default: never.
    pub write_timeout: Option<Duration>,
}

/// A running web server with a reactor of its own.
#[derive(Debug)]
pub struct WebServer {
    reactor: Reactor,
    running: Running<Tcp>,
}

impl WebServer {
    /// Starts the shards, listens, and begins to accept. It uses only the settings of `config` that
    /// every service has.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an impossible configuration; otherwise the error of binding the address,
    /// starting a thread, registering a listener or making the certificate.
    pub fn start(config: &Config, web: &Web) -> io::Result<Self> {
        config.check()?;
        let size = web.size.unwrap_or_default();
        if size > SIZE_MAX {
            let text = format!("an answer of {size} bytes is too large; the maximum is {SIZE_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let reactor = config.builder().build()?;
        let server = bind(config)?;
        let mut http = Http::new();
        if web.tls {
            http = http.tls(self_signed().map_err(io::Error::other)?);
        }
        if let Some(time) = web.idle_timeout {
            http = http.idle_timeout(time);
        }
        if let Some(time) = web.write_timeout {
            http = http.write_timeout(time);
        }
        let site = Site::new(web.size);
        let running = if config.local {
            let make = move || http.clone().serve_local(site.clone());
            server.start_local(reactor.handle(), make)
        } else {
            server.start(reactor.handle(), http.serve(site))
        }?;
        Ok(Self { reactor, running })
    }

    /// Returns the running server.
    pub fn running(&self) -> &Running<Tcp> {
        &self.running
    }

    /// Returns a function that returns the counters of the serving layer so far, as metrics. It may
    /// be called after the server has ended.
    pub fn metrics_source(&self) -> impl Fn() -> Vec<Metric> + Send + Sync + use<> {
        let stats = self.running.stats_source();
        move || stats().metrics().collect()
    }

    /// Returns the server's reactor.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.reactor.handle()
    }

    /// Returns the warnings from startup, such as CPU pins that the system refused.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.reactor.warnings()
    }

    /// Closes the listeners, lets requests finish for up to `drain`, cuts off the rest, and ends
    /// the shards.
    ///
    /// # Panics
    ///
    /// Panics on a thread that is a shard of any reactor, since it waits for other threads.
    #[must_use]
    pub fn shutdown(self, drain: Duration) -> (Stats, Option<ShutdownError>) {
        self.running.begin_drain_within(drain);
        let stuck = self.reactor.shutdown(drain).err();
        (self.running.stats(), stuck)
    }
}

fn self_signed() -> Result<ServerConfig, Box<dyn Error + Send + Sync>> {
    let made = rcgen::generate_simple_self_signed([String::from("localhost")])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth();
    Ok(config.with_single_cert(vec![made.cert.der().clone()], key)?)
}

/// The pages of the server.
#[derive(Debug, Clone)]
struct Site {
    fixed: Bytes,
    /// The start of every sized answer, which is a part of these bytes.
    filling: Bytes,
}

impl Site {
    fn new(size: Option<usize>) -> Self {
        let fill = |size| Bytes::from(vec![b'x'; size]);
        Self {
            fixed: size.map_or(Bytes::from_static(b"hello, world\n"), fill),
            filling: fill(1 << 20),
        }
    }

    fn get(&self, path: &str) -> Response<Full<Bytes>> {
        if path == "/" {
            return answer(StatusCode::OK, "text/plain", self.fixed.clone());
        }
        let size = path.strip_prefix("/size/").map(str::parse::<usize>);
        match size {
            Some(Ok(size)) if size <= self.filling.len() => {
                answer(StatusCode::OK, "text/plain", self.filling.slice(..size))
            }
            Some(Ok(size)) if size <= SIZE_MAX => {
                answer(StatusCode::OK, "text/plain", vec![b'x'; size])
            }
            Some(_) => {
                let text = format!("/size/N takes a number up to {SIZE_MAX}\n");
                answer(StatusCode::BAD_REQUEST, "text/plain", text)
            }
            None => {
                let text = "there are GET /, GET /size/N and POST /json\n";
                answer(StatusCode::NOT_FOUND, "text/plain", text)
            }
        }
    }
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Parses a JSON document and writes it again.
async fn json(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), SIZE_MAX).collect().await;
    let parsed = body.map_err(|error| error.to_string()).and_then(|body| {
        serde_json::from_slice::<serde_json::Value>(&body.to_bytes())
            .map_err(|error| error.to_string())
    });
    match parsed {
        Ok(value) => answer(StatusCode::OK, "application/json", value.to_string()),
        Err(error) => answer(StatusCode::BAD_REQUEST, "text/plain", error + "\n"),
    }
}

impl Service<Request<Incoming>> for Site {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answer {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/json") => Answer::Later(Box::pin(json(request))),
            (&Method::GET | &Method::HEAD, path) => Answer::Now(Some(self.get(path))),
            _ => {
                let text = "use GET, or POST for /json\n";
                let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain", text);
                let allowed = HeaderValue::from_static("GET, HEAD, POST");
                response.headers_mut().insert(ALLOW, allowed);
                Answer::Now(Some(response))
            }
        }
    }
}

/// The future of an answer. Only the JSON echo has to wait for it.
enum Answer {
    Now(Option<Response<Full<Bytes>>>),
    Later(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>),
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => Poll::Ready(Ok(response
                .take()
                .expect("a future is polled to its end once"))),
            Self::Later(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}
