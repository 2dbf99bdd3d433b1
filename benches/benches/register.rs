//! Measures the cost of registering a descriptor and dropping the registration.
//!
//! Measured: one `epoll_ctl(ADD)`, one `epoll_ctl(DEL)` and the work of each library around them.
//! The third figure is the two system calls alone; the difference to it is the library's share.
//!
//! Held constant: one socket pair with nothing to read, registered for reading only, so no event
//! ever arrives. All on one pinned thread, in a task that yields after every 32 registrations, so
//! that both libraries reach the point in their loop where they reclaim freed slots.
//!
//! Noise: the system calls are most of it, so a change of 3% in all three figures comes from the
//! kernel or the machine. Compare differences to the bare figure, not ratios.
#![forbid(unsafe_code)]

mod support;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::event::epoll::{self, EventData, EventFlags};
use support::{TokioThread, cpus, criterion, on_shard, reactor};

/// Registrations before the task yields to the rest of the loop.
const BATCH: u64 = 32;

fn quiet_socket() -> (UnixStream, UnixStream) {
    let (socket, peer) = UnixStream::pair().expect("a socket pair");
    socket.set_nonblocking(true).expect("non-blocking mode");
    (socket, peer)
}

async fn here(times: u64) -> Duration {
    let (socket, _peer) = quiet_socket();
    let start = Instant::now();
    for time in 0..times {
        let interest = asyncfd::Interest::READABLE;
        drop(
            asyncfd::AsyncFd::from_fd_with_interest(socket.as_fd(), interest).expect("an AsyncFd"),
        );
        if time % BATCH == BATCH - 1 {
            reactor::yield_now().await;
        }
    }
    start.elapsed()
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; the socket outlives its registration"
)]
async fn tokio(times: u64) -> Duration {
    let (socket, _peer) = quiet_socket();
    let start = Instant::now();
    for time in 0..times {
        let interest = tokio::io::Interest::READABLE;
        let fd = tokio::io::unix::AsyncFd::with_interest(socket.as_fd(), interest);
        drop(fd.expect("an AsyncFd"));
        if time % BATCH == BATCH - 1 {
            tokio::task::yield_now().await;
        }
    }
    start.elapsed()
}

fn bare(times: u64) -> Duration {
    let (socket, _peer) = quiet_socket();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll descriptor");
    let start = Instant::now();
    for time in 0..times {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&epoll, &socket, EventData::new_u64(time), flags).expect("ADD");
        epoll::delete(&epoll, &socket).expect("DEL");
    }
    start.elapsed()
}

fn register(c: &mut Criterion) {
    let mut group = c.benchmark_group("register_and_drop");

    let reactor = reactor(1);
    group.bench_function("here AsyncFd", |b| {
        b.iter_custom(|times| on_shard(&reactor, move || here(times)));
    });
    drop(reactor);

    let thread = TokioThread::start(cpus(1)[0]);
    group.bench_function("tokio AsyncFd", |b| {
        b.iter_custom(|times| thread.run(tokio(times)))
    });
    group.bench_function("bare epoll_ctl", |b| {
        b.iter_custom(|times| thread.run(async move { bare(times) }));
    });
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = register }
criterion_main!(benches);
