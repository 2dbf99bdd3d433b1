//! Shutdown: a drain cuts no reply off, does not wait for idle connections, and has a deadline;
//! signals start it.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    DEADLINE, Demo, column, config, connect, eventually, is_closed, payload, round_trip, start,
};
use rustix::process::Signal;
use server_demo::{AcceptPolicy, Config, IoSurface};
use socket2::{Domain, Socket, Type};

#[test]
fn idle_connections_do_not_hold_a_drain_up() {
    for io in IoSurface::ALL {
        for accept in AcceptPolicy::ALL {
            let server = start(Config {
                io,
                accept,
                ..config()
            });
            let mut streams: Vec<TcpStream> =
                (0..50).map(|_| connect(server.local_addr())).collect();
            for (number, stream) in streams.iter_mut().enumerate() {
                round_trip(stream, number, 0, 10);
            }
            let began = Instant::now();
            let end = server.shutdown(DEADLINE);
            assert!(began.elapsed() < DEADLINE / 4, "{:?}", began.elapsed());
            assert!(end.stuck.is_none());
            let total = end.stats.total();
            assert_eq!(
                (total.accepted, total.closed, total.cut_off, total.failed),
                (50, 50, 0, 0),
                "{}",
                end.stats
            );
            for mut stream in streams {
                assert_eq!(stream.read(&mut [0]).expect("an end, not a reset"), 0);
            }
        }
    }
}

/// Connects a client with a small receive window.
fn connect_with_small_window(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

/// More than the server can send while nothing is read (4 MiB, the last value of
/// net.ipv4.tcp_wmem), yet little enough for the rest to fit into the buffers on the way to the
/// server. A client that has sent this much and reads nothing is owed all of it, and the server
/// cannot go on.
const OWED: usize = 5 << 20;

/// Connects a client that is owed bytes and never reads them.
fn connect_stuck(addr: SocketAddr) -> TcpStream {
    let mut stream = connect_with_small_window(addr);
    stream.write_all(&payload(3, 3, OWED)).unwrap();
    stream
}

#[test]
fn a_drain_sends_a_slow_reader_all_it_is_owed() {
    const LEN: usize = OWED;
    for io in IoSurface::ALL {
        let server = start(Config { io, ..config() });
        let sent = payload(5, 5, LEN);
        let mut stream = connect_with_small_window(server.local_addr());
        let mut writer = stream.try_clone().unwrap();
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
        thread::scope(|scope| {
            let handle = server.handle().clone();
            let reader = scope.spawn(move || {
                // Nothing is read before the drain has begun.
                handle.block_on(handle.shutdown_requested());
                let mut came = Vec::with_capacity(LEN);
                stream.read_to_end(&mut came).unwrap();
                came
            });
            assert!(eventually(|| server.stats().total().bytes > 0));
            assert!(
                server.stats().total().bytes < LEN as u64,
                "the server is still owing"
            );
            let drain = scope.spawn(move || server.shutdown(DEADLINE));
            let came = reader.join().unwrap();
            assert!(
                came == sent,
                "{io}: {} of {LEN} bytes came back",
                came.len()
            );
            let end = drain.join().unwrap();
            assert_eq!(end.stats.total().cut_off, 0, "{}", end.stats);
        });
    }
}

#[test]
fn sigterm_during_traffic_cuts_no_reply_and_exits_0() {
    for io in IoSurface::ALL {
        for accept in [AcceptPolicy::ReusePort, AcceptPolicy::Hash] {
            const CLIENTS: usize = 16;
            let flags = [
                "--listen",
                "127.0.0.1:0",
                "--shards",
                "2",
                "--drain",
                "2s",
                "--io",
                io.name(),
                "--accept",
                accept.name(),
            ];
            let mut demo = Demo::start(&flags);
            let addr = demo.addr();
            let running = Barrier::new(CLIENTS + 1);
            thread::scope(|scope| {
                for client in 0..CLIENTS {
                    let running = &running;
                    scope.spawn(move || {
                        let mut stream = connect(addr);
                        round_trip(&mut stream, client, 0, 100);
                        running.wait();
                        // A closed loop without a pause, until the server ends the connection
                        // between two answers, in order.
                        for message in 1.. {
                            let sent = payload(client, message, 100);
                            if stream.write_all(&sent).is_err() {
                                return;
                            }
                            let mut came = Vec::new();
                            let result = (&stream).take(100).read_to_end(&mut came);
                            assert!(result.is_ok(), "{io}, {accept}: {result:?}");
                            if came.is_empty() {
                                return;
                            }
                            assert!(
                                came == sent,
                                "{io}, {accept}: a reply of {} bytes",
                                came.len()
                            );
                        }
                    });
                }
                running.wait();
                demo.signal(Signal::TERM);
            });
            let status = demo.wait();
            assert_eq!(status.code(), Some(0), "{}", demo.rest_of_stderr());
            let summary = demo.rest_of_stdout();
            let total = summary
                .lines()
                .last()
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>();
            assert_eq!(total[0], "all", "{summary}");
            assert_eq!(
                total[2..5],
                [&CLIENTS.to_string(), &CLIENTS.to_string(), "0"],
                "{summary}"
            );
            let headings = summary.lines().next().unwrap();
            for heading in [
                "accepted",
                "closed",
                "bytes",
                "live",
                "over limit",
                "polls",
                "remote wakes",
            ] {
                assert!(headings.contains(heading), "{summary}");
            }
        }
    }
}

#[test]
fn a_drain_ends_at_its_deadline() {
    for io in IoSurface::ALL {
        let server = start(Config { io, ..config() });
        let _stuck = connect_stuck(server.local_addr());
        let began = Instant::now();
        let end = server.shutdown(Duration::from_millis(300));
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < DEADLINE / 4,
            "{took:?}"
        );
        assert!(end.stuck.is_none());
        assert_eq!(end.stats.total().cut_off, 1, "{}", end.stats);
        assert_eq!(end.stats.total().live, 0);
    }
}

#[test]
fn during_a_drain_nobody_new_gets_in() {
    let server = start(config());
    let addr = server.local_addr();
    let mut held = connect(addr);
    round_trip(&mut held, 0, 0, 10);
    thread::scope(|scope| {
        let drain = scope.spawn(move || server.shutdown(DEADLINE));
        // The client inside keeps busy, so the drain goes on.
        let mut message = 0;
        assert!(eventually(|| {
            message += 1;
            round_trip(&mut held, 0, message, 10);
            TcpStream::connect_timeout(&addr, DEADLINE).is_err()
        }));
        round_trip(&mut held, 0, 0, 10);
        drop(held);
        let began = Instant::now();
        assert!(drain.join().unwrap().stuck.is_none());
        assert!(
            began.elapsed() < DEADLINE / 4,
            "the last one gone, the drain is over"
        );
    });
}

#[test]
fn a_drain_of_no_time_closes_at_once() {
    let server = start(config());
    let mut stream = connect(server.local_addr());
    round_trip(&mut stream, 0, 0, 10);
    let began = Instant::now();
    let end = server.shutdown(Duration::ZERO);
    assert!(began.elapsed() < DEADLINE / 4);
    assert_eq!(end.stats.total().live, 0);
    assert!(is_closed(&mut stream));
}

#[test]
fn sigterm_sends_what_is_owed_cuts_off_the_stuck_refuses_the_new_and_exits_0() {
    const DRAIN: Duration = Duration::from_secs(3);
    let mut demo = Demo::start(&["--listen", "127.0.0.1:0", "--shards", "2", "--drain", "3s"]);
    let addr = demo.addr();
    let _stuck = connect_stuck(addr);
    let sent = payload(4, 4, OWED);
    let mut slow = connect_with_small_window(addr);
    slow.write_all(&sent).unwrap();

    let began = Instant::now();
    demo.signal(Signal::TERM);
    assert!(demo.says("SIGTERM: no longer accepting; 2 connections"));
    // A client that connected in between was served, and has left.
    assert!(eventually(|| TcpStream::connect(addr).is_err()));
    assert!(began.elapsed() < DRAIN, "refused before the drain is over");
    let mut came = Vec::new();
    slow.read_to_end(&mut came)
        .expect("an end in order, and not a reset");
    assert!(came == sent, "{} of {OWED} bytes came back", came.len());
    drop(slow);

    let status = demo.wait();
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took >= DRAIN && took < DRAIN + DEADLINE / 4, "{took:?}");
    let summary = demo.rest_of_stdout();
    assert_eq!(column(&summary, "cut off"), 1, "{summary}");
}

#[test]
fn sigint_without_a_connection_exits_0() {
    let mut demo = Demo::start(&["--listen", "127.0.0.1:0", "--shards", "1"]);
    demo.addr();
    demo.signal(Signal::INT);
    assert_eq!(demo.wait().code(), Some(0));
    let words = demo.rest_of_stderr();
    assert!(
        words.contains("SIGINT: no longer accepting; 0 connections"),
        "{words}"
    );
}

#[test]
fn a_second_signal_ends_a_drain_that_hangs() {
    let mut demo = Demo::start(&["--listen", "127.0.0.1:0", "--shards", "1", "--drain", "1h"]);
    let _stuck = connect_stuck(demo.addr());
    demo.signal(Signal::TERM);
    assert!(demo.says("SIGTERM: no longer accepting"));
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().code(), Some(143));
}
