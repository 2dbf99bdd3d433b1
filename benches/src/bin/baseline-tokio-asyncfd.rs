//! Echo server: tokio's `AsyncFd` around std sockets, with the guard loop of its documentation.
//!
//! It waits for readability, tries the read, and tries the write at once. Only bytes that the
//! socket does not take wait for writability. A guard detects a drained socket only by EAGAIN, so
//! each echo has a read that finds nothing. There is one current-thread runtime per thread, each
//! with its own listener, like a shard.
#![forbid(unsafe_code)]

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use benches::args::ServerArgs;
use benches::end::End;
use benches::{listen, sockets, threads};
use clap::Parser;
use server_demo::scratch;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Echo server on tokio's AsyncFd, one current-thread runtime per thread.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
}

fn main() -> io::Result<()> {
    let Args { server } = Args::parse();
    listen::raise_descriptor_limit();
    let end = End::new()?;
    threads::start(&server, move |listener| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(accept(listener))
    })?;
    end.wait(server.until_eof);
    Ok(())
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; std's sockets keep what it demands"
)]
fn watch<T: AsRawFd>(socket: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(socket)
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    let listener = watch(listener)?;
    loop {
        let mut guard = listener.readable().await?;
        match guard.try_io(|fd| fd.get_ref().accept()) {
            Ok(Ok((stream, _peer))) => {
                if listen::set_up(&stream).is_ok() {
                    tokio::spawn(serve(watch(stream)?));
                }
            }
            Ok(Err(error)) => {
                eprintln!("warning: accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(_would_block) => {}
        }
    }
}

async fn serve(socket: AsyncFd<TcpStream>) -> io::Result<()> {
    loop {
        let mut guard = socket.readable().await?;
        let n = match guard.try_io(|fd| scratch::fill(|buffer| sockets::receive(fd, buffer))) {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            Err(_would_block) => continue,
        };
        let sent = write_now(&socket, n)?;
        if sent < n {
            let rest = scratch::fill(|buffer| buffer[sent..n].to_vec());
            write_all(&socket, &rest).await?;
        }
    }
}

/// Writes as many of the first `n` bytes of the scratch buffer as the socket takes at once. The
/// buffer cannot be held across a wait. In steady traffic a socket takes all of them.
fn write_now(socket: &AsyncFd<TcpStream>, n: usize) -> io::Result<usize> {
    let sent = socket.try_io(Interest::WRITABLE, |socket| {
        scratch::fill(|buffer| sockets::send(socket, &buffer[..n]))
    });
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}

async fn write_all(socket: &AsyncFd<TcpStream>, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let mut guard = socket.writable().await?;
        match guard.try_io(|fd| sockets::send(fd, rest)) {
            Ok(written) => rest = &rest[written?..],
            Err(_would_block) => {}
        }
    }
    Ok(())
}
