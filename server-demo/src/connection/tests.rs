//! The size of an idle connection. The tests in `tests/` cover the behaviour from outside.

use std::net::TcpListener;
use std::sync::Arc;

use reactor::Reactor;

use super::*;
use crate::Config;
use crate::shared::Shared;
use crate::surface::{Guards, Helpers, Polling};

/// Runs `test` on the one shard of a reactor, with the state of a server.
fn on_a_shard<T: Send + 'static>(
    config: Config,
    test: impl FnOnce(&Rc<Local>) -> T + Send + 'static,
) -> T {
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let handle = reactor.handle().clone();
    let shard = handle.shards().next().unwrap();
    let task = handle.spawn_on(shard, move || async move {
        test(&Local::new(&Arc::new(Shared::new(&config, 1))))
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
    let sizes = on_a_shard(Config::default(), |local| {
        fn size<S: Surface>(local: &Rc<Local>) -> usize {
            let (_client, server) = connected();
            size_of_val(&serve::<S>(Rc::clone(local), server))
        }
        [
            size::<Helpers>(local),
            size::<Guards>(local),
            size::<Polling>(local),
        ]
    });
    println!("bytes of the future: helpers, guards, poll: {sizes:?}");
    // With the reactor's slot of 128 bytes and its task header this keeps an idle connection below
    // 400 bytes.
    assert!(sizes[0] <= 192, "helpers: {sizes:?}");
}
