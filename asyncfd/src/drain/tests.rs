//! The arithmetic of the draining rule, and changes that arrive while an operation runs.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use reactor::{Direction, Interest, Placement, Reactor, Ready, Registration};

use super::{CALL_BYTES_MAX, Operation, ShortTransfer, attempt, poll, wait};

const READ: Interest = Interest::READABLE;

/// A closure as an operation, in which any transfer shorter than 64 proves that the stream is
/// drained.
struct Call<'a, F>(&'a Registration, F);

impl<F: FnMut() -> io::Result<usize>> Operation for Call<'_, F> {
    type Output = usize;
    const INTEREST: Interest = READ;
    const DIRECTION: Direction = Direction::Read;

    fn registration(&self) -> &Registration {
        self.0
    }

    fn call(&mut self) -> io::Result<usize> {
        (self.1)()
    }

    fn drains(&self, &n: &usize) -> bool {
        n < 64
    }
}

struct Stream {
    reactor: Reactor,
    near: UnixStream,
    far: UnixStream,
    registration: Registration,
}

impl Stream {
    fn new() -> Self {
        let reactor = Reactor::builder().shards(1).build().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let placement = Placement::Hash;
        let registration =
            Registration::new(reactor.handle(), placement, &near, READ, Ready::EMPTY).unwrap();
        Self {
            reactor,
            near,
            far,
            registration,
        }
    }

    /// Sends, and returns once the shard has published the event.
    fn send(&self, bytes: &[u8]) {
        (&self.far).write_all(bytes).unwrap();
        // Events keep their order on one shard, so the event of a socket that becomes ready now
        // comes later.
        let (near, mut far) = UnixStream::pair().unwrap();
        let handle = self.reactor.handle();
        let later = Registration::new(handle, Placement::Hash, &near, READ, Ready::EMPTY).unwrap();
        far.write_all(b"x").unwrap();
        self.reactor.block_on(later.ready(READ)).unwrap();
    }

    fn receive(&self) -> io::Result<usize> {
        (&self.near).read(&mut [0; 64])
    }

    fn cached(&self) -> Ready {
        self.registration.try_ready(READ).unwrap().ready()
    }

    /// Runs an operation in all three ways.
    fn each_way(
        &self,
        mut operation: impl FnMut() -> io::Result<usize>,
        mut before: impl FnMut(),
        mut after: impl FnMut(io::Result<usize>),
    ) {
        let call = &mut operation;
        before();
        after(attempt(Call(&self.registration, &mut *call)));
        before();
        after(
            self.reactor
                .block_on(wait(Call(&self.registration, &mut *call))),
        );
        before();
        after(
            self.reactor
                .block_on(poll_fn(|cx| poll(Call(&self.registration, &mut *call), cx))),
        );
    }
}

#[test]
fn a_short_transfer_is_proof_between_nothing_and_all() {
    let drained = |n, len| ShortTransfer::Drained.is_proof(n, len);
    assert!(drained(1, 2) && drained(1, 4096) && drained(4095, 4096));
    assert!(!drained(0, 0) && !drained(0, 4096) && !drained(1, 1) && !drained(4096, 4096));
    // A transfer of the maximum length was cut by the system, not by the end of the buffer.
    assert!(drained(CALL_BYTES_MAX - 1, usize::MAX));
    assert!(!drained(CALL_BYTES_MAX, usize::MAX));
    assert!(
        !drained(0x7fff_f000, 0x8000_0000),
        "MAX_RW_COUNT on pages of 4 KiB"
    );
    for (n, len) in [(0, 0), (1, 2), (2, 2), (4095, 4096)] {
        assert!(!ShortTransfer::SaysNothing.is_proof(n, len));
    }
}

#[test]
fn a_transfer_that_drains_clears() {
    let stream = Stream::new();
    stream.each_way(
        || stream.receive(),
        || stream.send(b"abc"),
        |result| {
            assert_eq!(result.unwrap(), 3);
            assert_eq!(stream.cached(), Ready::EMPTY);
        },
    );
}

#[test]
fn what_arrives_during_a_transfer_that_drains_stays_ready() {
    let stream = Stream::new();
    stream.each_way(
        || {
            let n = stream.receive();
            stream.send(b"later");
            n
        },
        || stream.send(b"abc"),
        |result| {
            assert_eq!(result.unwrap(), 3);
            assert_eq!(stream.cached(), Ready::READABLE, "it came after the look");
            assert_eq!(stream.receive().unwrap(), 5);
            assert_eq!(attempt(Call(&stream.registration, || Ok(1))).unwrap(), 1);
        },
    );
}

#[test]
fn what_arrives_during_a_call_that_blocks_stays_ready() {
    let stream = Stream::new();
    let calls = Cell::new(0);
    stream.each_way(
        || {
            calls.set(calls.get() + 1);
            let result = stream.receive();
            if calls.get() == 1 {
                assert_eq!(
                    result.as_ref().unwrap_err().kind(),
                    io::ErrorKind::WouldBlock
                );
                stream.send(b"later");
            }
            result
        },
        || {
            // Readiness is cached but no longer true.
            calls.set(0);
            stream.send(b"abc");
            assert_eq!(stream.receive().unwrap(), 3);
        },
        |result| {
            assert_eq!(result.unwrap(), 5);
            assert_eq!(calls.get(), 2);
        },
    );
}

#[test]
fn a_call_that_blocks_clears_and_an_interrupted_one_is_made_again() {
    let stream = Stream::new();
    stream.send(b"abc");
    assert_eq!(stream.receive().unwrap(), 3);
    let blocked = attempt(Call(&stream.registration, || stream.receive()));
    assert_eq!(blocked.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(stream.cached(), Ready::EMPTY);

    let calls = Cell::new(0);
    stream.each_way(
        || {
            calls.set(calls.get() + 1);
            if calls.get() == 1 {
                Err(io::ErrorKind::Interrupted.into())
            } else {
                stream.receive()
            }
        },
        || {
            calls.set(0);
            stream.send(b"abc");
        },
        |result| {
            assert_eq!(result.unwrap(), 3);
            assert_eq!(calls.get(), 2);
        },
    );
}

#[test]
fn an_error_is_returned_and_clears_nothing() {
    let stream = Stream::new();
    stream.each_way(
        || Err(io::Error::other("mine")),
        || stream.send(b"abc"),
        |result| {
            assert_eq!(result.unwrap_err().to_string(), "mine");
            assert_eq!(stream.cached(), Ready::READABLE);
        },
    );
}
