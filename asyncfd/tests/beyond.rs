//! The additions to tokio's `AsyncFd`: other constructors, the shard, changes of interest, and
//! closed sides.
// The cases make sockets and FIFOs by calls that Apple's systems do not have.
#![cfg(not(target_vendor = "apple"))]

mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::pin;
use std::task::Poll;

use asyncfd::{AsyncFd, Interest, Ready};
use reactor::{Handle, Placement, Reactor};
use rustix::fs::{Mode, OFlags};

use common::support::{Probe, drain, fill, pair, panic_of};
use common::{cached, run, settle, within_deadline};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

#[test]
fn from_fd_takes_what_owns_or_borrows_a_descriptor() {
    run(|| async {
        let (a, mut b) = pair();
        b.write_all(b"x").unwrap();
        {
            let borrowed = AsyncFd::from_fd(a.as_fd()).unwrap();
            assert_eq!(borrowed.readable().await.unwrap().ready(), Ready::READABLE);
            assert_eq!(borrowed.as_raw_fd(), a.as_raw_fd());
        }
        let owned = AsyncFd::from_fd(OwnedFd::from(a)).unwrap();
        assert_eq!(owned.readable().await.unwrap().ready(), Ready::READABLE);
        assert!(owned.writable().await.unwrap().ready().is_writable());

        let (c, _d) = pair();
        let c = AsyncFd::from_fd_with_interest(c, Interest::READABLE).unwrap();
        settle().await;
        assert_eq!(cached(&c, BOTH), Ready::EMPTY);

        let (file, error) = AsyncFd::from_fd(File::open("Cargo.toml").unwrap())
            .unwrap_err()
            .into_parts();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(file.metadata().unwrap().is_file());
    });
}

#[test]
fn from_fd_without_a_reactor_panics_and_blames_its_caller() {
    let (a, _b) = pair();
    let (message, file, line) = panic_of(|| AsyncFd::from_fd(a.as_fd()));
    assert_eq!((file.ends_with("beyond.rs"), line), (true, line!() - 1));
    assert!(message.contains("Handle::enter"), "{message}");
}

#[test]
fn new_on_needs_no_current_reactor_and_follows_the_placement() {
    let reactor = Reactor::builder().shards(3).build().unwrap();
    for shard in reactor.handle().shards() {
        let (a, mut b) = pair();
        let a = AsyncFd::new_on(reactor.handle(), Placement::Shard(shard), a).unwrap();
        assert_eq!(a.shard(), shard);
        b.write_all(b"x").unwrap();
        within_deadline(&reactor, async {
            a.readable().await.unwrap().retain_ready()
        });
    }
    let (a, _b) = pair();
    let hashed = AsyncFd::new_on(reactor.handle(), Placement::Hash, a).unwrap();
    assert_eq!(
        hashed.shard(),
        reactor.handle().shard_for(hashed.as_raw_fd())
    );

    let file = File::open("Cargo.toml").unwrap();
    let error = AsyncFd::new_on(reactor.handle(), Placement::Hash, file).unwrap_err();
    assert_eq!(
        io::Error::from(error).kind(),
        io::ErrorKind::PermissionDenied
    );

    let task = |shard| async move {
        let (a, _b) = pair();
        let a = AsyncFd::new_on(&Handle::current(), Placement::Current, a).unwrap();
        assert_eq!(a.shard(), shard);
    };
    for task in reactor.handle().spawn_on_all(task) {
        within_deadline(&reactor, task).unwrap();
    }
}

#[test]
fn the_reactors_placement_is_the_default() {
    let reactor = Reactor::builder()
        .shards(3)
        .placement(Placement::RoundRobin)
        .build()
        .unwrap();
    let _entered = reactor.enter();
    let fds: Vec<_> = (0..6).map(|_| AsyncFd::new(pair().0).unwrap()).collect();
    for shard in reactor.handle().shards() {
        assert_eq!(fds.iter().filter(|fd| fd.shard() == shard).count(), 2);
    }
}

#[test]
fn a_change_of_interest_takes_effect_at_once() {
    run(|| async {
        let (a, mut b) = pair();
        let mut a = AsyncFd::from_fd_with_interest(a, Interest::READABLE).unwrap();
        settle().await;
        assert_eq!(cached(&a, BOTH), Ready::EMPTY);
        a.set_interest(BOTH).unwrap();
        settle().await;
        assert_eq!(
            cached(&a, BOTH),
            Ready::WRITABLE,
            "present readiness is reported anew"
        );

        a.set_interest(Interest::WRITABLE).unwrap();
        b.write_all(b"x").unwrap();
        settle().await;
        assert_eq!(cached(&a, Interest::READABLE), Ready::EMPTY);
        a.set_interest(Interest::READABLE).unwrap();
        assert_eq!(a.readable().await.unwrap().ready(), Ready::READABLE);
    });
}

#[test]
fn a_change_of_interest_fails_where_the_number_is_someone_elses() {
    run(|| async {
        let (a, _b) = pair();
        let (c, _d) = pair();
        let mut stale = AsyncFd::new(a.as_raw_fd()).unwrap();
        let mut a = OwnedFd::from(a);
        rustix::io::dup2(&c, &mut a).unwrap();
        let mut owner = AsyncFd::from_fd_with_interest(a, Interest::WRITABLE).unwrap();
        assert!(stale.set_interest(Interest::READABLE).is_err());
        assert!(stale.clear_closed().is_err());
        owner.writable().await.unwrap().retain_ready();
        owner.set_interest(BOTH).unwrap();
    });
}

#[test]
fn closed_waits_for_the_peer_and_says_which_side() {
    run(|| async {
        let (a, mut b) = pair();
        let a = AsyncFd::from_fd(a).unwrap();
        let probe = Probe::new();
        let mut closed = pin!(a.closed());
        assert!(probe.poll(closed.as_mut()).is_pending());
        b.write_all(b"unread").unwrap();
        settle().await;
        assert!(probe.poll(closed.as_mut()).is_pending(), "data is no end");
        b.shutdown(Shutdown::Write).unwrap();
        probe.woken().await;
        assert_eq!(closed.await.unwrap(), Ready::READ_CLOSED);
        assert_eq!(drain(a.get_ref()), 6, "nothing was read");
        drop(b);
        settle().await;
        assert_eq!(
            a.closed().await.unwrap(),
            Ready::READ_CLOSED | Ready::WRITE_CLOSED
        );
    });
}

#[test]
fn closed_does_not_believe_a_bit_from_before_connect() {
    run(|| async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::STREAM.nonblocking(),
            None,
        )
        .unwrap();
        // The socket is registered too early, so the system reports a hang-up.
        let fd = AsyncFd::from_fd(socket).unwrap();
        settle().await;
        assert!(cached(&fd, BOTH).is_write_closed());
        let address = listener.local_addr().unwrap().into();
        let _ = fd.get_ref().connect(&address);
        let (peer, _) = listener.accept().unwrap();
        let probe = Probe::new();
        let mut closed = pin!(fd.closed());
        assert!(probe.poll(closed.as_mut()).is_pending());
        settle().await;
        assert!(probe.poll(closed.as_mut()).is_pending());
        drop(peer);
        assert!(closed.await.unwrap().is_read_closed());
    });
}

#[test]
fn a_socket_registered_before_connect_recovers() {
    run(|| async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::STREAM.nonblocking(),
            None,
        )
        .unwrap();
        let fd = AsyncFd::from_fd(socket).unwrap();
        settle().await;
        let _ = fd.get_ref().connect(&listener.local_addr().unwrap().into());
        let (mut peer, _) = listener.accept().unwrap();
        // Closed bits would end every wait at once; the first EAGAIN makes the reactor check them.
        let tries = std::cell::Cell::new(0);
        let mut read = pin!(fd.async_io(Interest::READABLE, |mut fd| {
            tries.set(tries.get() + 1);
            fd.read(&mut [0; 8])
        }));
        let probe = Probe::new();
        for _ in 0..20 {
            assert!(probe.poll(read.as_mut()).is_pending());
            settle().await;
        }
        assert!(tries.get() < 5, "{} tries while nothing came", tries.get());
        peer.write_all(b"abc").unwrap();
        assert_eq!(read.await.unwrap(), 3);
    });
}

#[test]
fn an_eagain_through_a_guard_drops_closed_bits_that_are_not_true() {
    run(|| async {
        for exclusive in [false, true] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let kind = socket2::Type::STREAM.nonblocking();
            let socket = socket2::Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
            let mut fd = AsyncFd::from_fd(socket).unwrap();
            settle().await;
            let _ = fd.get_ref().connect(&listener.local_addr().unwrap().into());
            let (_peer, _) = listener.accept().unwrap();
            settle().await;
            assert!(
                cached(&fd, Interest::READABLE).is_read_closed(),
                "from before connect"
            );
            let blocked = if exclusive {
                let mut guard = fd.readable_mut().await.unwrap();
                guard.try_io(|fd| fd.get_mut().read(&mut [0; 8])).is_err()
            } else {
                let mut guard = fd.readable().await.unwrap();
                guard.try_io(|fd| fd.get_ref().read(&mut [0; 8])).is_err()
            };
            assert!(blocked);
            settle().await;
            assert_eq!(cached(&fd, Interest::READABLE), Ready::EMPTY);
        }
    });
}

#[test]
fn clear_closed_drops_what_is_no_longer_true() {
    run(|| async {
        let path = std::env::temp_dir().join(format!(
            "asyncfd-fifo-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let _ = std::fs::remove_file(&path);
        let fifo = || rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo(), Mode::RUSR | Mode::WUSR, 0).unwrap();
        let open =
            |flags| rustix::fs::open(&path, flags | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let reader = open(OFlags::RDONLY);
        let reader =
            AsyncFd::from_fd_with_interest(File::from(reader), Interest::READABLE).unwrap();

        let writer = File::from(open(OFlags::WRONLY));
        drop(writer);
        assert!(reader.readable().await.unwrap().ready().is_read_closed());
        reader.readable().await.unwrap().clear_ready();
        assert!(
            cached(&reader, Interest::READABLE).is_read_closed(),
            "a clear leaves it"
        );
        // It is still true, so it returns.
        reader.clear_closed().unwrap();
        settle().await;
        assert!(cached(&reader, Interest::READABLE).is_read_closed());

        // A writer returns, and it is no longer true.
        let mut writer = File::from(open(OFlags::WRONLY));
        reader.clear_closed().unwrap();
        settle().await;
        assert_eq!(cached(&reader, Interest::READABLE), Ready::EMPTY);
        writer.write_all(b"abc").unwrap();
        let n = reader
            .async_io(Interest::READABLE, |mut file| file.read(&mut [0; 8]))
            .await
            .unwrap();
        assert_eq!(n, 3);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn waits_run_under_any_executor() {
    let reactor = Reactor::builder().shards(2).build().unwrap();
    let (a, mut b) = pair();
    let a = AsyncFd::new_on(reactor.handle(), Placement::Hash, a).unwrap();
    // Polled by hand, without an executor.
    let probe = Probe::new();
    let mut read = pin!(a.async_io(Interest::READABLE, |mut a| a.read(&mut [0; 8])));
    assert!(probe.poll(read.as_mut()).is_pending());
    b.write_all(b"abc").unwrap();
    assert_eq!(common::support::block_by_hand(read.as_mut()).unwrap(), 3);
    // Under tokio.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    fill(a.get_ref());
    a.try_io(Interest::WRITABLE, |mut a| a.write(b"x"))
        .unwrap_err();
    let peer = std::thread::spawn(move || drain(&b));
    runtime.block_on(async { a.writable().await.unwrap().retain_ready() });
    assert!(peer.join().unwrap() > 0);
}

#[test]
fn operations_that_never_wait_still_let_other_tasks_of_the_shard_run() {
    common::run_on_shard(|| async {
        let (a, _b) = pair();
        let a = AsyncFd::from_fd(a).unwrap();
        a.writable().await.unwrap().retain_ready();
        let ran = std::rc::Rc::new(std::cell::Cell::new(false));
        let others = std::rc::Rc::clone(&ran);
        let other = reactor::spawn_local(async move { others.set(true) });
        // Each operation ends at once, so only the budget can make this task yield.
        let mut operations = 0;
        while !ran.get() {
            operations += 1;
            assert!(operations < 100_000, "nobody else ran");
            a.async_io(Interest::WRITABLE, |_| Ok(())).await.unwrap();
        }
        other.await.unwrap();
    });
}

#[test]
fn try_io_never_charges_the_budget() {
    common::run_on_shard(|| async {
        let (a, _b) = pair();
        let a = AsyncFd::from_fd(a).unwrap();
        a.writable().await.unwrap().retain_ready();
        // The yield grants a fresh budget.
        reactor::yield_now().await;
        for _ in 0..1_000 {
            a.try_io(Interest::WRITABLE, |_| Ok(())).unwrap();
        }
        // If every call charged the budget of 128, it would be used up and this wait would be
        // pending.
        let mut wait = pin!(a.async_io(Interest::WRITABLE, |_| Ok(())));
        let first = std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
        assert!(first.is_ready(), "the calls used the budget up");
    });
}
