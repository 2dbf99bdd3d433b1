//! An echo server whose connections move between shards while they are served, until every shard
//! has the same number.
//!
//! ```console
//! $ cargo run --example rebalance -- 127.0.0.1:7004 4
//! ```
//!
//! One task accepts, and every connection starts on its shard, which is as uneven as possible. A
//! connection that has just answered compares its shard with the one that has the fewest, and moves
//! there if that improves the balance. To move, it takes the socket off one shard and starts a task
//! with it on the other: two system calls. Bytes that arrive meanwhile stay in the socket and are
//! reported there at once. Other state of the connection moves along as a value.

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

/// The number of connections of each shard. A reading may be a few connections late, and then a
/// connection moves once too often.
struct Shares(Vec<AtomicUsize>);

impl Shares {
    /// Returns a shard that would be better for a connection of `shard`, if there is one.
    fn better_than(&self, shard: ShardId) -> Option<usize> {
        let own = self.0[shard.index()].load(Relaxed);
        let counts = self.0.iter().map(|count| count.load(Relaxed));
        let (least, count) = counts.enumerate().min_by_key(|(_, count)| *count)?;
        (own > count + 1).then_some(least)
    }
}

/// A connection's unit in the count of its shard.
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

/// Serves until the peer ends, or until another shard is better for the connection. Returns that
/// shard.
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

/// Runs a connection on the current shard, for as long as it stays there.
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

/// Prints the number of connections of each shard, whenever it changes.
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
