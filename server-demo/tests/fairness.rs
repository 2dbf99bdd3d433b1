//! Fairness: a ready connection waits only for its place in the queue, counted in turns of its
//! shard, even beside a connection that always has something to read.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use common::{Demo, column, connect, eventually, payload};
use rustix::process::Signal;
use server_demo::IoSurface;

/// The reactor's default number of polls per turn.
const EVENT_INTERVAL: u64 = 61;

/// Tasks of a one-shard server that serve no connection: the listener's, and the one that waits for
/// the drain.
const OTHER_TASKS: u64 = 2;

#[test]
fn beside_a_flood_a_ready_connection_waits_for_its_place_in_the_queue_and_no_longer() {
    // Fewer than the events that one turn takes, so that one turn can find them all.
    const QUIET: usize = 900;
    const ROUNDS: usize = 5;
    for io in IoSurface::ALL {
        let mut demo = Demo::start(&[
            "--listen",
            "127.0.0.1:0",
            "--shards",
            "1",
            "--io",
            io.name(),
        ]);
        let addr = demo.addr();
        let mut quiet: Vec<TcpStream> = (0..QUIET).map(|_| connect(addr)).collect();
        let flood = connect(addr);
        let flooded = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| while (&flood).write_all(&[1; 64 * 1024]).is_ok() {});
            scope.spawn(|| {
                let mut buffer = vec![0; 256 * 1024];
                while let Ok(n @ 1..) = (&flood).read(&mut buffer) {
                    flooded.fetch_add(n as u64, SeqCst);
                }
            });
            for round in 0..ROUNDS {
                let before = flooded.load(SeqCst);
                assert!(eventually(|| flooded.load(SeqCst) > before + (1 << 20)));
                // All become ready while the server is stopped, so it finds them ready at once.
                demo.signal(Signal::STOP);
                assert!(eventually(|| demo.is_stopped()));
                for (number, stream) in quiet.iter_mut().enumerate() {
                    stream.write_all(&payload(number, round, 16)).unwrap();
                }
                demo.signal(Signal::CONT);
                for (number, stream) in quiet.iter_mut().enumerate() {
                    let mut came = [0; 16];
                    stream.read_exact(&mut came).unwrap();
                    assert!(came == payload(number, round, 16)[..], "another's answer");
                }
            }
            flood.shutdown(Shutdown::Both).unwrap();
        });
        demo.signal(Signal::TERM);
        assert_eq!(demo.wait().code(), Some(0));
        let summary = demo.rest_of_stdout();
        let waited = column(&summary, "turns waited");
        let ready = QUIET as u64 + 1 + OTHER_TASKS;
        assert!(waited <= ready.div_ceil(EVENT_INTERVAL), "{io}: {summary}");
        // All were ready at once, so the last waited for all others except those of its own turn.
        assert!(waited >= QUIET as u64 / EVENT_INTERVAL, "{io}: {summary}");
    }
}
