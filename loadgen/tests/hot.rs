//! Uneven load, and requests that ask for CPU time, checked against the server's own record.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use common::{run, serve};
use server_demo::{AcceptPolicy, Config, Server};

/// Runs a load against a server with two shards that spreads connections in turn. Returns each
/// shard's share of the echoed bytes.
fn shares(args: &str) -> Vec<f64> {
    let server = Server::start(Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        shards: Some(2),
        accept: AcceptPolicy::RoundRobin,
        ..Config::default()
    })
    .expect("a server");
    let target = server.local_addr();
    let report = run(&format!("{target} -c 32 {args} --format json"))
        .expect_code(0)
        .report();
    assert_eq!(report.requests.answered, report.requests.scheduled);
    let shards = server.shutdown(Duration::from_secs(5)).stats.shards;
    let bytes: Vec<u64> = shards.iter().map(|shard| shard.bytes).collect();
    let all: u64 = bytes.iter().sum();
    bytes.iter().map(|&one| one as f64 / all as f64).collect()
}

#[test]
fn the_hot_connections_sit_on_one_shard_of_a_server_that_spreads_in_turn() {
    let shares = shares("-R 4000 --hot 25%:90% -d 1 --warmup 0");
    let most = shares.iter().copied().fold(0.0, f64::max);
    // The shard gets 90% for the hot connections, and a third of the rest for its other
    // connections.
    assert!((0.91..0.955).contains(&most), "{shares:?}");
}

#[test]
fn a_hot_set_that_moves_loads_the_shards_in_turn() {
    let shares = shares("-R 4000 --hot 25%:90% --hot-shift 100ms -d 1 --warmup 0");
    let most = shares.iter().copied().fold(0.0, f64::max);
    assert!(most < 0.55, "{shares:?}");
}

#[test]
fn every_request_begins_with_the_time_it_asks_for() {
    let requests = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&requests);
    let server = serve(move |_, mut stream| {
        let mut request = [0; 32];
        loop {
            stream.read_exact(&mut request)?;
            assert_eq!(request[..4], 250_u32.to_le_bytes());
            seen.fetch_add(1, Relaxed);
            stream.write_all(&request)?;
        }
    });
    let args = "-c 4 -R 500 --arrivals poisson --work 250us --size 32 -d 1 --warmup 0";
    let report = run(&format!("{server} {args} --format json"))
        .expect_code(0)
        .report();
    assert_eq!(report.settings.work_us, Some(250));
    // The first request of each connection asks for CPU time too.
    assert_eq!(requests.load(Relaxed), report.requests.answered + 4);
}

#[test]
fn a_changed_time_in_an_answer_is_found() {
    let server = serve(|_, mut stream| {
        let mut request = [0; 64];
        loop {
            stream.read_exact(&mut request)?;
            request[3] ^= 1;
            stream.write_all(&request)?;
        }
    });
    run(&format!("{server} -c 1 -n 10 --work 1ms"))
        .expect_code(1)
        .expect_message("byte 3 of the reply is 0x01, expected was 0x00");
}

#[test]
fn flags_that_cannot_work_together_are_refused() {
    for (args, words) in [
        ("-R 10 -t 2 --hot 25%:90%", "--hot needs -t 1"),
        ("-R 10 -c 3 --hot 25%:90%", "cannot be divided"),
        ("--hot 25%:90%", "--rate"),
        ("127.0.0.1:9 --work 1ms --size 3", "--size 4 or more"),
        ("127.0.0.1:9 --work 1ms --size 64:1,128:1", "one --size"),
        ("127.0.0.1:9 --work 1500ns", "whole microseconds"),
        ("--work 1ms", "needs a TARGET"),
    ] {
        run(args).expect_code(2).expect_message(words);
    }
}
