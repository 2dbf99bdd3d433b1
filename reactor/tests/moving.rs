//! Registrations that follow their task to another shard.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use reactor::{Handle, Interest, JoinHandle, Placement, Reactor, Ready, Registration, ShardId};

mod support;

/// More waits than are needed to move a registration.
const ENOUGH: usize = 20;

struct Socket {
    stream: UnixStream,
    registration: Registration,
}

impl Socket {
    fn new(handle: &Handle, placement: Placement, stream: UnixStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        let registration =
            Registration::new(handle, placement, &stream, Interest::READABLE, Ready::EMPTY)
                .unwrap();
        Self {
            stream,
            registration,
        }
    }

    async fn receive(&self) -> u8 {
        let mut byte = [0];
        let read = || (&self.stream).read_exact(&mut byte);
        self.registration
            .async_io(Interest::READABLE, read)
            .await
            .unwrap();
        byte[0]
    }
}

/// Returns a pair whose near end hashes to shard 0 of a reactor of two shards. It is not registered
/// yet.
fn pair_of_shard_0(handle: &Handle) -> (UnixStream, UnixStream) {
    let mut others = Vec::new();
    loop {
        let (near, far) = UnixStream::pair().unwrap();
        if handle.shard_for(near.as_raw_fd()).index() == 0 {
            return (near, far);
        }
        others.push((near, far));
    }
}

fn shard(handle: &Handle, index: usize) -> ShardId {
    handle.shards().nth(index).unwrap()
}

/// Spawns a pinned task that receives `messages` bytes on a shard.
fn receiver(handle: &Handle, on: ShardId, socket: Arc<Socket>, messages: usize) -> JoinHandle<()> {
    handle.spawn_on(on, move || async move {
        for message in 0..messages {
            assert_eq!(socket.receive().await, message.to_le_bytes()[0]);
        }
    })
}

/// Sends one byte at a time, so that the receiver waits for each in a tick of its own.
fn send(far: &mut UnixStream, messages: usize) {
    for message in 0..messages {
        far.write_all(&[message.to_le_bytes()[0]]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
}

/// Returns a socket of shard 0 that moved to shard 1.
fn moved(reactor: &Reactor) -> (Arc<Socket>, UnixStream) {
    let handle = reactor.handle();
    let (near, mut far) = pair_of_shard_0(handle);
    let socket = Arc::new(Socket::new(handle, Placement::Hash, near));
    assert_eq!(socket.registration.shard(), shard(handle, 0));
    let task = receiver(handle, shard(handle, 1), Arc::clone(&socket), ENOUGH);
    send(&mut far, ENOUGH);
    handle.block_on(task).unwrap();
    assert_eq!(socket.registration.shard(), shard(handle, 1), "it follows");
    (socket, far)
}

#[test]
fn a_registration_moves_to_the_shard_where_its_task_waits() {
    let reactor = support::reactor(2);
    let handle = reactor.handle();
    let (socket, mut far) = moved(&reactor);
    let before = handle.metrics();
    assert_eq!(before.shards[0].registrations_moved_out, 1);
    assert_eq!(before.shards[1].registrations_moved_in, 1);
    assert_eq!(
        (
            before.shards[0].registrations,
            before.shards[1].registrations
        ),
        (0, 1)
    );
    let task = receiver(handle, shard(handle, 1), Arc::clone(&socket), 200);
    for message in 0..200_u8 {
        far.write_all(&[message]).unwrap();
    }
    handle.block_on(task).unwrap();
    let after = handle.metrics();
    let wakes = |metrics: &reactor::ReactorMetrics| metrics.shards[1].remote_wakes_received;
    assert_eq!(
        wakes(&after),
        wakes(&before),
        "no wake crosses threads any more"
    );
    drop(socket);
    assert_eq!(handle.metrics().total(|shard| shard.registrations), 0);
}

#[test]
fn a_moved_descriptor_is_still_registered_once() {
    let reactor = support::reactor(2);
    let handle = reactor.handle();
    let (socket, _far) = moved(&reactor);
    let again = || {
        Registration::new(
            handle,
            Placement::Hash,
            &socket.stream,
            Interest::READABLE,
            Ready::EMPTY,
        )
    };
    assert_eq!(again().unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(
        again().unwrap_err().kind(),
        ErrorKind::AlreadyExists,
        "and each time"
    );
    let Socket {
        stream,
        registration,
    } = Arc::into_inner(socket).unwrap();
    registration.deregister().unwrap();
    let again = Socket::new(handle, Placement::Hash, stream);
    assert_eq!(again.registration.shard(), shard(handle, 0));
}

#[test]
fn a_number_that_was_closed_after_a_move_is_free_for_others() {
    let reactor = support::reactor(2);
    let handle = reactor.handle();
    let (socket, _far) = moved(&reactor);
    // Another descriptor takes the number while the registration still has it.
    let (stranger, mut strangers_peer) = UnixStream::pair().unwrap();
    rustix::io::dup2(&stranger, &mut BorrowedNumber::of(&socket.stream).0).unwrap();
    let number = socket.stream.try_clone().unwrap();
    drop(number);
    let new = Registration::new(
        handle,
        Placement::Hash,
        &socket.stream,
        Interest::READABLE,
        Ready::EMPTY,
    )
    .unwrap();
    strangers_peer.write_all(b"x").unwrap();
    let seen = handle.block_on(new.readable()).unwrap();
    assert!(seen.ready().is_readable());
    // The late end of the first registration does not affect the second one.
    let Socket {
        stream,
        registration,
    } = Arc::into_inner(socket).unwrap();
    assert_eq!(
        registration.deregister().unwrap_err().kind(),
        ErrorKind::NotFound
    );
    new.clear(seen);
    strangers_peer.write_all(b"y").unwrap();
    assert!(
        handle
            .block_on(new.readable())
            .unwrap()
            .ready()
            .is_readable()
    );
    drop(new);
    drop(stream);
}

/// A descriptor number that `dup2` may replace. It is not closed twice.
struct BorrowedNumber(std::mem::ManuallyDrop<OwnedFd>);

impl BorrowedNumber {
    fn of(stream: &UnixStream) -> Self {
        use std::os::fd::FromRawFd;
        #[allow(unsafe_code, reason = "a second owner that is never dropped")]
        // SAFETY: `ManuallyDrop` never closes it; the stream stays its owner.
        let number = unsafe { OwnedFd::from_raw_fd(stream.as_fd().as_raw_fd()) };
        Self(std::mem::ManuallyDrop::new(number))
    }
}

#[test]
fn a_registration_whose_shard_was_named_stays() {
    let reactor = support::reactor(2);
    let handle = reactor.handle();
    let (near, mut far) = UnixStream::pair().unwrap();
    let placement = Placement::Shard(shard(handle, 0));
    let socket = Arc::new(Socket::new(handle, placement, near));
    let task = receiver(handle, shard(handle, 1), Arc::clone(&socket), 3 * ENOUGH);
    send(&mut far, 3 * ENOUGH);
    handle.block_on(task).unwrap();
    assert_eq!(socket.registration.shard(), shard(handle, 0));
}

#[test]
fn without_stealing_nothing_moves() {
    let reactor = Reactor::builder()
        .shards(2)
        .work_stealing(false)
        .build()
        .unwrap();
    let handle = reactor.handle();
    let (near, mut far) = pair_of_shard_0(handle);
    let socket = Arc::new(Socket::new(handle, Placement::Hash, near));
    let task = receiver(handle, shard(handle, 1), Arc::clone(&socket), 3 * ENOUGH);
    send(&mut far, 3 * ENOUGH);
    handle.block_on(task).unwrap();
    assert_eq!(socket.registration.shard(), shard(handle, 0));
}

#[test]
fn two_tasks_on_two_shards_do_not_make_it_move_to_and_fro() {
    const MESSAGES: usize = 300;
    let reactor = support::reactor(2);
    let handle = reactor.handle();
    let (near, mut far) = pair_of_shard_0(handle);
    let socket = Arc::new(Socket::new(handle, Placement::Hash, near));
    let ends = Arc::new(AtomicBool::new(false));
    let receive = |on| {
        let (socket, ends) = (Arc::clone(&socket), Arc::clone(&ends));
        handle.spawn_on(on, move || async move {
            while !ends.load(SeqCst) {
                if socket.receive().await == 1 {
                    ends.store(true, SeqCst);
                }
            }
        })
    };
    let tasks = [receive(shard(handle, 0)), receive(shard(handle, 1))];
    for _ in 0..MESSAGES {
        far.write_all(&[0]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    far.write_all(&[1, 1]).unwrap();
    for task in tasks {
        handle.block_on(task).unwrap();
    }
    let moves = handle.metrics().total(|shard| shard.registrations_moved_in);
    assert!(moves <= 3, "it moved {moves} times");
}

#[test]
fn a_moved_registration_is_changed_closed_and_dropped_like_any_other() {
    let reactor = support::reactor(2);
    let handle = reactor.handle().clone();
    let (socket, mut far) = moved(&reactor);
    let mut socket = Arc::into_inner(socket).unwrap();
    socket
        .registration
        .set_interest(Interest::READABLE | Interest::WRITABLE)
        .unwrap();
    assert!(
        handle
            .block_on(socket.registration.writable())
            .unwrap()
            .ready()
            .is_writable()
    );
    far.write_all(&[7]).unwrap();
    assert_eq!(handle.block_on(socket.receive()), 7);
    drop(far);
    let closed = handle.block_on(socket.registration.closed()).unwrap();
    assert!(closed.is_read_closed());
    drop(reactor);
    // The reactor is gone, and so is the epoll that the registration moved to.
    let error = handle.block_on(socket.registration.readable()).unwrap_err();
    assert!(reactor::is_shutdown_error(&error));
    drop(socket);
}

#[test]
fn slots_of_moved_registrations_are_used_again() {
    let reactor = support::reactor(2);
    for _ in 0..10 {
        let (socket, _far) = moved(&reactor);
        drop(socket);
    }
    let metrics = reactor.handle().metrics();
    assert_eq!(metrics.total(|shard| shard.registrations), 0);
    assert_eq!(metrics.total(|shard| shard.registrations_moved_in), 10);
}
