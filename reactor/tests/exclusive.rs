//! A listener in the epoll of every shard: with `EXCLUSIVE`, an event wakes one shard.
#![cfg(target_os = "linux")]

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use reactor::{Handle, Interest, Pinning, Placement, Reactor, Ready, Registration, time};

const SHARDS: usize = 4;
const CONNECTS: u64 = 100;
const DEADLINE: Duration = Duration::from_secs(20);

/// Accepts a connection a moment after it was reported, so that every shard which its event woke
/// finds it still there.
async fn accept(
    listener: Arc<TcpListener>,
    interest: Interest,
    woken: Arc<AtomicU64>,
    accepted: Sender<()>,
) {
    let handle = Handle::current();
    let registration = Registration::new(
        &handle,
        Placement::Current,
        &*listener,
        interest,
        Ready::EMPTY,
    )
    .unwrap();
    while registration.readable().await.is_ok() {
        woken.fetch_add(1, Ordering::Relaxed);
        time::sleep(Duration::from_millis(2)).await;
        if listener.accept().is_ok() {
            accepted.send(()).unwrap();
        }
        // Clears what was reported meanwhile, too.
        let blocked = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
        assert!(registration.try_io(Interest::READABLE, blocked).is_err());
    }
}

/// Returns the shards that wake for a connection, for connections that come one at a time.
fn wakes_per_connect(interest: Interest) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = Arc::new(listener);
    let builder = Reactor::builder().shards(SHARDS).pinning(Pinning::None);
    let reactor = builder.build().unwrap();
    let woken = Arc::new(AtomicU64::new(0));
    let (sender, accepted) = channel();
    let (started, starts) = channel();
    for shard in reactor.handle().shards() {
        let (listener, woken) = (Arc::clone(&listener), Arc::clone(&woken));
        let (sender, started) = (sender.clone(), started.clone());
        drop(reactor.handle().spawn_on(shard, move || async move {
            started.send(()).unwrap();
            accept(listener, interest, woken, sender).await;
        }));
    }
    for _ in 0..SHARDS {
        starts.recv_timeout(DEADLINE).unwrap();
    }
    // The shards sleep when the first connection comes.
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..CONNECTS {
        drop(TcpStream::connect(addr).unwrap());
        accepted
            .recv_timeout(DEADLINE)
            .expect("each connection is accepted");
        std::thread::sleep(Duration::from_millis(5));
    }
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let ratio = woken.load(Ordering::Relaxed) as f64 / CONNECTS as f64;
    ratio
}

#[test]
fn a_connection_wakes_one_shard_of_four() {
    let shared = wakes_per_connect(Interest::READABLE);
    let exclusive = wakes_per_connect(Interest::READABLE | Interest::EXCLUSIVE);
    println!("wakes per connection: {shared} shared, {exclusive} exclusive");
    assert!(
        shared > 2.0,
        "without the modifier each shard hears of it: {shared}"
    );
    // A shard that is not asleep yet wakes beside the one that is chosen.
    assert!(exclusive < 1.5, "{exclusive}");
}
