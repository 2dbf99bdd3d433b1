//! A client for `cargo xtask instr`: an exact number of echoes, in lock step.
//!
//! In each round it writes one message to every connection, and only then reads the answers. So a
//! server sees each connection become readable once per message and finds it drained after one
//! read, however slow a tool makes it. A closed loop like `loadgen`'s sends the next request as
//! soon as it has the answer. Under a tool that slows the server by a factor of 50, that request
//! arrives before the server reads again, and the server does not take the paths to be counted,
//! such as the read of an `AsyncFd` guard that finds EAGAIN. Also, `loadgen -n` counts only
//! measured requests, and its connections exchange more during set-up.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::time::Duration;

use benches::listen::raise_descriptor_limit;
use clap::Parser;

/// Exchanges an exact number of echoes with a server, in lock step over all connections.
#[derive(Parser)]
struct Args {
    /// Server to talk to
    addr: SocketAddr,

    /// Connections
    #[arg(long, value_name = "N", default_value = "64")]
    connections: NonZeroUsize,

    /// Additional connections, which are served once each before the others begin, and then stay
    /// idle
    #[arg(long, value_name = "N", default_value_t = 0)]
    idle: usize,

    /// Echoes in total, without those of the idle connections
    #[arg(long, value_name = "N")]
    requests: u64,

    /// Size of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value = "64")]
    size: NonZeroUsize,

    /// Seconds of silence that end the run with an error
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    timeout: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    raise_descriptor_limit();
    let connect = || connect(args.addr, Duration::from_secs(args.timeout));
    let mut message = vec![0; args.size.get()];
    let mut answer = message.clone();
    let mut idle = Vec::with_capacity(args.idle);
    for _ in 0..args.idle {
        let mut stream = connect()?;
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)?;
        check(&answer, &message, 0)?;
        idle.push(stream);
    }
    let mut streams = (0..args.connections.get())
        .map(|_| connect())
        .collect::<io::Result<Vec<_>>>()?;
    let mut sent = 0;
    while sent < args.requests {
        let first = sent;
        for stream in &mut streams {
            if sent < args.requests {
                stamp(&mut message, sent);
                stream.write_all(&message)?;
                sent += 1;
            }
        }
        for (number, stream) in (first..sent).zip(&mut streams) {
            stamp(&mut message, number);
            stream.read_exact(&mut answer)?;
            check(&answer, &message, number)?;
        }
    }
    Ok(())
}

fn connect(addr: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, timeout)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

fn check(answer: &[u8], message: &[u8], number: u64) -> io::Result<()> {
    if answer == message {
        return Ok(());
    }
    let problem = format!("echo {number} differs from what was sent");
    Err(io::Error::other(problem))
}

/// Makes the message different from all others.
fn stamp(message: &mut [u8], number: u64) {
    for (byte, stamp) in message.iter_mut().zip(number.to_le_bytes()) {
        *byte = stamp;
    }
}
