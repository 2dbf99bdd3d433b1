//! An HTTP client without tokio's runtime: a connector for hyper-util's pooled client.
//!
//! [`HttpConnector`] opens a [`TcpStream`] on the shard that calls it. hyper-util's client keeps a
//! pool of connections, with an executor and timers of this crate. tonic's channel takes the same
//! connector (`Endpoint::connect_with_connector`), but needs the tokio bridge for its own tasks.
//!
//! ```
//! use asyncfd::client::HttpConnector;
//! use asyncfd::compat::{MobileExecutor, ShardTimer};
//! use hyper_util::client::legacy::Client;
//!
//! # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let client: Client<_, String> = Client::builder(MobileExecutor::new())
//!     .pool_timer(ShardTimer::new())
//!     .timer(ShardTimer::new())
//!     .build(HttpConnector::new());
//! let answer = client.get("http://127.0.0.1:8080/".parse()?).await?;
//! println!("{}", answer.status());
//! # Ok(()) }
//! ```
//!
//! The tasks of a connection are `Send`, so a shard with nothing to do may run them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use reactor::time;
use tower_service::Service;

use crate::net::{TcpStream, UnixStream};

#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
impl Connection for TcpStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
impl Connection for UnixStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// A connector for `http` URIs: a tower service that opens a [`TcpStream`].
///
/// It looks the host's name up off the shard, and tries its addresses in order.
#[derive(Clone, Debug)]
pub struct HttpConnector {
    nodelay: bool,
    connect_timeout: Option<Duration>,
}

impl HttpConnector {
    /// Creates a connector.
    pub fn new() -> Self {
        Self {
            nodelay: true,
            connect_timeout: None,
        }
    }

    /// Sets `TCP_NODELAY` on each connection, so that small requests are sent at once. Default:
    /// true.
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.nodelay = nodelay;
    }

    /// Sets the time that a connection may take, with the lookup of the name. Default: the system's
    /// own limit.
    pub fn set_connect_timeout(&mut self, time: Option<Duration>) {
        self.connect_timeout = time;
    }
}

impl Default for HttpConnector {
    fn default() -> Self {
        Self::new()
    }
}

/// The future of an [`HttpConnector`].
///
/// # Errors
///
/// Returns `InvalidInput` for a URI without a host, or with another scheme than `http`; `TimedOut`;
/// the errors of [`TcpStream::connect`].
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

impl Service<Uri> for HttpConnector {
    type Response = TcpStream;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let Self {
            nodelay,
            connect_timeout,
        } = *self;
        Box::pin(async move {
            let (host, port) = target(&uri)?;
            let connect = TcpStream::connect((host, port));
            let stream = match connect_timeout {
                None => connect.await?,
                Some(limit) => time::timeout(limit, connect).await.map_err(|_elapsed| {
                    io::Error::new(io::ErrorKind::TimedOut, "the connection took too long")
                })??,
            };
            stream.set_nodelay(nodelay)?;
            Ok(stream)
        })
    }
}

/// Returns the host and the port of a URI.
fn target(uri: &Uri) -> io::Result<(&str, u16)> {
    let refuse = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {why}"));
    if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
        return Err(refuse("the connector is for http"));
    }
    let host = uri.host().ok_or_else(|| refuse("there is no host"))?;
    // An IPv6 address is in brackets.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host, uri.port_u16().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn uris_name_a_host_and_a_port() {
        let of = |uri: &str| {
            let uri = uri.parse().unwrap();
            target(&uri).map(|(host, port)| (host.to_owned(), port))
        };
        assert_eq!(
            of("http://example.org/a").unwrap(),
            ("example.org".into(), 80)
        );
        assert_eq!(of("http://[::1]:8080/").unwrap(), ("::1".into(), 8080));
        let refused = of("https://example.org/").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("the connector is for http"));
        assert!(of("/a").unwrap_err().to_string().contains("no host"));
    }
}
