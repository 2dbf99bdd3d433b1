//! Echo over tokio's `TcpStream`, shared by the multi-thread and the current-thread server.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use clap::ValueEnum;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::tokio_work;
use server_demo::{READ_BUFFER, scratch};

/// Pause after a failed accept, so that a process out of descriptors does not spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(10);

/// The way a connection reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Io {
    /// Uses the thread's scratch buffer, inside one poll: as in `server-demo`, and no slower than
    /// the textbook form.
    Scratch,
    /// Uses `read().await`, `write_all().await` with a buffer of the connection's own, as most
    /// servers do. It holds the buffer while idle, so its memory figure is not comparable.
    Textbook,
    /// Serves requests that ask for CPU time, as `server-demo work` does.
    Work,
}

/// Accepts for ever and spawns a task per connection on the current runtime.
pub async fn accept(listener: TcpListener, io: Io) {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                if stream.set_nodelay(true).is_err() {
                    continue; // Reset before it was served.
                }
                // Each kind of connection has its own spawn, so that its task is not as large as
                // the largest kind.
                match io {
                    Io::Scratch => drop(tokio::spawn(scratch(stream))),
                    Io::Textbook => drop(tokio::spawn(textbook(stream))),
                    Io::Work => drop(tokio::spawn(tokio_work::serve(stream))),
                }
            }
            Err(error) => {
                eprintln!("warning: accept failed: {error}");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Serves a connection, which ends at an error. A load generator that cuts its connections is
/// normal for an echo server.
async fn textbook(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn scratch(mut stream: TcpStream) -> io::Result<()> {
    loop {
        match poll_fn(|cx| poll_echo(&mut stream, cx)).await? {
            Step::Echoed => {}
            Step::Blocked(rest) => stream.write_all(&rest).await?,
            Step::Closed => return Ok(()),
        }
    }
}

enum Step {
    Echoed,
    /// The rest after the socket took only a part.
    Blocked(Vec<u8>),
    Closed,
}

/// Does one read and one write. `poll_read` knows that a short read means drained, so it saves the
/// read that would find EAGAIN. `try_write` is the cheapest way to send.
fn poll_echo(stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
    scratch::fill(|buffer| {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
        let data = read.filled();
        if data.is_empty() {
            return Poll::Ready(Ok(Step::Closed));
        }
        Poll::Ready(match stream.try_write(data) {
            Ok(n) if n == data.len() => Ok(Step::Echoed),
            Ok(n) => Ok(Step::Blocked(data[n..].to_vec())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(Step::Blocked(data.to_vec()))
            }
            Err(error) => Err(error),
        })
    })
}
