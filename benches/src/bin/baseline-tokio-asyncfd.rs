//! Echo server: tokio's `AsyncFd` around std sockets, with the guard loop of its documentation.
//!
//! Wait for readability, try the read, wait for writability, try the write. A guard learns that a
//! socket is drained only from EAGAIN, so each echo has a read that finds nothing. One
//! current-thread runtime per thread, each with its own listener: the same shape as a shard.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use benches::args::ServerArgs;
use benches::end::End;
use benches::scratch::Scratch;
use benches::{listen, threads};
use clap::Parser;
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
    let buffer = server.buffer.get();
    threads::start(&server, move |listener| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(accept(listener, buffer))
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

async fn accept(listener: TcpListener, buffer: usize) -> io::Result<()> {
    let listener = watch(listener)?;
    loop {
        let mut guard = listener.readable().await?;
        match guard.try_io(|fd| fd.get_ref().accept()) {
            Ok(Ok((stream, _peer))) => {
                if listen::set_up(&stream).is_ok() {
                    tokio::spawn(serve(watch(stream)?, buffer));
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

async fn serve(socket: AsyncFd<TcpStream>, buffer: usize) -> io::Result<()> {
    loop {
        let mut guard = socket.readable().await?;
        let mut scratch = Scratch::take(buffer);
        let n = match guard.try_io(|fd| fd.get_ref().read(&mut scratch)) {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            Err(_would_block) => continue,
        };
        let mut rest = &scratch[..n];
        while !rest.is_empty() {
            let mut guard = socket.writable().await?;
            match guard.try_io(|fd| fd.get_ref().write(rest)) {
                Ok(written) => rest = &rest[written?..],
                Err(_would_block) => {}
            }
        }
    }
}
