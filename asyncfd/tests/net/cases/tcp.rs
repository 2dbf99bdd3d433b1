//! `TcpStream`: connecting, and what both sides have under the same names.
#![allow(
    unused_mut,
    reason = "tokio's streams are written to and read from by &mut"
)]

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::side::*;
use crate::common::both;

fn would_block<R: std::fmt::Debug>(result: io::Result<R>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[test]
fn shutdown_ends_the_writing_side() {
    run(|| async {
        let (mut client, mut server) = connected().await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        // The other direction stays open, and so does a half's.
        let (mut read, mut write) = server.split();
        write.write_all(b"answer").await.unwrap();
        write.shutdown().await.unwrap();
        assert_eq!(read.read(&mut buffer).await.unwrap(), 0);
        assert_eq!(client.read(&mut buffer).await.unwrap(), 6);
        assert_eq!(client.read(&mut buffer).await.unwrap(), 0);
        client.shutdown().await.unwrap();
    });
}

/// A listener whose queue is taken, so that further attempts stay under way.
fn crowded() -> (Socket, std::net::TcpStream, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let taken = std::net::TcpStream::connect(address).unwrap();
    (listener, taken, address)
}

#[test]
fn connecting_to_who_does_not_answer_times_out() {
    run(|| async {
        let (_listener, _taken, address) = crowded();
        let socket = TcpSocket::new_v4().unwrap();
        let soon = Duration::from_millis(100);
        SockRef::from(&socket)
            .set_tcp_user_timeout(Some(soon))
            .unwrap();
        let error = socket.connect(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    });
}

#[test]
fn connecting_waits_until_it_is_answered() {
    run(|| async {
        let (listener, _taken, address) = crowded();
        let connect = async {
            let stream = TcpStream::connect(address).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
        };
        let accept = async {
            // The attempt has begun, since it is polled first; now there is room for it.
            listener.accept().unwrap();
        };
        both(connect, accept).await;
    });
}

#[test]
fn a_zero_linger_resets() {
    run(|| async {
        let (client, server) = connected().await;
        client.set_zero_linger().unwrap();
        drop(client);
        server.readable().await.unwrap();
        let error = server.try_read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn the_forms_that_do_not_wait_say_would_block() {
    run(|| async {
        let (client, server) = connected().await;
        let mut buffer = [0; 4];
        client.writable().await.unwrap();
        assert_eq!(client.try_write(b"ab").unwrap(), 2);
        let slices = [IoSlice::new(b"cd"), IoSlice::new(b"ef")];
        assert_eq!(client.try_write_vectored(&slices).unwrap(), 4);
        let mut received = 0;
        while received < 6 {
            server.readable().await.unwrap();
            let mut x = [0; 1];
            let mut buffers = [IoSliceMut::new(&mut x), IoSliceMut::new(&mut buffer)];
            match server.try_read_vectored(&mut buffers) {
                Ok(n) => received += n,
                Err(error) => would_block(Err::<(), _>(error)),
            }
        }
        would_block(server.try_read(&mut buffer));
        let much = [7; 65_536];
        let slices = [IoSlice::new(&much), IoSlice::new(&much)];
        let full = loop {
            // Room can appear again while the peer's buffer takes some bytes.
            if let Err(error) = client.try_write_vectored(&slices) {
                break error;
            }
        };
        would_block(Err::<(), _>(full));
    });
}

#[test]
fn peeking_leaves_the_bytes() {
    run(|| async {
        let (client, server) = connected().await;
        client.writable().await.unwrap();
        client.try_write(b"abc").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(server.peek(&mut buffer).await.unwrap(), 3);
        assert_eq!(server.peek(&mut buffer).await.unwrap(), 3);
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut buffer).unwrap(), 3);
    });
}

#[test]
fn operations_of_the_callers_own_wait_and_clear() {
    run(|| async {
        let (client, server) = connected().await;
        let mut buffer = [0; 8];
        let mut receive = || Ok(rustix::io::read(server.as_fd(), &mut buffer[..])?);
        would_block(server.try_io(Interest::READABLE, &mut receive));
        client.writable().await.unwrap();
        client.try_write(b"abc").unwrap();
        let n = server.async_io(Interest::READABLE, &mut receive).await;
        assert_eq!(n.unwrap(), 3);
        let ready = server.ready(Interest::READABLE | Interest::WRITABLE).await;
        assert!(ready.unwrap().is_readable(), "only EAGAIN clears");
        would_block(server.try_io(Interest::READABLE, &mut receive));
    });
}

#[test]
fn halves_know_their_addresses_and_find_each_other() {
    run(|| async {
        let (mut client, server) = connected().await;
        let (here, there) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        {
            let (read, write) = client.split();
            assert_eq!(read.local_addr().unwrap(), here);
            assert_eq!(write.peer_addr().unwrap(), there);
            write.writable().await.unwrap();
            assert_eq!(write.try_write(b"ab").unwrap(), 2);
        }
        let (read, write) = client.into_split();
        assert_eq!(read.peer_addr().unwrap(), there);
        assert_eq!(write.local_addr().unwrap(), here);
        let slices = [IoSlice::new(b"c"), IoSlice::new(b"d")];
        assert!(write.ready(Interest::WRITABLE).await.unwrap().is_writable());
        assert_eq!(write.try_write_vectored(&slices).unwrap(), 2);
        server.writable().await.unwrap();
        server.try_write(b"xyz").unwrap();
        let mut buffer = [0; 8];
        assert!(read.ready(Interest::READABLE).await.unwrap().is_readable());
        let mut buffers = [IoSliceMut::new(&mut buffer)];
        assert_eq!(read.try_read_vectored(&mut buffers).unwrap(), 3);
        would_block(read.try_read(&mut buffer));
        let (other, _server) = connected().await;
        let (other_read, other_write) = other.into_split();
        let error = read.reunite(other_write).unwrap_err();
        assert!(!error.to_string().is_empty());
        let (read, other_write) = (error.0, error.1);
        let client = read.reunite(write).unwrap();
        other_write.reunite(other_read).unwrap();
        assert_eq!(client.peer_addr().unwrap(), there);
    });
}

#[test]
fn options_reach_the_socket() {
    run(|| async {
        let (client, _server) = connected().await;
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        client.set_quickack(false).unwrap();
        assert!(!client.quickack().unwrap());
        client.set_ttl(9).unwrap();
        assert_eq!(client.ttl().unwrap(), 9);
        assert_eq!(client.linger().unwrap(), None);
        SockRef::from(&client).set_keepalive(true).unwrap();
        assert!(SockRef::from(&client).keepalive().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.set_ttl(9).unwrap();
        assert_eq!(listener.ttl().unwrap(), 9);
    });
}
