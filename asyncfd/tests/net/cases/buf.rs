//! Reading into the free part of buffers that grow.
#![allow(
    unused_mut,
    reason = "tokio's streams are written to and read from by &mut"
)]

use std::io;
use std::net::Ipv4Addr;

use bytes::BytesMut;

use super::side::*;
use crate::common::SocketPath;

fn would_block<R: std::fmt::Debug>(result: io::Result<R>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[test]
fn try_read_buf_appends_to_a_buffer() {
    run(|| async {
        let (mut client, server) = tcp().await;
        let mut buffer = Vec::with_capacity(64);
        buffer.extend_from_slice(b"before");
        client.write_all(b"hello").await.unwrap();
        server.readable().await.unwrap();
        assert_eq!(server.try_read_buf(&mut buffer).unwrap(), 5);
        assert_eq!(buffer, b"beforehello");
        would_block(server.try_read_buf(&mut buffer));
        assert_eq!(buffer, b"beforehello");

        // A slice is a buffer too, which has an end. What is left is read later.
        client.write_all(b"again").await.unwrap();
        let mut four = [0; 4];
        server.readable().await.unwrap();
        assert_eq!(server.try_read_buf(&mut &mut four[..]).unwrap(), 4);
        assert_eq!(&four, b"agai");
        let mut rest = BytesMut::with_capacity(8);
        server.readable().await.unwrap();
        assert_eq!(server.try_read_buf(&mut rest).unwrap(), 1);
        drop(client);
        loop {
            server.readable().await.unwrap();
            match server.try_read_buf(&mut rest) {
                Ok(n) => break assert_eq!(n, 0),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(&rest[..], b"n");
    });
}

#[test]
fn try_read_buf_is_on_every_stream_and_half() {
    run(|| async {
        let (mut client, server) = tcp().await;
        let mut buffer = BytesMut::new();
        client.write_all(b"a").await.unwrap();
        let (read, _write) = server.into_split();
        read.readable().await.unwrap();
        assert_eq!(read.try_read_buf(&mut buffer).unwrap(), 1);
        let mut server = read.reunite(_write).unwrap();
        client.write_all(b"b").await.unwrap();
        let (read, _write) = server.split();
        read.readable().await.unwrap();
        assert_eq!(read.try_read_buf(&mut buffer).unwrap(), 1);

        let (mut client, mut server) = UnixStream::pair().unwrap();
        client.write_all(b"c").await.unwrap();
        server.readable().await.unwrap();
        assert_eq!(server.try_read_buf(&mut buffer).unwrap(), 1);
        client.write_all(b"d").await.unwrap();
        {
            let (read, _write) = server.split();
            read.readable().await.unwrap();
            assert_eq!(read.try_read_buf(&mut buffer).unwrap(), 1);
        }
        client.write_all(b"e").await.unwrap();
        let (read, _write) = server.into_split();
        read.readable().await.unwrap();
        assert_eq!(read.try_read_buf(&mut buffer).unwrap(), 1);
        would_block(read.try_read_buf(&mut buffer));

        let (mut sender, receiver) = pipe::pipe().unwrap();
        sender.write_all(b"f").await.unwrap();
        receiver.readable().await.unwrap();
        assert_eq!(receiver.try_read_buf(&mut buffer).unwrap(), 1);
        assert_eq!(&buffer[..], b"abcdef");
    });
}

#[test]
fn udp_messages_are_received_into_a_buffer() {
    run(|| async {
        let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let mut buffer = Vec::with_capacity(64);
        would_block(b.try_recv_buf(&mut buffer));
        would_block(b.try_recv_buf_from(&mut buffer));
        for message in [&b"one"[..], b"", b"three", b"four"] {
            a.send_to(message, at_b).await.unwrap();
        }
        assert_eq!(b.recv_buf(&mut buffer).await.unwrap(), 3);
        assert_eq!(b.recv_buf_from(&mut buffer).await.unwrap(), (0, at_a));
        assert_eq!(b.try_recv_buf(&mut buffer).unwrap(), 5);
        let mut two = [0; 2];
        let received = b.try_recv_buf_from(&mut &mut two[..]).unwrap();
        assert_eq!((received, &two), ((2, at_a), b"fo"));
        assert_eq!(buffer, b"onethree");
        would_block(b.try_recv_buf(&mut buffer));
        assert_eq!(buffer, b"onethree");
    });
}

#[test]
fn unix_messages_are_received_into_a_buffer() {
    run(|| async {
        let (named, other) = (SocketPath::new("buf-named"), SocketPath::new("buf-other"));
        let a = UnixDatagram::bind(&named.0).unwrap();
        let b = UnixDatagram::bind(&other.0).unwrap();
        let mut buffer = BytesMut::with_capacity(64);
        would_block(b.try_recv_buf_from(&mut buffer));
        for message in [&b"one"[..], b"two", b"", b"four"] {
            a.send_to(message, &other.0).await.unwrap();
        }
        assert_eq!(b.recv_buf(&mut buffer).await.unwrap(), 3);
        let (n, from) = b.recv_buf_from(&mut buffer).await.unwrap();
        assert_eq!((n, from.as_pathname()), (3, Some(&*named.0)));
        assert_eq!(b.try_recv_buf(&mut buffer).unwrap(), 0);
        let (n, from) = b.try_recv_buf_from(&mut buffer).unwrap();
        assert_eq!((n, from.as_pathname()), (4, Some(&*named.0)));
        assert_eq!(&buffer[..], b"onetwofour");
    });
}
