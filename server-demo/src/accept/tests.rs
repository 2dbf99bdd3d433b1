//! Tests of the errors of accept(2) that pause accepting, of the length of a pause, and of the
//! number of connections taken in a row.

use std::net::TcpStream as StdTcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use reactor::{Reactor, spawn_local};
use socket2::{Domain, Socket, Type};

use super::*;
use crate::Config;
use crate::server::Shared;

fn os(errno: Errno) -> io::Error {
    errno.into()
}

#[test]
fn what_ran_out_pauses_and_what_one_client_did_does_not() {
    for errno in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::PERM,
        Errno::INVAL,
        Errno::BADF,
    ] {
        assert!(!is_of_one_connection(&os(errno)), "{errno}");
    }
    for errno in [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::AGAIN,
        Errno::PROTO,
        Errno::HOSTUNREACH,
    ] {
        assert!(is_of_one_connection(&os(errno)), "{errno}");
    }
}

#[test]
fn pauses_double_up_to_a_second_and_begin_anew_after_a_success() {
    let mut pause = Pause::default();
    let mut next = || pause.next(&os(Errno::MFILE), |_| {}).as_millis();
    let delays: Vec<u128> = (0..9).map(|_| next()).collect();
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    pause.over();
    assert_eq!(pause.next(&os(Errno::MFILE), |_| {}).as_millis(), 10);
}

#[test]
fn the_operator_is_told_once_and_not_at_every_pause() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let mut pause = Pause::default();
    for _ in 0..100 {
        pause.next(&os(Errno::MFILE), |text| {
            assert!(text.contains("accepting pauses"), "{text}");
            TOLD.fetch_add(1, SeqCst);
        });
        pause.over();
    }
    assert_eq!(TOLD.load(SeqCst), 1);
}

#[test]
fn a_crowd_that_waits_is_let_in_by_batches_between_which_others_have_their_turn() {
    const CROWD: u64 = 300;
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let handle = reactor.handle().clone();
    let shard = handle.shards().next().unwrap();
    let task = handle.clone().spawn_on(shard, move || async move {
        let shared = Arc::new(Shared::new(&Config::default(), vec![shard]));
        Local::install(Arc::clone(&shared), shard);
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(BACKLOG).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let crowd: Vec<StdTcpStream> = (0..CROWD)
            .map(|_| StdTcpStream::connect(addr).unwrap())
            .collect();
        drop(spawn_local(run(
            TcpListener::from_std(listener.into()).unwrap(),
            handle,
        )));
        // The connections that this task finds at each of its polls.
        let (mut accepted, mut most) = (0, 0);
        while accepted < CROWD {
            yield_now().await;
            let now = shared.counters[0].accepted.load(Relaxed);
            most = most.max(now - accepted);
            accepted = now;
        }
        drop(crowd);
        most
    });
    assert_eq!(reactor.block_on(task).unwrap(), BATCH as u64);
}
