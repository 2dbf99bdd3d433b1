//! Callers that see "ready" and then "would block", again and again: they pause, and do not use a
//! whole CPU.

mod support;

use std::io::{self, Read};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use reactor::time::timeout;
use reactor::{Interest, Placement, Reactor, Ready, Registration};
use support::{DEADLINE, reactor};

const READ: Interest = Interest::READABLE;
/// The time in which attempts are counted, and their limit: a pause takes a millisecond.
const COUNTED: Duration = Duration::from_millis(300);
const ATTEMPTS_MAX: u32 = 1_000;
/// A caller that spins ends here.
const ENOUGH: u32 = 100_000;

/// Counts the attempts of an operation that always blocks, off a shard.
fn attempts(
    reactor: &Reactor,
    registration: &Registration,
    mut operation: impl FnMut() -> io::Result<()>,
) -> u32 {
    let mut attempts = 0;
    let io = registration.async_io(READ, || {
        attempts += 1;
        if attempts == ENOUGH {
            Ok(())
        } else {
            operation()
        }
    });
    let ended = reactor.block_on(async { timeout(COUNTED, io).await });
    assert!(ended.is_err(), "{ENOUGH} attempts within {COUNTED:?}");
    attempts
}

fn register(reactor: &Reactor, source: &impl std::os::fd::AsRawFd) -> Registration {
    Registration::new(
        reactor.handle(),
        Placement::Hash,
        source,
        READ,
        Ready::EMPTY,
    )
    .unwrap()
}

#[test]
fn a_would_block_of_the_closures_own_does_not_spin_after_the_peer_closed() {
    let reactor = reactor(1);
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let registration = register(&reactor, &near);
    drop(far);
    let counted = attempts(&reactor, &registration, || {
        Err(io::ErrorKind::WouldBlock.into())
    });
    assert!(counted <= ATTEMPTS_MAX, "{counted} attempts");
    // The states are still there for a caller that reads.
    let read = registration.async_io(READ, || (&near).read(&mut [0; 8]));
    let read = reactor.block_on(async { timeout(DEADLINE, read).await });
    assert_eq!(read.expect("it is ready").unwrap(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_message_socket_shut_down_for_reading_does_not_spin() {
    let reactor = reactor(1);
    let (near, _far) = UnixDatagram::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let registration = register(&reactor, &near);
    near.shutdown(std::net::Shutdown::Read).unwrap();
    let counted = attempts(&reactor, &registration, || near.recv(&mut [0; 8]).map(drop));
    assert!(counted <= ATTEMPTS_MAX, "{counted} attempts");
}

#[test]
fn a_pause_ends_in_time_on_a_shard_and_elsewhere_and_with_the_reactor() {
    let reactor = reactor(1);
    let (near, _far) = UnixStream::pair().unwrap();
    let registration = register(&reactor, &near);
    let pause = || timeout(DEADLINE, registration.pause(Duration::from_millis(2)));
    reactor
        .block_on(async { pause().await })
        .expect("elsewhere");
    let shard = reactor.handle().shards().next().unwrap();
    let other = register(&reactor, &near.try_clone().unwrap());
    let on_shard = reactor.handle().spawn_on(shard, move || async move {
        let pause = other.pause(Duration::from_millis(2));
        timeout(DEADLINE, pause).await.is_ok()
    });
    assert!(reactor.block_on(on_shard).unwrap());
    // A handle keeps the shards' memory, as other registrations do.
    let _handle = reactor.handle().clone();
    drop(reactor);
    // No timer is kept any more, so a long pause ends at once.
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let executor = tokio::runtime::Builder::new_current_thread();
        let executor = { executor }.build().unwrap();
        executor.block_on(registration.pause(Duration::from_secs(3_600)));
        done.send(()).unwrap();
    });
    support::receive(&ended, "the end of a pause on a reactor that is gone");
}
