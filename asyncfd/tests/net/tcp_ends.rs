//! The ends of a TCP connection, one by one, and forms that tokio's stream does not have.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, Shutdown};
use std::pin::pin;
use std::time::Duration;

use asyncfd::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::common::run;
use crate::common::support::Probe;

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[test]
fn each_direction_is_shut_down_alone() {
    run(|| async {
        let (client, server) = connected().await;
        let mut buffer = [0; 8];
        client.write_all(b"last").await.unwrap();
        client.shutdown_std(Shutdown::Write).unwrap();
        let error = client.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
        // The other direction stays open until its own end.
        server.write_all(b"answer").await.unwrap();
        assert_eq!(client.read(&mut buffer).await.unwrap(), 6);
        server.shutdown_std(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn shutting_reading_down_ends_a_read_that_waits() {
    run(|| async {
        let (client, server) = connected().await;
        let mut buffer = [0; 8];
        {
            let probe = Probe::new();
            let mut read = pin!(client.read(&mut buffer));
            assert!(probe.poll(read.as_mut()).is_pending());
            client.shutdown_std(Shutdown::Read).unwrap();
            assert_eq!(read.await.unwrap(), 0);
        }
        // Writing still works.
        client.write_all(b"abc").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 3);
    });
}

#[test]
fn shutting_both_down_ends_all_that_waits() {
    run(|| async {
        let (client, server) = connected().await;
        let much = vec![0; 16 << 20];
        let mut buffer = [0; 8];
        let probe = Probe::new();
        let mut write = pin!(client.write_all(&much));
        assert!(probe.poll(write.as_mut()).is_pending());
        let mut read = pin!(client.read(&mut buffer));
        assert!(probe.poll(read.as_mut()).is_pending());
        client.shutdown_std(Shutdown::Both).unwrap();
        assert_eq!(read.await.unwrap(), 0);
        let error = write.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drop(server);
    });
}

#[test]
fn a_listener_that_goes_resets_who_was_not_accepted() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let client = client.unwrap();
        drop(listener);
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_stream_can_be_peeked_at_without_waiting() {
    run(|| async {
        let (client, server) = connected().await;
        let mut buffer = [0; 8];
        let probe = Probe::new();
        assert!(probe.with(|cx| server.poll_peek(cx, &mut buffer).is_pending()));
        let error = server.try_peek(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"abc").await.unwrap();
        probe.woken().await;
        for _ in 0..2 {
            let peek = poll_fn(|cx| server.poll_peek(cx, &mut buffer));
            assert_eq!(peek.await.unwrap(), 3);
            assert_eq!(server.try_peek(&mut buffer).unwrap(), 3);
        }
        let mut buffers = [IoSliceMut::new(&mut buffer)];
        let read = poll_fn(|cx| server.poll_read_vectored(cx, &mut buffers));
        assert_eq!(read.await.unwrap(), 3);
    });
}

#[test]
fn a_socket_passes_on_its_error_and_its_options() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_zero_linger().unwrap();
        let linger = rustix::net::sockopt::socket_linger(&socket).unwrap();
        assert_eq!(linger, Some(Duration::ZERO));
        assert!(socket.take_error().unwrap().is_none());
        // Nobody listens there any more.
        rustix::net::connect(&socket, &address).unwrap_err();
        let error = socket.take_error().unwrap().expect("an error");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let no_group = Ipv6Addr::LOCALHOST;
        assert!(udp.join_multicast_v6(&no_group, 0).is_err());
        assert!(udp.leave_multicast_v6(&no_group, 0).is_err());
    });
}
