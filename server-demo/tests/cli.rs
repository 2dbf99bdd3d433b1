//! The command line: the rejected arguments, with their messages and exit codes.

mod common;

use std::net::TcpListener;

use common::{Demo, connect, round_trip};
use rustix::process::Signal;

/// Runs the program to its end and returns the exit code and its standard error.
fn run(flags: &[&str]) -> (Option<i32>, String) {
    let mut demo = Demo::start(flags);
    let code = demo.wait().code();
    (code, demo.rest_of_stderr())
}

#[test]
fn bad_arguments_exit_2_and_name_the_remedy() {
    for (flags, words) in [
        (["--shards", "0"], "at least one shard"),
        (["--shards", "many"], "invalid value 'many'"),
        (
            ["--pin", "9999"],
            "cannot pin to CPU 9999: this process may use",
        ),
        (["--pin", "somewhere"], "is not a CPU number"),
        (
            ["--accept", "sticky"],
            "not one of reuseport, hash, round-robin, least-loaded, hybrid",
        ),
        (["--io", "ring"], "[possible values: helpers, guards, poll]"),
        (["--max-connections", "0"], "limit of 0 connections"),
        (["--max-connections", "-1"], "-1"),
        (["--idle-timeout", "0"], "idle timeout of 0"),
        (["--write-timeout", "0"], "write timeout of 0"),
        (["--idle-timeout", "5 minutes"], "unknown unit"),
        (["--drain", "soon"], "does not start with a number"),
        (["--listen", "nowhere"], "invalid socket address"),
        (["--colour", "red"], "unexpected argument"),
    ] {
        // A free port, in case one of them starts after all.
        let listen = if flags[0] == "--listen" {
            &[][..]
        } else {
            &["--listen", "127.0.0.1:0"]
        };
        let (code, said) = run(&[listen, &flags[..]].concat());
        assert_eq!(code, Some(2), "{flags:?}: {said}");
        assert!(said.contains(words), "{flags:?}: {said}");
    }
}

#[test]
fn an_address_in_use_is_named_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for accept in ["reuseport", "hash"] {
        let (code, said) = run(&["--listen", &addr, "--accept", accept]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains(&format!("cannot listen on {addr}: Address already in use")),
            "{said}"
        );
    }
}

#[test]
fn two_servers_do_not_share_an_address_by_accident() {
    let first = Demo::start(&["--listen", "127.0.0.1:0", "--accept", "reuseport"]);
    let addr = first.addr().to_string();
    for accept in ["reuseport", "hash"] {
        let (code, said) = run(&["--listen", &addr, "--accept", accept]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("Address already in use"), "{said}");
    }
}

#[test]
fn an_address_of_another_machine_exits_1() {
    let (code, said) = run(&["--listen", "192.0.2.1:7777"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot listen on 192.0.2.1:7777"), "{said}");
}

#[test]
fn it_says_what_it_got_and_serves_v6_too() {
    let mut demo = Demo::start(&["--listen", "[::1]:0", "--shards", "3", "--pin", "none"]);
    let addr = demo.addr();
    assert!(addr.is_ipv6());
    round_trip(&mut connect(addr), 0, 0, 100);
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().code(), Some(0));
    let said = demo.rest_of_stderr();
    assert!(said.contains("descriptor limit: "), "{said}");
    assert!(
        said.contains("3 shards, accept reuseport, io helpers"),
        "{said}"
    );
    let summary = demo.rest_of_stdout();
    assert_eq!(
        summary.lines().count(),
        5,
        "a heading, three shards, the sums: {summary}"
    );
}

#[test]
fn a_server_can_start_again_where_one_just_ended() {
    let mut first = Demo::start(&["--listen", "127.0.0.1:0"]);
    let addr = first.addr();
    let mut stream = connect(addr);
    round_trip(&mut stream, 0, 0, 10);
    first.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0));
    // The server closed first, so its end of the connection is in TIME_WAIT.
    drop(stream);
    let second = Demo::start(&["--listen", &addr.to_string()]);
    assert_eq!(second.addr(), addr);
    round_trip(&mut connect(addr), 0, 0, 10);
}

#[test]
fn sigusr1_prints_the_counters_and_ends_nothing() {
    let mut demo = Demo::start(&["--listen", "127.0.0.1:0", "--shards", "2"]);
    let mut stream = connect(demo.addr());
    for round in 1..=3 {
        round_trip(&mut stream, 0, round, 100);
        demo.signal(Signal::USR1);
        let report = demo.lines_of_stdout(4);
        assert!(report[0].contains("live"), "{report:?}");
        let sums: Vec<&str> = report[3].split_whitespace().collect();
        // The columns: name, no CPU, accepted, closed, live.
        assert_eq!(sums[..5], ["all", "-", "1", "0", "1"], "round {round}");
    }
    demo.signal(Signal::TERM);
    assert_eq!(demo.wait().code(), Some(0));
}
