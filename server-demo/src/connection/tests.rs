//! What an idle connection holds, and the idle clock. Behaviour is tested from outside, in `tests/`.

use std::net::TcpListener;

use reactor::Reactor;

use super::*;
use crate::Config;
use crate::surface::{Guards, Helpers, Polling};

/// Runs `test` on the one shard of a reactor that has been made a server's.
fn on_a_shard<T: Send + 'static>(
    config: Config,
    test: impl FnOnce(Arc<Shared>) -> T + Send + 'static,
) -> T {
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let handle = reactor.handle().clone();
    let shard = handle.shards().next().unwrap();
    let task = handle.spawn_on(shard, move || async move {
        let shared = Arc::new(Shared::new(&config, vec![shard]));
        Local::install(Arc::clone(&shared), shard);
        test(shared)
    });
    handle.block_on(task).unwrap()
}

fn connected() -> (StdTcpStream, StdTcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    (client, server)
}

#[test]
fn the_task_of_a_connection_is_small() {
    let sizes = on_a_shard(Config::default(), |shared| {
        fn size<S: Surface>(shared: &Arc<Shared>) -> usize {
            let (_client, server) = connected();
            size_of_val(&serve::<S>(Permit::take(shared, 0).unwrap(), server))
        }
        [
            size::<Helpers>(&shared),
            size::<Guards>(&shared),
            size::<Polling>(&shared),
        ]
    });
    println!("bytes of the future: helpers, guards, poll: {sizes:?}");
    // With the reactor's slot of 128 bytes and its task header this keeps an idle connection below 400 bytes.
    assert!(sizes[0] <= 192, "helpers: {sizes:?}");
}

#[test]
fn a_connection_that_is_never_polled_gives_its_place_back() {
    on_a_shard(
        Config {
            max_connections: Some(1),
            ..Config::default()
        },
        |shared| {
            let (_client, server) = connected();
            let connection = serve::<Helpers>(Permit::take(&shared, 0).unwrap(), server);
            assert!(Permit::take(&shared, 0).is_none());
            drop(connection);
            let permit = Permit::take(&shared, 0).expect("the place is free again");
            drop(permit);
            let stats = shared.counters[0].read();
            assert_eq!(
                (stats.accepted, stats.closed, stats.live, stats.cut_off),
                (2, 2, 0, 2)
            );
        },
    );
}

#[test]
fn touching_puts_the_idle_timeout_off() {
    let limit = Duration::from_millis(30);
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let shard = reactor.handle().shards().next().unwrap();
    let task = reactor.handle().spawn_on(shard, move || async move {
        let mut idle = Idle::new(Some(limit));
        // Noted later than the timer was set, as a message would: the first firing has to find that out.
        time::sleep(limit / 2).await;
        let touched = Instant::now();
        idle.touch();
        poll_fn(|cx| idle.poll(cx)).await;
        touched.elapsed()
    });
    let waited = reactor.block_on(task).unwrap();
    assert!(waited >= limit, "closed {waited:?} after the last byte");
}
