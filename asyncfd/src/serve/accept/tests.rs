//! Tests of the errors of accept(2) that pause accepting, of the length of a pause, and of the
//! number of connections taken in a row.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use reactor::Reactor;

use super::*;
use crate::serve::connection::Mobile;
use crate::serve::{Tcp, Timeouts};

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
        Errno::PROTO,
        Errno::HOSTUNREACH,
    ] {
        assert!(is_of_one_connection(&os(errno)), "{errno}");
    }
}

#[test]
fn pauses_double_up_to_a_second_and_begin_anew_after_a_success() {
    let mut pause = Pause::default();
    let mut next = || pause.next(&os(Errno::MFILE), None).as_millis();
    let delays: Vec<u128> = (0..9).map(|_| next()).collect();
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    pause.over();
    assert_eq!(pause.next(&os(Errno::MFILE), None).as_millis(), 10);
}

#[test]
fn the_operator_is_told_once_and_not_at_every_pause() {
    let told = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&told);
    let notice = move |text: &str| {
        assert!(text.contains("accepting pauses"), "{text}");
        counted.fetch_add(1, SeqCst);
    };
    let mut pause = Pause::default();
    for _ in 0..100 {
        pause.next(&os(Errno::MFILE), Some(&notice));
        pause.over();
    }
    assert_eq!(told.load(SeqCst), 1);
}

#[test]
fn a_crowd_that_waits_is_let_in_by_batches_between_which_others_have_their_turn() {
    const CROWD: u64 = 300;
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let handle = reactor.handle().clone();
    let task = reactor.handle().spawn(async move {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        rustix::net::listen(&listener, 1024).unwrap();
        let crowd: Vec<TcpStream> = (0..CROWD)
            .map(|_| TcpStream::connect(addr).unwrap())
            .collect();
        let policy = AcceptPolicy::LeastLoaded;
        let shard = handle.shards().next().unwrap();
        let shared = Arc::new(Shared::new(&handle, None, 1, Timeouts::new()));
        let acceptor = Acceptor::<Tcp, _> {
            here: 0,
            policy,
            nodelay: true,
            backlog: 1024,
            notice: None,
            start: Mobile(Arc::new(async |_, _| ())),
            turn: Cell::new(0),
            listener: register::<Tcp>(&handle, shard, policy, listener).unwrap(),
            shared: Arc::clone(&shared),
        };
        drop(reactor::spawn_local(acceptor.run()));
        // The connections that this task finds at each of its polls.
        let (mut accepted, mut most) = (0, 0);
        while accepted < CROWD {
            yield_now().await;
            let now = shared.stats().total(|shard| shard.accepted);
            most = most.max(now - accepted);
            accepted = now;
        }
        drop(crowd);
        most
    });
    assert_eq!(reactor.block_on(task).unwrap(), BATCH as u64);
}
