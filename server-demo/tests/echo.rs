//! Echo, under each accept policy and on each surface: many connections, large payloads,
//! half-close, resets, and the distribution of work over shards.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, config, connect, eventually, is_closed, payload, round_trip, start};
use server_demo::{AcceptPolicy, Config, IoSurface, Server};

/// Runs `test` against a server of each surface.
fn on_each_surface(test: impl Fn(&Server)) {
    for io in IoSurface::ALL {
        println!("surface {io}");
        test(&start(Config { io, ..config() }));
    }
}

/// Runs `rounds` exchanges on every client, with the clients spread over four threads. A client's
/// number is its index.
fn rounds(clients: &mut [TcpStream], first: usize, rounds: usize) {
    let share = clients.len().div_ceil(4);
    thread::scope(|scope| {
        for (thread, clients) in clients.chunks_mut(share).enumerate() {
            scope.spawn(move || {
                for round in first..first + rounds {
                    for (place, client) in clients.iter_mut().enumerate() {
                        round_trip(client, thread * share + place, round, 64);
                    }
                }
            });
        }
    });
}

fn echo_under(accept: AcceptPolicy) {
    const CONNECTIONS: usize = 200;
    for io in IoSurface::ALL {
        println!("accept {accept}, io {io}");
        let server = start(Config {
            accept,
            io,
            local: true,
            ..config()
        });
        let mut clients: Vec<TcpStream> = (0..CONNECTIONS)
            .map(|_| connect(server.local_addr()))
            .collect();
        rounds(&mut clients, 0, 1);
        let ramped = server.stats().total();
        rounds(&mut clients, 1, 5);
        // The client can receive the last bytes of an answer before the server counts them.
        let bytes = 64 * 6 * CONNECTIONS as u64;
        assert!(
            eventually(|| server.stats().total().bytes >= bytes),
            "{}",
            server.stats()
        );
        let stats = server.stats();
        let total = stats.total();
        assert_eq!(
            total.remote_wakes, ramped.remote_wakes,
            "steady echo stays on its shard"
        );
        assert_eq!(total.live, CONNECTIONS as u64, "{stats}");
        assert_eq!(total.bytes, bytes, "{stats}");
        assert!(
            total.polls - ramped.polls >= 5 * CONNECTIONS as u64,
            "{stats}"
        );
        drop(clients);
        let accepted: Vec<u64> = stats.shards.iter().map(|shard| shard.accepted).collect();
        match accept {
            AcceptPolicy::RoundRobin | AcceptPolicy::LeastLoaded => {
                assert_eq!(accepted, [100, 100])
            }
            // The kernel's hash of random ports, and a multiplicative hash of consecutive numbers.
            AcceptPolicy::ReusePort | AcceptPolicy::Hash => {
                assert!(accepted.iter().all(|shard| *shard > 30), "{accepted:?}");
            }
            // The same hash, with no lasting lead above 3 * sqrt(200).
            // Any shard that sleeps accepts.
            AcceptPolicy::Exclusive => {}
            AcceptPolicy::Hybrid => {
                assert!(accepted.iter().all(|shard| *shard >= 78), "{accepted:?}");
            }
            other => panic!("{other} has no test"),
        }
        assert!(
            eventually(|| server.stats().total().live == 0),
            "{}",
            server.stats()
        );
        let end = server.shutdown(DEADLINE);
        assert!(end.stuck.is_none());
        let total = end.stats.total();
        assert_eq!(
            (total.closed, total.failed, total.cut_off),
            (CONNECTIONS as u64, 0, 0),
            "{}",
            end.stats
        );
    }
}

#[test]
fn echo_under_reuseport() {
    echo_under(AcceptPolicy::ReusePort);
}

#[test]
fn echo_under_hash() {
    echo_under(AcceptPolicy::Hash);
}

#[test]
fn echo_under_round_robin() {
    echo_under(AcceptPolicy::RoundRobin);
}

#[test]
fn echo_under_least_loaded() {
    echo_under(AcceptPolicy::LeastLoaded);
}

#[test]
fn echo_under_exclusive() {
    echo_under(AcceptPolicy::Exclusive);
}

#[test]
fn echo_under_hybrid() {
    echo_under(AcceptPolicy::Hybrid);
}

/// Floods one of two shards until `enough`. Returns the polls of each shard meanwhile.
fn flood_one_shard(local: bool, io: IoSurface, enough: impl Fn(&[u64]) -> bool) -> Vec<u64> {
    // More than three turns of 61 short tasks: a shard that is done sooner gives nothing away.
    const CONNECTIONS: usize = 256;
    const SIZE: usize = 64;
    let server = start(Config {
        accept: AcceptPolicy::RoundRobin,
        io,
        local,
        ..config()
    });
    // Every second connection, so all that stay are on one shard.
    let all: Vec<TcpStream> = (0..2 * CONNECTIONS)
        .map(|number| {
            let mut stream = connect(server.local_addr());
            round_trip(&mut stream, number, 0, 16);
            stream
        })
        .collect();
    let mut clients: Vec<TcpStream> = all.into_iter().step_by(2).collect();
    assert!(eventually(
        || server.stats().total().live == CONNECTIONS as u64
    ));
    let before: Vec<u64> = server.stats().shards.iter().map(|s| s.polls).collect();
    let polled = || -> Vec<u64> {
        let stats = server.stats();
        let shards = stats.shards.iter().zip(&before);
        shards.map(|(shard, before)| shard.polls - before).collect()
    };
    let end = Instant::now() + DEADLINE;
    let mut round = 1;
    while !enough(&polled()) && Instant::now() < end {
        // All are ready at once.
        let sent: Vec<_> = (0..CONNECTIONS)
            .map(|number| payload(number, round, SIZE))
            .collect();
        for (client, sent) in clients.iter_mut().zip(&sent) {
            client.write_all(sent).unwrap();
        }
        for (client, sent) in clients.iter_mut().zip(&sent) {
            let mut came = vec![0; SIZE];
            client.read_exact(&mut came).unwrap();
            assert!(came == *sent, "another's answer");
        }
        round += 1;
    }
    let bytes = (2 * CONNECTIONS * 16 + (round - 1) * SIZE * CONNECTIONS) as u64;
    // The client can receive the last bytes before the server counts them.
    assert!(eventually(|| server.stats().total().bytes == bytes));
    polled()
}

#[test]
fn a_flood_of_one_shard_is_shared_on_each_surface() {
    for io in IoSurface::ALL {
        let shared = |polls: &[u64]| polls.iter().all(|polls| *polls > 100);
        let polls = flood_one_shard(false, io, shared);
        assert!(shared(&polls), "{io}: {polls:?}");
    }
}

#[test]
fn local_connections_stay_on_their_shard() {
    let enough = |polls: &[u64]| polls.iter().sum::<u64>() > 5_000;
    let polls = flood_one_shard(true, IoSurface::Helpers, enough);
    assert!(polls.iter().any(|polls| *polls < 10), "{polls:?}");
}

#[test]
fn hybrid_hands_on_what_one_listener_gets_too_much_of() {
    const CONNECTIONS: usize = 200;
    let server = start(Config {
        accept: AcceptPolicy::Hybrid,
        local: true,
        ..config()
    });
    // Connections that the first shard's listener accepted: its own, minus those that the other
    // shard sent, plus those that it sent away.
    let through_first = || {
        let stats = server.stats();
        stats.shards[0].accepted - stats.shards[1].handed_on + stats.shards[0].handed_on
    };
    // Only connections that came through that listener stay. A hash cannot be more uneven.
    let mut clients: Vec<TcpStream> = Vec::new();
    while clients.len() < CONNECTIONS {
        let before = through_first();
        let mut stream = connect(server.local_addr());
        round_trip(&mut stream, clients.len(), 0, 64);
        if through_first() > before {
            clients.push(stream);
        } else {
            drop(stream);
        }
        assert!(eventually(
            || server.stats().total().live == clients.len() as u64
        ));
    }
    let ramped = server.stats();
    // A lead of 3 * sqrt(200), plus the connection that exceeds it.
    assert!(ramped.shards[0].live <= 122, "{ramped}");
    assert!(ramped.shards[0].handed_on >= 78, "{ramped}");
    rounds(&mut clients, 1, 5);
    assert_eq!(
        server.stats().total().remote_wakes,
        ramped.total().remote_wakes,
        "who was handed on stays on the shard that serves it"
    );
}

#[test]
fn least_loaded_fills_the_gap_that_closed_connections_leave() {
    let server = start(Config {
        accept: AcceptPolicy::LeastLoaded,
        ..config()
    });
    let mut streams: Vec<TcpStream> = (0..8).map(|_| connect(server.local_addr())).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        round_trip(stream, number, 0, 8);
    }
    // The shards took turns: every second connection is on the first shard.
    let mut second_shard = Vec::new();
    for (number, stream) in streams.into_iter().enumerate() {
        if number % 2 == 1 {
            second_shard.push(stream);
        }
    }
    assert!(eventually(|| server.stats().total().live == 4));
    assert_eq!(server.stats().shards[1].live, 4, "{}", server.stats());
    let mut more: Vec<TcpStream> = (0..4).map(|_| connect(server.local_addr())).collect();
    for (number, stream) in more.iter_mut().enumerate() {
        round_trip(stream, number, 1, 8);
    }
    assert_eq!(server.stats().shards[0].live, 4, "{}", server.stats());
}

#[test]
fn a_half_closed_client_gets_all_its_echo_and_then_the_end() {
    on_each_surface(|server| {
        for len in [0, 1, 16 * 1024, 16 * 1024 + 1, 300_000] {
            let sent = payload(len, 0, len);
            let mut stream = connect(server.local_addr());
            let mut writer = stream.try_clone().unwrap();
            let came = thread::scope(|scope| {
                scope.spawn(|| {
                    writer.write_all(&sent).unwrap();
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                let mut came = Vec::new();
                stream.read_to_end(&mut came).unwrap();
                came
            });
            assert!(sent == came, "{len} bytes sent, {} came back", came.len());
        }
        assert!(eventually(|| server.stats().total().live == 0));
        assert_eq!(server.stats().total().failed, 0);
    });
}

#[test]
fn a_payload_larger_than_all_buffers_reaches_a_reader_that_starts_late() {
    const LEN: usize = 24 << 20;
    on_each_surface(|server| {
        let sent = payload(1, 2, LEN);
        let mut stream = connect(server.local_addr());
        let mut writer = stream.try_clone().unwrap();
        // Another connection of each shard keeps working meanwhile: the blocked one delays no
        // other.
        let mut others: Vec<TcpStream> = (0..8).map(|_| connect(server.local_addr())).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            // The server stands still once the socket buffers of both directions are full.
            let mut last = u64::MAX;
            assert!(eventually(|| {
                thread::sleep(Duration::from_millis(20));
                let bytes = server.stats().total().bytes;
                std::mem::replace(&mut last, bytes) == bytes && bytes > 0
            }));
            assert!(
                last < LEN as u64,
                "the socket buffers of this machine hold {LEN} bytes"
            );
            for (number, other) in others.iter_mut().enumerate() {
                round_trip(other, number, 0, 1_000);
            }
            let mut came = vec![0; LEN];
            stream.read_exact(&mut came).unwrap();
            assert!(came == sent, "the payload came back changed");
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        });
    });
}

#[test]
fn many_small_pieces_come_back_in_order() {
    on_each_surface(|server| {
        let sent = payload(7, 7, 40_000);
        let mut stream = connect(server.local_addr());
        let mut writer = stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut rest = &sent[..];
                let mut piece = 1;
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(piece.min(rest.len()));
                    writer.write_all(now).unwrap();
                    rest = later;
                    piece = piece % 97 + 1;
                }
            });
            let mut came = vec![0; sent.len()];
            stream.read_exact(&mut came).unwrap();
            assert!(came == sent);
        });
    });
}

#[test]
fn a_peer_that_resets_ends_its_own_connection_only() {
    fn reset(addr: SocketAddr) {
        let stream = connect(addr);
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    }
    on_each_surface(|server| {
        let mut witness = connect(server.local_addr());
        round_trip(&mut witness, 0, 0, 100);
        for _ in 0..20 {
            reset(server.local_addr());
        }
        assert!(eventually(|| {
            let total = server.stats().total();
            // Some may be gone before they are accepted, and the kernel may then not report them.
            total.live == 1 && total.failed >= 1
        }));
        round_trip(&mut witness, 0, 1, 100);
    });
}

#[test]
fn a_peer_that_resets_while_it_is_owed_bytes_ends_its_own_connection_only() {
    on_each_surface(|server| {
        let mut witness = connect(server.local_addr());
        let mut stream = connect(server.local_addr());
        stream.set_nonblocking(true).unwrap();
        let chunk = payload(3, 3, 64 * 1024);
        // Until both directions are full and the server waits to write.
        assert!(eventually(
            || matches!(stream.write(&chunk), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        ));
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(stream);
        assert!(eventually(|| server.stats().total().live == 1));
        assert_eq!(server.stats().total().failed, 1);
        round_trip(&mut witness, 0, 1, 100);
    });
}

#[test]
fn a_dropped_server_closes_its_connections_at_once() {
    let server = start(config());
    let mut stream = connect(server.local_addr());
    round_trip(&mut stream, 0, 0, 10);
    drop(server);
    assert!(is_closed(&mut stream));
}
