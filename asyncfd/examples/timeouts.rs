//! An echo server with a timeout on every step of a connection, so that no client can hold one for
//! nothing.
//!
//! ```console
//! $ cargo run --example timeouts -- 127.0.0.1:7002 1000     # the timeout in milliseconds
//! ```
//!
//! A timeout is a future around another one. It is a timer of the connection's own shard: arming
//! and dropping it takes no system call and no lock, so a timeout around each read costs almost
//! nothing.

mod ending;

use std::error::Error;
use std::io;
use std::net::{TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use asyncfd::net::{TcpListener, TcpStream};
use ending::{Serving, Signals, pause};
use reactor::{Handle, Reactor, time};

/// Runs an operation with a time limit. This does not harm the socket: a read that did not happen
/// has taken no bytes.
async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    time::timeout(limit, work)
        .await
        .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

async fn serve(stream: StdTcpStream, limit: Duration) -> io::Result<()> {
    let stream = TcpStream::from_accepted(stream)?;
    let mut buffer = vec![0; 4096];
    let mut serving = Serving::new();
    while let Some(read) = serving.wait(within(limit, stream.read(&mut buffer))).await {
        let n = match read {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return within(limit, stream.write_all(b"timeout\n")).await;
            }
            Err(error) => return Err(error),
        };
        // The limit also applies to a client that does not read.
        within(limit, stream.write_all(&buffer[..n])).await?;
    }
    Ok(())
}

async fn accept(listener: StdTcpListener, limit: Duration) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let handle = Handle::current();
    let mut serving = Serving::new();
    while let Some(accepted) = serving.wait(listener.accept_std()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(error).await;
                continue;
            }
        };
        let shard = handle.shard_for(stream.as_raw_fd());
        drop(handle.spawn_on(shard, move || async move {
            if let Err(error) = serve(stream, limit).await {
                eprintln!("{peer}: {error}");
            }
        }));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let limit = Duration::from_millis(arguments.next().map_or(Ok(10_000), |ms| ms.parse())?);
    let listener = StdTcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:7002"))?;
    let reactor = Reactor::new()?;
    let handle = reactor.handle().clone();
    let signals = Signals::catch(&handle)?;
    println!("listening on {}", listener.local_addr()?);

    let shard = handle.shards().next().expect("there is one");
    drop(handle.spawn_on(shard, move || async move {
        if let Err(error) = accept(listener, limit).await {
            eprintln!("no longer accepting: {error}");
        }
    }));
    Ok(signals.shut_down(reactor)?)
}
