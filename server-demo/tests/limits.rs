//! Limits: connections, time without a byte, descriptors; and that nothing is left behind by those who came and went.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, Demo, config, connect, eventually, is_closed, round_trip, start};
use server_demo::{AcceptPolicy, Config, IoSurface};

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
        // A place that becomes free is free for the one that saw it become free.
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
            // Counted from the accept, which may come a moment after the client's connect.
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
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
            ),
            "{io}: {error}"
        );
        assert_eq!(server.stats().total().idle_closed, 1, "{}", server.stats());
    }
}

#[test]
fn ten_thousand_short_connections_leave_nothing_behind() {
    let server = start(config());
    let addr = server.local_addr();
    // One before the counts begin, so that what is set up on first use is there.
    round_trip(&mut connect(addr), 0, 0, 10);
    assert!(eventually(|| server.stats().total().live == 0));
    let registrations = |server: &server_demo::Server| -> (u64, u64) {
        let metrics = server.handle().metrics();
        let sum = |field: fn(&reactor::ShardMetrics) -> u64| metrics.shards.iter().map(field).sum();
        (sum(|shard| shard.registrations), sum(|shard| shard.tasks))
    };
    assert!(
        eventually(|| registrations(&server).1 == 4),
        "a listener and a drain task per shard are left"
    );
    let before = registrations(&server);
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..2_500 {
                    let mut stream = connect(addr);
                    round_trip(&mut stream, thread, number, 10);
                    // Reset rather than closed, or the ports of this machine run out in TIME_WAIT.
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
        // More than it has descriptors for; the kernel connects them all, and the rest waits in its queue.
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
        // Whom it has is served while it cannot accept.
        while began.elapsed() < Duration::from_secs(1) {
            round_trip(&mut inside, 0, 1, 10);
            thread::sleep(Duration::from_millis(50));
        }
        let ticks = demo.cpu_ticks() - before;
        assert!(
            ticks <= 15,
            "{accept}: {ticks} hundredths of CPU seconds spent in a second of waiting"
        );

        // Whoever is served leaves room for another, until all were served. All at once, since those that wait may be
        // earlier in one listener's queue than those that another listener has accepted.
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
