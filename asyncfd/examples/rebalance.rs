//! An echo server whose connections move from shard to shard while they are served, until every shard has as many.
//!
//! ```console
//! $ cargo run --example rebalance -- 127.0.0.1:7004 4
//! ```
//!
//! One task accepts, and every connection starts on its shard, which is as uneven as it gets. A connection that has just
//! answered compares its shard with the one that has the fewest, and moves there if that makes things more even. To move
//! is to take the socket off the one shard and to start a task with it on the other: two calls of the system. What comes
//! meanwhile stays in the socket, and is reported there at once; what a connection knows besides goes along as a value.

mod ending;

use std::error::Error;
use std::io;
use std::net::{TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use asyncfd::net::{TcpListener, TcpStream};
use ending::{Serving, Signals, pause};
use reactor::{Handle, Reactor, ShardId, spawn_local, time};

/// How many connections each shard has. A look at it may be late by a few, and a connection then moves once too often.
struct Shares(Vec<AtomicUsize>);

impl Shares {
    /// The shard that a connection of `shard` is better off on, if there is one.
    fn better_than(&self, shard: ShardId) -> Option<usize> {
        let own = self.0[shard.index()].load(Relaxed);
        let counts = self.0.iter().map(|count| count.load(Relaxed));
        let (least, count) = counts.enumerate().min_by_key(|(_, count)| *count)?;
        (own > count + 1).then_some(least)
    }
}

/// What a connection counts for in the share of its shard.
struct Place(Arc<Shares>, usize);

impl Place {
    fn take(shares: Arc<Shares>, shard: usize) -> Self {
        shares.0[shard].fetch_add(1, Relaxed);
        Self(shares, shard)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0[self.1].fetch_sub(1, Relaxed);
    }
}

/// Serves until the peer ends, or until the connection is better off on another shard, which is returned then.
async fn serve(stream: &TcpStream, shares: &Shares) -> io::Result<Option<usize>> {
    let mut buffer = [0; 4096];
    let mut serving = Serving::new();
    while let Some(read) = serving.wait(stream.read(&mut buffer)).await {
        let n = read?;
        if n == 0 {
            break;
        }
        stream.write_all(&buffer[..n]).await?;
        let better = shares.better_than(stream.shard());
        if better.is_some() {
            return Ok(better);
        }
    }
    Ok(None)
}

/// Has a connection on the current shard, for as long as it stays there.
async fn stay(socket: StdTcpStream, place: Place) -> io::Result<()> {
    let Place(shares, _) = &place;
    let stream = TcpStream::from_accepted(socket)?;
    if let Some(better) = serve(&stream, shares).await? {
        let place = Place::take(Arc::clone(shares), better);
        move_to(place, stream.into_std()?);
    }
    Ok(())
}

fn move_to(place: Place, socket: StdTcpStream) {
    let handle = Handle::current();
    let shard = handle.shards().nth(place.1).expect("a place is on a shard");
    drop(handle.spawn_on(shard, move || async move {
        if let Err(error) = stay(socket, place).await {
            eprintln!("a connection failed: {error}");
        }
    }));
}

async fn accept(listener: StdTcpListener, shares: Arc<Shares>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let shard = listener.shard().index();
    let mut serving = Serving::new();
    while let Some(accepted) = serving.wait(listener.accept_std()).await {
        match accepted {
            Ok((socket, _peer)) => {
                socket.set_nodelay(true)?;
                move_to(Place::take(Arc::clone(&shares), shard), socket);
            }
            Err(error) => pause(error).await,
        }
    }
    Ok(())
}

/// Prints how many connections each shard has, whenever that has changed.
async fn report(shares: Arc<Shares>) {
    let mut serving = Serving::new();
    let mut last = Vec::new();
    while serving
        .wait(time::sleep(Duration::from_millis(50)))
        .await
        .is_some()
    {
        let now: Vec<_> = shares.0.iter().map(|count| count.load(Relaxed)).collect();
        if now != last {
            println!("connections of each shard: {now:?}");
            last = now;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.as_deref().unwrap_or("127.0.0.1:7004");
    let shards = arguments.next().map_or(Ok(4), |shards| shards.parse())?;
    let listener = StdTcpListener::bind(address)?;
    let reactor = Reactor::builder().shards(shards).build()?;
    let handle = reactor.handle().clone();
    let signals = Signals::catch(&handle)?;
    println!("listening on {}", listener.local_addr()?);

    let shares = Arc::new(Shares((0..shards).map(|_| AtomicUsize::new(0)).collect()));
    let first = handle.shards().next().expect("there is one");
    drop(handle.spawn_on(first, move || async move {
        drop(spawn_local(report(Arc::clone(&shares))));
        if let Err(error) = accept(listener, shares).await {
            eprintln!("no longer accepting: {error}");
        }
    }));
    Ok(signals.shut_down(reactor)?)
}
