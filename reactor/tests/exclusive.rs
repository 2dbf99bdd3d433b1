//! A listener in the epoll instance of every shard: with `EXCLUSIVE`, an event wakes one shard.
#![cfg(target_os = "linux")]

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use reactor::{Handle, Interest, Pinning, Placement, Reactor, Ready, Registration, time};

const SHARDS: usize = 4;
const CONNECTS: u64 = 100;
const DEADLINE: Duration = Duration::from_secs(20);

/// Accepts until the listener is drained, a moment after each event, so that every shard which the
/// event woke finds the connection still there.
async fn accept(listener: Arc<TcpListener>, interest: Interest, accepted: Sender<()>) {
    let handle = Handle::current();
    let registration = Registration::new(
        &handle,
        Placement::Current,
        &*listener,
        interest,
        Ready::EMPTY,
    )
    .unwrap();
    while let Ok(event) = registration.readable().await {
        time::sleep(Duration::from_millis(2)).await;
        while listener.accept().is_ok() {
            accepted.send(()).unwrap();
        }
        registration.clear(event);
    }
}

/// Returns the events of all shards per connection, for connections that come one at a time.
fn events_per_connect(interest: Interest) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = Arc::new(listener);
    let builder = Reactor::builder().shards(SHARDS).pinning(Pinning::None);
    let reactor = builder.build().unwrap();
    let (sender, accepted) = channel();
    let (started, starts) = channel();
    for shard in reactor.handle().shards() {
        let (listener, sender, started) = (Arc::clone(&listener), sender.clone(), started.clone());
        drop(reactor.handle().spawn_on(shard, move || async move {
            started.send(()).unwrap();
            accept(listener, interest, sender).await;
        }));
    }
    for _ in 0..SHARDS {
        starts.recv_timeout(DEADLINE).unwrap();
    }
    // The shards sleep when the first connection comes.
    let events = || reactor.handle().metrics().total(|shard| shard.events);
    std::thread::sleep(Duration::from_millis(100));
    let before = events();
    for _ in 0..CONNECTS {
        drop(TcpStream::connect(addr).unwrap());
        accepted
            .recv_timeout(DEADLINE)
            .expect("each connection is accepted");
        std::thread::sleep(Duration::from_millis(2));
    }
    let events = events() - before;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let ratio = events as f64 / CONNECTS as f64;
    ratio
}

#[test]
fn a_connection_wakes_one_shard_of_four() {
    let shared = events_per_connect(Interest::READABLE);
    let exclusive = events_per_connect(Interest::READABLE | Interest::EXCLUSIVE);
    println!("events per connection: {shared} shared, {exclusive} exclusive");
    assert!(
        shared > 2.0,
        "without the modifier each shard hears of it: {shared}"
    );
    // A shard that is not asleep yet also gets the event, beside the one that is woken.
    assert!(exclusive < 1.5, "{exclusive}");
}
