//! The `work` service: a request costs the CPU time it asks for, and comes back whole; a drain cuts
//! no answer.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use common::{Demo, config, connect, eventually, payload, start};
use rustix::process::Signal;
use server_demo::{AcceptPolicy, Config, Service};

fn exchange(stream: &mut TcpStream, micros: u32, size: usize, round: usize) {
    let mut sent = payload(1, round, size);
    sent[..4].copy_from_slice(&micros.to_le_bytes());
    stream.write_all(&sent).expect("the server reads");
    let mut came = vec![0; size];
    stream.read_exact(&mut came).expect("the server answers");
    assert!(
        came == sent,
        "round {round}: another answer than what was sent"
    );
}

#[test]
fn requests_come_back_under_every_policy_mobile_and_local() {
    for accept in AcceptPolicy::ALL {
        for local in [false, true] {
            let size = 100;
            let server = start(Config {
                accept,
                local,
                service: Service::Work { size },
                ..config()
            });
            let mut clients: Vec<TcpStream> =
                (0..8).map(|_| connect(server.local_addr())).collect();
            for round in 0..5 {
                for client in &mut clients {
                    exchange(client, 20, size, round);
                }
            }
            drop(clients);
            assert!(eventually(|| server.stats().total().live == 0));
            let total = server.shutdown(Duration::ZERO).stats.total();
            assert_eq!(
                (total.accepted, total.bytes, total.failed, total.cut_off),
                (8, 8 * 5 * 100, 0, 0),
                "{accept}, local {local}"
            );
        }
    }
}

#[test]
fn a_request_costs_the_cpu_time_it_asks_for() {
    let demo = Demo::start_service("work", &["--listen", "127.0.0.1:0", "--shards", "1"]);
    let mut stream = connect(demo.addr());
    exchange(&mut stream, 0, 64, 0);
    let before = demo.cpu_ticks();
    for round in 0..10 {
        exchange(&mut stream, 50_000, 64, round);
    }
    // Half a second is 50 ticks; the rest of the server costs little.
    let ticks = demo.cpu_ticks() - before;
    assert!((48..70).contains(&ticks), "{ticks} ticks of 10 ms");
}

#[test]
fn sigterm_lets_a_request_that_is_under_way_finish() {
    for flags in [&[][..], &["--local"]] {
        let base = ["--listen", "127.0.0.1:0", "--shards", "2", "--drain", "20s"];
        let mut demo = Demo::start_service("work", &[&base[..], flags].concat());
        let mut idle = connect(demo.addr());
        exchange(&mut idle, 0, 64, 0);
        let mut busy = connect(idle.peer_addr().unwrap());
        exchange(&mut busy, 0, 64, 0);
        let mut sent = payload(2, 2, 64);
        sent[..4].copy_from_slice(&0_u32.to_le_bytes());
        busy.write_all(&sent[..10]).unwrap();
        thread::scope(|scope| {
            demo.signal(Signal::TERM);
            assert!(demo.says("SIGTERM: no longer accepting"));
            scope.spawn(|| busy.write_all(&sent[10..]).unwrap());
        });
        let mut came = vec![0; 64];
        busy.read_exact(&mut came).expect("the answer comes whole");
        assert!(came == sent);
        assert_eq!(busy.read(&mut came).unwrap(), 0, "then the server ends it");
        assert_eq!(idle.read(&mut came).unwrap(), 0);
        drop((idle, busy));
        assert_eq!(demo.wait().code(), Some(0));
    }
}

#[test]
fn a_request_too_small_for_its_time_is_refused() {
    let mut demo = Demo::start_service("work", &["--listen", "127.0.0.1:0", "--size", "3"]);
    assert_eq!(demo.wait().code(), Some(2));
    let said = demo.rest_of_stderr();
    assert!(said.contains("no room for its time"), "{said}");
}
