//! Listeners as streams of connections.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::pin::{Pin, pin};

use asyncfd::net::{TcpListener, UnixListener};
use futures_core::Stream;

use crate::common::support::Probe;
use crate::common::{SocketPath, run, settle};

async fn next<S: Stream>(mut stream: Pin<&mut S>) -> S::Item {
    let item = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
    item.expect("it never ends")
}

#[test]
fn every_connection_is_an_item() {
    run(|| async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..4_u8)
            .map(|i| {
                let mut client = std::net::TcpStream::connect(address).unwrap();
                client.write_all(&[i]).unwrap();
                client
            })
            .collect();
        settle().await;
        // One event for all connections, then one `next` for each: it hangs if taking a connection
        // clears the readiness.
        let mut incoming = pin!(listener.incoming());
        for i in 0..clients.len() {
            let stream = next(incoming.as_mut()).await.unwrap();
            let mut byte = [0xff];
            assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
            assert_eq!(usize::from(byte[0]), i);
            stream.write_all(b"!").await.unwrap();
        }
        for mut client in clients {
            client.read_exact(&mut [0]).unwrap();
        }

        let probe = Probe::new();
        assert!(probe.with(|cx| incoming.as_mut().poll_next(cx).is_pending()));
        let _late = std::net::TcpStream::connect(address).unwrap();
        probe.woken().await;
        next(incoming).await.unwrap();
        // The stream only borrows: the listener is unchanged.
        let error = listener.try_accept_std().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn every_connection_is_an_item_on_a_unix_socket() {
    run(|| async {
        let path = SocketPath::new("incoming");
        let listener = UnixListener::bind(&path.0).unwrap();
        let _clients: Vec<_> = (0..3)
            .map(|_| std::os::unix::net::UnixStream::connect(&path.0).unwrap())
            .collect();
        settle().await;
        let mut incoming = pin!(listener.incoming());
        for _ in 0..3 {
            next(incoming.as_mut()).await.unwrap();
        }
        let probe = Probe::new();
        assert!(probe.with(|cx| incoming.as_mut().poll_next(cx).is_pending()));
    });
}
