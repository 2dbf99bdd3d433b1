//! HTTP/1 and unencrypted HTTP/2 on one port, with hyper, on every shard. Each shard counts its
//! requests in an `Rc<Cell<u64>>` that no other shard can reach.
//!
//! ```console
//! $ cargo run --release --example hyper -- 127.0.0.1:7080     # then: curl http://127.0.0.1:7080/
//! ```
//!
//! On SIGINT or SIGTERM it stops accepting, and connections end after the request in progress.

#[path = "../../asyncfd/examples/ending/mod.rs"]
mod ending;

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::rc::Rc;

use asyncfd::compat::{ShardExecutor, ShardTimer};
use asyncfd::net::TcpStream;
use ending::Signals;
use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::server::conn::auto;
use reactor::{Handle, Reactor, ShardId};

async fn serve(stream: TcpStream, served: Rc<Cell<u64>>) {
    let service = service_fn(|_: Request<_>| {
        served.set(served.get() + 1);
        let shard = ShardId::current().expect("connections are served on the shards");
        let text = format!("request {} of shard {}\n", served.get(), shard.index());
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
    });
    // Both sides get a timer: hyper panics on a timeout without one.
    let mut builder = auto::Builder::new(ShardExecutor::new());
    builder.http1().timer(ShardTimer::new());
    builder.http2().timer(ShardTimer::new());
    let connection = pin!(builder.serve_connection(stream, service));
    let ends = pin!(Handle::current().shutdown_requested());
    let result = match select(connection, ends).await {
        Either::Left((result, _)) => result,
        Either::Right(((), mut connection)) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        eprintln!("connection: {error}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:7080").parse()?;
    let reactor = Reactor::new()?;
    let signals = Signals::catch(reactor.handle())?;
    let address = interop::listen(reactor.handle(), address, || {
        let served = Rc::new(Cell::new(0));
        move |stream| serve(stream, Rc::clone(&served))
    })?;
    println!("listening on {address}");
    Ok(signals.shut_down(reactor)?)
}
