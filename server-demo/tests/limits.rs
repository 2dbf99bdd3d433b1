//! Limits: connections, time without a byte, descriptors. Connections that have ended leave nothing
//! behind.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, Demo, config, connect, eventually, is_closed, round_trip, start};
use server_demo::{AcceptPolicy, Config, IoSurface, READ_BUFFER, Server};

#[test]
fn a_connection_over_the_limit_is_closed_at_once_and_counted() {
    for accept in AcceptPolicy::ALL {
        let server = start(Config {
            accept,
            max_connections: Some(3),
            ..config()
        });
        let mut inside: Vec<TcpStream> = (0..3).map(|_| connect(server.local_addr())).collect();
        for (number, stream) in inside.iter_mut().enumerate() {
            round_trip(stream, number, 0, 10);
        }
        for _ in 0..5 {
            assert!(is_closed(&mut connect(server.local_addr())));
        }
        let total = server.stats().total();
        assert_eq!(
            (total.over_limit, total.accepted, total.live),
            (5, 3, 3),
            "{}",
            server.stats()
        );
        for (number, stream) in inside.iter_mut().enumerate() {
            round_trip(stream, number, 1, 10);
        }
        // A place that becomes free is available to the client that saw it become free.
        let mut leaving = inside.pop().unwrap();
        leaving.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(is_closed(&mut leaving));
        round_trip(&mut connect(server.local_addr()), 9, 0, 10);
    }
}

#[test]
fn the_idle_timeout_closes_the_idle_and_not_the_busy() {
    const LIMIT: Duration = Duration::from_millis(300);
    for io in IoSurface::ALL {
        let server = start(Config {
            io,
            idle_timeout: Some(LIMIT),
            ..config()
        });
        let began = Instant::now();
        let mut idle = connect(server.local_addr());
        let mut busy = connect(server.local_addr());
        thread::scope(|scope| {
            let idle = scope.spawn(|| {
                let closed = is_closed(&mut idle);
                (closed, began.elapsed())
            });
            let mut message = 0;
            while began.elapsed() < 3 * LIMIT {
                round_trip(&mut busy, 1, message, 10);
                message += 1;
                thread::sleep(LIMIT / 20);
            }
            let (closed, after) = idle.join().unwrap();
            assert!(closed);
            // The timeout counts from the accept, which may come a moment after the client's
            // connect.
            assert!(
                after >= LIMIT && after < LIMIT + DEADLINE / 4,
                "{io}: closed after {after:?}"
            );
        });
        assert_eq!(server.stats().total().idle_closed, 1, "{}", server.stats());
        assert!(is_closed(&mut busy), "the busy one is closed once it rests");
    }
}

#[test]
fn the_idle_timeout_closes_a_peer_that_reads_nothing() {
    for io in IoSurface::ALL {
        let server = start(Config {
            io,
            idle_timeout: Some(Duration::from_millis(200)),
            ..config()
        });
        let mut stream = connect(server.local_addr());
        let chunk = [7; 64 * 1024];
        // Writes without ever reading, until the server gives up.
        let error = loop {
            if let Err(error) = stream.write_all(&chunk) {
                break error;
            }
        };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ),
            "{io}: {error}"
        );
        assert_eq!(server.stats().total().idle_closed, 1, "{}", server.stats());
    }
}

/// Sends a piece whenever the one before was answered, and reads none of it, until the server cuts
/// the connection off. Returns the time that the last piece took. That time depends only on the
/// server, which has read everything by then.
fn until_cut_off(server: &Server, stream: &mut TcpStream) -> Duration {
    let piece = [7; 8 * 1024];
    let answered = || server.stats().total().bytes;
    let mut sent = answered();
    loop {
        let began = Instant::now();
        stream.write_all(&piece).unwrap();
        sent += piece.len() as u64;
        assert!(eventually(
            || answered() >= sent || server.stats().total().unread_closed > 0
        ));
        if answered() < sent {
            return began.elapsed();
        }
    }
}

/// Runs `test` on a server of each surface at the same time.
fn with_write_timeout(limit: Duration, test: impl Fn(&Server) + Sync) {
    thread::scope(|scope| {
        for io in IoSurface::ALL {
            let test = &test;
            scope.spawn(move || {
                test(&start(Config {
                    io,
                    write_timeout: Some(limit),
                    ..config()
                }));
            });
        }
    });
}

#[test]
fn the_write_timeout_resets_a_peer_that_reads_nothing_and_frees_what_the_kernel_kept_for_it() {
    const LIMIT: Duration = Duration::from_millis(500);
    with_write_timeout(LIMIT, |server| {
        let mut witness = connect(server.local_addr());
        let mut stream = connect(server.local_addr());
        let after = until_cut_off(server, &mut stream);
        assert!(
            after >= LIMIT && after < LIMIT + DEADLINE / 4,
            "cut off after {after:?}"
        );
        // After an orderly close, the client could still read all of the answer from the kernel.
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // A client that is owed nothing is not timed.
        round_trip(&mut witness, 0, 0, 10);
        let total = server.stats().total();
        assert_eq!((total.unread_closed, total.live), (1, 1));
    });
}

#[test]
fn the_write_timeout_leaves_a_slow_reader_alone() {
    const LEN: usize = 12 << 20;
    const LIMIT: Duration = Duration::from_secs(2);
    with_write_timeout(LIMIT, |server| {
        let mut stream = connect(server.local_addr());
        let mut writer = stream.try_clone().unwrap();
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&vec![9; LEN]).unwrap());
            // Slower than the server, and longer than the limit in total, but with no gap between
            // reads as long as the limit.
            let mut piece = vec![0; LEN / 30];
            for _ in 0..30 {
                thread::sleep(LIMIT / 25);
                stream.read_exact(&mut piece).unwrap();
            }
        });
        assert!(began.elapsed() > LIMIT, "longer than the limit in all");
        let total = server.stats().total();
        assert_eq!((total.unread_closed, total.live), (0, 1));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn peers_that_read_nothing_cost_a_buffer_each_and_no_more() {
    const PEERS: usize = 8;
    // More than the socket buffers of both ends hold.
    const EACH: usize = 16 << 20;
    let demo = Demo::start(&[
        "--listen",
        "127.0.0.1:0",
        "--shards",
        "1",
        "--write-timeout",
        "1s",
    ]);
    let addr = demo.addr();
    round_trip(&mut connect(addr), 0, 0, 10);
    let before = demo.resident_bytes();
    let chunk = [7; 64 * 1024];
    let (sent, most) = thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = connect(addr);
                    let mut sent = 0;
                    while sent < EACH {
                        match stream.write(&chunk) {
                            Ok(n) => sent += n,
                            Err(error) => {
                                let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                                assert!(reset.contains(&error.kind()), "{error}");
                                return sent;
                            }
                        }
                    }
                    panic!("the server read {sent} bytes of one who reads none");
                })
            })
            .collect();
        let mut most = 0;
        while !peers.iter().all(|peer| peer.is_finished()) {
            most = most.max(demo.resident_bytes());
            thread::sleep(Duration::from_millis(5));
        }
        let sent: Vec<usize> = peers.into_iter().map(|peer| peer.join().unwrap()).collect();
        (sent, most)
    });
    let grown = most.saturating_sub(before);
    // Memory that connections and the allocator take besides the buffers.
    let allowed = PEERS * READ_BUFFER + (1 << 20);
    assert!(grown < allowed, "{grown} bytes more, {sent:?} sent");
    assert!(sent.iter().sum::<usize>() > 4 * allowed, "{sent:?}");
    round_trip(&mut connect(addr), 0, 1, 10);
}

#[test]
fn ten_thousand_short_connections_leave_nothing_behind() {
    let server = start(config());
    let addr = server.local_addr();
    // One connection before counting begins, so that everything set up on first use exists.
    round_trip(&mut connect(addr), 0, 0, 10);
    assert!(eventually(|| server.stats().total().live == 0));
    let registrations = |server: &Server| -> (u64, u64) {
        let metrics = server.handle().metrics();
        let sum = |field: fn(&reactor::ShardMetrics) -> u64| metrics.shards.iter().map(field).sum();
        (sum(|shard| shard.registrations), sum(|shard| shard.tasks))
    };
    assert!(
        eventually(|| registrations(&server).1 == 3),
        "a listener per shard and the server's drain task are left"
    );
    let before = registrations(&server);
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..2_500 {
                    let mut stream = connect(addr);
                    round_trip(&mut stream, thread, number, 10);
                    // A reset instead of a close, or the ports of this machine run out in
                    // TIME_WAIT.
                    socket2::SockRef::from(&stream)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                }
            });
        }
    });
    assert!(
        eventually(|| server.stats().total().live == 0),
        "{}",
        server.stats()
    );
    assert_eq!(server.stats().total().accepted, 10_001);
    assert!(
        eventually(|| registrations(&server) == before),
        "{:?} and now {:?}",
        before,
        registrations(&server)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn without_descriptors_the_server_rests_serves_on_and_recovers() {
    for accept in ["reuseport", "round-robin"] {
        let demo = Demo::start_with_descriptors(
            40,
            &[
                "--listen",
                "127.0.0.1:0",
                "--shards",
                "2",
                "--accept",
                accept,
            ],
        );
        let addr = demo.addr();
        let mut inside = connect(addr);
        round_trip(&mut inside, 0, 0, 10);
        // More than the server has descriptors for. The kernel connects them all, and the rest wait
        // in its queue.
        let mut streams: Vec<TcpStream> = (0..60).map(|_| connect(addr)).collect();
        assert!(
            demo.says("accepting pauses"),
            "{accept}: it says that it ran out"
        );
        assert!(
            eventually(|| demo.descriptors() >= 39),
            "{accept}: {}",
            demo.descriptors()
        );

        let before = demo.cpu_ticks();
        let began = Instant::now();
        // Connections that it has are served while it cannot accept.
        while began.elapsed() < Duration::from_secs(1) {
            round_trip(&mut inside, 0, 1, 10);
            thread::sleep(Duration::from_millis(50));
        }
        let ticks = demo.cpu_ticks() - before;
        assert!(
            ticks <= 15,
            "{accept}: {ticks} hundredths of CPU seconds spent in a second of waiting"
        );

        // Each served client leaves, which makes room for another, until all were served. They run
        // at once, since a waiting one may be earlier in one listener's queue than one that another
        // listener has accepted.
        thread::scope(|scope| {
            for (number, mut stream) in streams.drain(..).enumerate() {
                scope.spawn(move || round_trip(&mut stream, number, 1, 10));
            }
        });
        assert!(eventually(|| demo.descriptors() < 39));
        round_trip(&mut connect(addr), 0, 2, 10);
    }
}

#[test]
fn a_client_that_sends_a_byte_at_a_time_is_served() {
    let server = start(config());
    let mut stream = connect(server.local_addr());
    for byte in 0..200_u8 {
        stream.write_all(&[byte]).unwrap();
        let mut came = [0];
        stream.read_exact(&mut came).unwrap();
        assert_eq!(came, [byte]);
    }
}
