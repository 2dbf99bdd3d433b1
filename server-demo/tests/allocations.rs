//! Echoes allocate nothing, on any surface, with and without an idle timeout, while connections
//! stay on their shard. Every allocation of the process counts, including the clients'. There is
//! one test, so that nothing else runs meanwhile.

mod common;
#[path = "../../reactor/tests/support/counting.rs"]
mod counting;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{config, connect, start};
use server_demo::{Config, IoSurface};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const CONNECTIONS: usize = 40;
const WARM_UP: usize = 20;
const ROUNDS: usize = 100;

/// Sends a message on every connection, and then reads the answers.
fn round(clients: &mut [TcpStream]) {
    let message = [7; 64];
    for client in clients.iter_mut() {
        client.write_all(&message).unwrap();
    }
    for client in clients {
        let mut answer = [0; 64];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message);
    }
}

fn allocations_of_echoes(config: Config) -> u64 {
    let server = start(config);
    let mut clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| connect(server.local_addr()))
        .collect();
    for _ in 0..WARM_UP {
        round(&mut clients);
    }
    let before = counting::allocations();
    for _ in 0..ROUNDS {
        round(&mut clients);
    }
    counting::allocations() - before
}

#[test]
fn echoes_allocate_nothing() {
    for io in IoSurface::ALL {
        for idle_timeout in [None, Some(Duration::from_secs(3_600))] {
            let config = |local| Config {
                io,
                local,
                idle_timeout,
                ..config()
            };
            let made = allocations_of_echoes(config(true));
            assert_eq!(made, 0, "{io:?}, idle timeout {idle_timeout:?}");
            // A connection that moves to another shard may allocate for its timer or waiter there.
            let made = allocations_of_echoes(config(false));
            let moves = (CONNECTIONS * ROUNDS) as u64 / 10;
            assert!(
                made < moves,
                "{made}: {io:?}, idle timeout {idle_timeout:?}"
            );
        }
    }
    // A server that accepts allocates, and the counter has to show that.
    let server = start(config());
    let before = counting::allocations();
    round(&mut [connect(server.local_addr())]);
    assert!(
        counting::allocations() > before,
        "allocations are not counted"
    );
}
