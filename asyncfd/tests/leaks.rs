//! After many short connections, every count returns to its start: descriptors, slots, tasks.
//!
//! There is one test, because it counts the descriptors of the whole process.

mod common;

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use asyncfd::net::{TcpListener, TcpStream};
use asyncfd::{AsyncFd, Interest};
use reactor::{Handle, Reactor};

use common::support::pair;

const CLIENTS: usize = 50;
const ROUNDS: usize = 200;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn registrations_and_tasks(handle: &Handle) -> (u64, u64) {
    let shards = handle.metrics().shards;
    let registrations = shards.iter().map(|shard| shard.registrations).sum();
    (registrations, shards.iter().map(|shard| shard.tasks).sum())
}

/// Accepts `CLIENTS * ROUNDS` connections and echoes on each until it ends.
async fn serve(listener: TcpListener) {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS * ROUNDS {
        let (stream, _) = listener.accept().await.unwrap();
        connections.push(Handle::current().spawn(async move {
            let mut buffer = [0; 64];
            // The client leaves with a reset, so that its port is free again at once.
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        }));
    }
    for connection in connections {
        connection.await.unwrap();
    }
}

async fn connect_and_leave(address: std::net::SocketAddr, id: usize) {
    for round in 0..ROUNDS {
        let stream = TcpStream::connect(address).await.unwrap();
        let sent = (id * ROUNDS + round).to_le_bytes();
        stream.write_all(&sent).await.unwrap();
        let (mut received, mut n) = ([0; 8], 0);
        while n < received.len() {
            n += stream.read(&mut received[n..]).await.unwrap();
        }
        assert_eq!(received, sent);
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn ten_thousand_short_connections_leave_nothing_behind() {
    let reactor = Reactor::builder().shards(2).build().unwrap();
    let handle = reactor.handle().clone();
    // The first use of anything may open a descriptor for good.
    reactor.block_on(async {
        AsyncFd::from_fd(pair().0)
            .unwrap()
            .writable()
            .await
            .unwrap()
            .retain_ready()
    });
    let before = (open_descriptors(), registrations_and_tasks(&handle));

    common::within_deadline(&reactor, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = handle.spawn(serve(listener));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|id| handle.spawn(connect_and_leave(address, id)))
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        server.await.unwrap();
    });
    assert_eq!(
        (open_descriptors(), registrations_and_tasks(&handle)),
        before
    );

    // The same for bare descriptors, awaited off the shards.
    common::within_deadline(&reactor, async {
        for _ in 0..10_000 {
            let (a, mut b) = pair();
            let a = AsyncFd::from_fd(a).unwrap();
            b.write_all(b"x").unwrap();
            let n = a
                .async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8]))
                .await
                .unwrap();
            assert_eq!(n, 1);
        }
    });
    assert_eq!(
        (open_descriptors(), registrations_and_tasks(&handle)),
        before
    );
}
