//! A TCP proxy: each connection is passed on to one upstream.
//!
//! ```console
//! $ cargo run --example proxy -- 127.0.0.1:7001 localhost:8000
//! ```
//!
//! One task accepts; the shards serve. The two sockets of a connection and the two tasks that copy
//! between them are on one shard, so no event crosses threads. The name is looked up on a blocking
//! thread for each connection. The end of a stream is passed on by itself, as HTTP clients and `nc
//! -N` need.

mod ending;

use std::error::Error;
use std::io;
use std::net::{TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use asyncfd::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use asyncfd::net::{TcpListener, TcpStream};
use ending::{Serving, Signals, pause};
use reactor::{Handle, Reactor, spawn_local};

/// Copies until `from` ends, and passes the end on.
async fn copy(from: OwnedReadHalf, to: OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            // Dropping the half shuts down the writing side.
            return Ok(());
        }
        to.write_all(&buffer[..n]).await?;
    }
}

async fn serve(client: StdTcpStream, upstream: &str) -> io::Result<()> {
    let client = TcpStream::from_accepted(client)?;
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let request = spawn_local(copy(client_reads, server_writes));
    let answered = copy(server_reads, client_writes).await;
    // Once the answer is complete, nobody waits for the rest of the request.
    request.abort();
    answered
}

async fn accept(listener: StdTcpListener, upstream: Arc<str>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let handle = Handle::current();
    let mut serving = Serving::new();
    while let Some(accepted) = serving.wait(listener.accept_std()).await {
        let (client, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause(error).await;
                continue;
            }
        };
        let shard = handle.shard_for(client.as_raw_fd());
        let upstream = Arc::clone(&upstream);
        drop(handle.spawn_on(shard, move || async move {
            if let Err(error) = serve(client, &upstream).await {
                eprintln!("{peer}: {error}");
            }
        }));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err("usage: proxy LISTEN UPSTREAM".into());
    };
    let upstream = Arc::from(upstream);
    let listener = StdTcpListener::bind(address)?;
    let reactor = Reactor::new()?;
    let handle = reactor.handle().clone();
    let signals = Signals::catch(&handle)?;
    println!("listening on {}", listener.local_addr()?);

    let shard = handle.shards().next().expect("there is one");
    drop(handle.spawn_on(shard, move || async move {
        if let Err(error) = accept(listener, upstream).await {
            eprintln!("no longer accepting: {error}");
        }
    }));
    Ok(signals.shut_down(reactor)?)
}
