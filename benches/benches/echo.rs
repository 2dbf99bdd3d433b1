//! Measures the cost of a single request from end to end: one connection, one message at a time.
//!
//! Measured: the round trip of 64 bytes over loopback TCP between a client thread that blocks in
//! `read` and a server task that echoes. That is four system calls, two wake-ups of sleeping
//! threads, and the server's library in between. The lower bound is a server thread that also
//! blocks in `read`.
//!
//! Held constant: the client and its socket options are the same, the server is pinned to the first
//! CPU and the client to the second if there is one, the buffers are 16 KiB.
//!
//! Noise: with one connection, most of the time is CPUs that sleep and wake, so runs differ by a
//! third, and the order of contenders that are close means nothing. For throughput under load, with
//! intervals, use `scripts/bench.sh`; for cost without noise, `cargo xtask instr`.
#![forbid(unsafe_code)]

mod support;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use benches::pin::pin_current;
use criterion::{Criterion, criterion_group, criterion_main};
use server_demo::READ_BUFFER;
use support::{TokioThread, cpus, criterion, reactor, shard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Returns a connected pair without Nagle's delay; the first is the client's.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a client");
    let (server, _peer) = listener.accept().expect("a connection");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("no delay");
    }
    (client, server)
}

fn round_trips(client: &mut TcpStream, times: u64) -> Duration {
    let mut message = [7; 64];
    let start = Instant::now();
    for _ in 0..times {
        client.write_all(&message).expect("the server reads");
        client.read_exact(&mut message).expect("the server answers");
    }
    start.elapsed()
}

/// Benches the server that `serve` runs on the server's end. The server ends when the client is
/// dropped.
fn bench(c: &mut Criterion, name: &str, serve: impl FnOnce(TcpStream)) {
    let (mut client, server) = connection();
    serve(server);
    c.bench_function(&format!("echo_round_trip/{name}"), |b| {
        b.iter_custom(|times| round_trips(&mut client, times));
    });
}

async fn helpers(stream: TcpStream) -> io::Result<()> {
    let stream = asyncfd::net::TcpStream::from_std(stream)?;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn guards(stream: TcpStream) -> io::Result<()> {
    let stream = asyncfd::AsyncFd::from_fd(stream)?;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let mut guard = stream.readable().await?;
        let n = match guard.try_io(|fd| fd.get_ref().read(&mut buffer)) {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            Err(_would_block) => continue,
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            let mut guard = stream.writable().await?;
            if let Ok(written) = guard.try_io(|fd| fd.get_ref().write(rest)) {
                rest = &rest[written?..];
            }
        }
    }
}

async fn tokio_stream(stream: TcpStream) -> io::Result<()> {
    let mut stream = tokio::net::TcpStream::from_std(stream)?;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; the socket belongs to the AsyncFd"
)]
async fn tokio_guards(stream: TcpStream) -> io::Result<()> {
    let stream = tokio::io::unix::AsyncFd::new(stream)?;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let mut guard = stream.readable().await?;
        let n = match guard.try_io(|fd| fd.get_ref().read(&mut buffer)) {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            Err(_would_block) => continue,
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            let mut guard = stream.writable().await?;
            if let Ok(written) = guard.try_io(|fd| fd.get_ref().write(rest)) {
                rest = &rest[written?..];
            }
        }
    }
}

fn blocking(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}

fn echo(c: &mut Criterion) {
    let cpus = cpus(2);
    let server_cpu = cpus[0];

    let reactor = reactor(1);
    // This comes after the start of the reactor's threads, which would inherit the pin.
    pin_current(cpus[1]);
    bench(c, "blocking thread", |stream| {
        thread::spawn(move || {
            pin_current(server_cpu);
            blocking(stream)
        });
    });
    let first = shard(reactor.handle(), 0);
    bench(c, "here helpers", |stream| {
        stream.set_nonblocking(true).expect("non-blocking mode");
        drop(reactor.handle().spawn_on(first, move || helpers(stream)));
    });
    bench(c, "here guards", |stream| {
        stream.set_nonblocking(true).expect("non-blocking mode");
        drop(reactor.handle().spawn_on(first, move || guards(stream)));
    });

    let thread = TokioThread::start(server_cpu);
    bench(c, "tokio TcpStream", |stream| {
        stream.set_nonblocking(true).expect("non-blocking mode");
        drop(thread.handle.spawn(tokio_stream(stream)));
    });
    bench(c, "tokio AsyncFd", |stream| {
        stream.set_nonblocking(true).expect("non-blocking mode");
        drop(thread.handle.spawn(tokio_guards(stream)));
    });
}

criterion_group! { name = benches; config = criterion(); targets = echo }
criterion_main!(benches);
