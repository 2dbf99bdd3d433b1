//! A web server: HTTP/1, HTTP/2 and WebSocket, plain and over TLS, with a drain at SIGINT or
//! SIGTERM.
//!
//! ```console
//! $ cargo run --release --features full --example web -- 127.0.0.1:8080 127.0.0.1:8443
//! $ curl http://127.0.0.1:8080/ ; curl --insecure https://127.0.0.1:8443/
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use asyncfd::serve::{Server, http::Http};
use asyncfd::{signal, tokio_rt};
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::{get, post};
use axum::{Router, body::Bytes};
use reactor::Reactor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};

/// Sends each message back.
async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A certificate that nobody signed, made at each start.
fn self_signed() -> Result<ServerConfig, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed([String::from("localhost")])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    Ok(config.with_single_cert(vec![made.cert.der().clone()], key)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1);
    let (plain, tls) = (addresses.next(), addresses.next());
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/ws", get(async |ws: WebSocketUpgrade| ws.on_upgrade(echo)));
    let reactor = tokio_rt::start(Reactor::builder())?;
    let signal = signal::terminate(reactor.handle())?;
    let plain = Server::bind(plain.as_deref().unwrap_or("127.0.0.1:8080"))?
        .start(reactor.handle(), Http::new().serve(app.clone()))?;
    let https = Http::new().tls(self_signed()?).serve(app);
    let tls =
        Server::bind(tls.as_deref().unwrap_or("127.0.0.1:8443"))?.start(reactor.handle(), https)?;
    println!("listening on http://{}", plain.local_addr());
    println!("listening on https://{}", tls.local_addr());
    reactor.block_on(signal)?;
    // Both servers drain.
    reactor.shutdown(Duration::from_secs(5))?;
    Ok(())
}
