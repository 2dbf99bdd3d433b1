//! UDP echo: every datagram goes back to its sender, whole.
//!
//! ```console
//! $ cargo run --example udp_echo -- 127.0.0.1:7004     # then: nc -u 127.0.0.1 7004
//! ```
//!
//! Datagrams that arrive faster than they are sent back wait in the kernel, which drops those
//! without room: nothing piles up here.

mod ending;

use std::error::Error;
use std::io;
use std::net::UdpSocket as StdUdpSocket;

use asyncfd::net::UdpSocket;
use ending::{Serving, Signals};
use reactor::Reactor;

/// More than any datagram holds.
const DATAGRAM_MAX: usize = 64 * 1024;

async fn echo(socket: StdUdpSocket) -> io::Result<()> {
    let socket = UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; DATAGRAM_MAX];
    let mut serving = Serving::new();
    while let Some(received) = serving.wait(socket.recv_from(&mut buffer)).await {
        let (len, peer) = received?;
        if let Err(error) = socket.send_to(&buffer[..len], peer).await {
            // The error concerns one peer, not the socket: a port without a listener, or a datagram
            // too long for the path.
            eprintln!("{peer}: {error}");
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let socket = StdUdpSocket::bind(address.as_deref().unwrap_or("127.0.0.1:7004"))?;
    let reactor = Reactor::builder().shards(1).build()?;
    let handle = reactor.handle().clone();
    let signals = Signals::catch(&handle)?;
    println!("listening on {}", socket.local_addr()?);

    let shard = handle.shards().next().expect("there is one");
    drop(handle.spawn_on(shard, || async {
        if let Err(error) = echo(socket).await {
            eprintln!("the socket failed: {error}");
        }
    }));
    Ok(signals.shut_down(reactor)?)
}
