//! A counter on every shard, without a lock and without an atomic. `incr` adds one to the counter
//! of the shard that serves the connection, `shard` reads it, `total` adds up all of them.
//!
//! ```console
//! $ cargo run --example counters -- 127.0.0.1:7003
//! $ printf 'incr\ntotal\n' | nc -N 127.0.0.1 7003      # in another terminal
//! ```
//!
//! Each shard has a listener of its own on the one address (`SO_REUSEPORT`). It serves the
//! connections that the kernel gives it, with data that no other thread can reach: an
//! `Rc<Cell<u64>>`. To ask another shard, it spawns a task there and waits for its output.

mod ending;

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::rc::Rc;

use asyncfd::net::{TcpListener, TcpStream};
use ending::{Serving, Signals, pause};
use reactor::{Handle, Reactor, spawn_local};
use socket2::{Domain, Socket, Type};

/// The longest line; a longer one ends the connection.
const LINE_MAX: usize = 64;

thread_local! {
    /// The counter of the shard that runs on this thread.
    static COUNTER: Rc<Cell<u64>> = Rc::default();
}

/// Asks every shard for its counter. It asks all before it waits for the first answer.
async fn total() -> u64 {
    let asked = Handle::current().spawn_on_all(|_| async { COUNTER.with(|counter| counter.get()) });
    let mut sum = 0;
    for answer in asked {
        sum += answer.await.unwrap_or(0);
    }
    sum
}

async fn serve(stream: TcpStream, counter: Rc<Cell<u64>>) -> io::Result<()> {
    let (mut buffer, mut len) = ([0; LINE_MAX], 0);
    let mut serving = Serving::new();
    while let Some(read) = serving.wait(stream.read(&mut buffer[len..])).await {
        let n = read?;
        if n == 0 {
            break;
        }
        len += n;
        let mut begin = 0;
        while let Some(end) = buffer[begin..len].iter().position(|&byte| byte == b'\n') {
            let answer = match buffer[begin..begin + end].trim_ascii() {
                b"incr" => {
                    counter.set(counter.get() + 1);
                    counter.get()
                }
                b"shard" => counter.get(),
                b"total" => total().await,
                _ => return stream.write_all(b"commands: incr, shard, total\n").await,
            };
            stream.write_all(format!("{answer}\n").as_bytes()).await?;
            begin += end + 1;
        }
        buffer.copy_within(begin..len, 0);
        len -= begin;
        if len == buffer.len() {
            break; // A line without end.
        }
    }
    Ok(())
}

async fn accept(listener: StdTcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut serving = Serving::new();
    while let Some(accepted) = serving.wait(listener.accept()).await {
        match accepted {
            Ok((stream, _peer)) => {
                drop(spawn_local(serve(stream, COUNTER.with(Rc::clone))));
            }
            Err(error) => pause(error).await,
        }
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let first = listen(address.as_deref().unwrap_or("127.0.0.1:7003").parse()?)?;
    let address = first.local_addr()?;
    let reactor = Reactor::new()?;
    let handle = reactor.handle().clone();
    let mut listeners = vec![first];
    while listeners.len() < handle.shards().len() {
        listeners.push(listen(address)?);
    }
    let signals = Signals::catch(&handle)?;
    println!("listening on {address}");

    for (shard, listener) in handle.shards().zip(listeners) {
        drop(handle.spawn_on(shard, || async {
            if let Err(error) = accept(listener).await {
                eprintln!("no longer accepting: {error}");
            }
        }));
    }
    Ok(signals.shut_down(reactor)?)
}
