//! Measures the cost of checking a descriptor's readiness, without the system calls around it.
//!
//! Measured, through the public API: a check that finds the descriptor ready, a check that does
//! not, a poll that finds it ready, and a clear that comes too late to clear anything. Publishing
//! and an effective clear cannot be repeated without a kernel event in between. `cargo xtask instr`
//! includes those in its instructions per echo.
//!
//! Held constant: one socket pair whose state does not change during the measurement; no task runs,
//! and the polling thread sleeps. The word is in this thread's cache and no other thread uses it.
//!
//! Noise: these are a few nanoseconds, so code layout alone moves them by one or two. A smaller
//! difference means nothing.
#![forbid(unsafe_code)]

mod support;

use std::convert::Infallible;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::task::{Context, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use reactor::{Interest, Placement, Ready, Registration};
use support::{TokioThread, cpus, criterion, reactor};

/// Returns a socket that is writable, and not readable until its peer writes.
fn pair() -> (UnixStream, UnixStream) {
    let (socket, peer) = UnixStream::pair().expect("a socket pair");
    socket.set_nonblocking(true).expect("non-blocking mode");
    (socket, peer)
}

fn refuse<T>(_: &T) -> io::Result<Infallible> {
    unreachable!("the socket is not ready")
}

fn here(c: &mut Criterion) {
    let reactor = reactor(1);
    let _guard = reactor.enter();

    let (socket, _peer) = pair();
    let fd = asyncfd::AsyncFd::from_fd(socket).expect("an AsyncFd");
    reactor
        .block_on(async { fd.writable().await.map(drop) })
        .expect("it is writable");
    c.bench_function("look_ready/here AsyncFd::try_io", |b| {
        b.iter(|| black_box(&fd).try_io(Interest::WRITABLE, |_| Ok(())));
    });
    c.bench_function("look_not_ready/here AsyncFd::try_io", |b| {
        b.iter(|| black_box(&fd).try_io(Interest::READABLE, refuse).is_err());
    });
    c.bench_function("poll_ready/here AsyncFd::poll_write_ready", |b| {
        let mut cx = Context::from_waker(Waker::noop());
        b.iter(|| black_box(&fd).poll_write_ready(&mut cx).is_ready());
    });

    let (mut socket, mut peer) = pair();
    let registration = Registration::new(
        reactor.handle(),
        Placement::Hash,
        &socket,
        Interest::READABLE,
        Ready::EMPTY,
    )
    .expect("a registration");
    let mut byte = [0];
    peer.write_all(&byte).expect("a byte is sent");
    let late = reactor
        .block_on(registration.ready(Interest::READABLE))
        .expect("it is readable");
    socket.read_exact(&mut byte).expect("a byte is there");
    registration.clear(late);
    // It becomes ready again, so that the clear below is stale.
    peer.write_all(&byte).expect("a byte is sent");
    reactor
        .block_on(registration.ready(Interest::READABLE))
        .expect("it is readable again");
    c.bench_function("look_ready/here Registration::try_ready", |b| {
        b.iter(|| black_box(&registration).try_ready(Interest::READABLE));
    });
    c.bench_function("clear_late/here Registration::clear", |b| {
        b.iter(|| black_box(&registration).clear(late));
    });
    let still = registration
        .try_ready(Interest::READABLE)
        .expect("the reactor runs");
    assert!(
        still.ready().is_readable(),
        "a late clear has cleared something"
    );
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; the socket belongs to the AsyncFd"
)]
fn tokio(c: &mut Criterion) {
    let thread = TokioThread::start(cpus(1)[0]);
    let _guard = thread.handle.enter();
    let (socket, _peer) = pair();
    let fd = tokio::io::unix::AsyncFd::new(socket).expect("an AsyncFd");
    let waiter = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    waiter
        .block_on(async { fd.writable().await.map(drop) })
        .expect("it is writable");
    c.bench_function("look_ready/tokio AsyncFd::try_io", |b| {
        b.iter(|| black_box(&fd).try_io(tokio::io::Interest::WRITABLE, |_| Ok(())));
    });
    c.bench_function("look_not_ready/tokio AsyncFd::try_io", |b| {
        b.iter(|| {
            black_box(&fd)
                .try_io(tokio::io::Interest::READABLE, refuse)
                .is_err()
        });
    });
    c.bench_function("poll_ready/tokio AsyncFd::poll_write_ready", |b| {
        let mut cx = Context::from_waker(Waker::noop());
        b.iter(|| black_box(&fd).poll_write_ready(&mut cx).is_ready());
    });
}

criterion_group! { name = benches; config = criterion(); targets = here, tokio }
criterion_main!(benches);
