//! Message sockets that the system reports as ready although a call would block. A receive ends, or
//! the caller is bounded.
#![cfg(target_os = "linux")]

mod common;

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::time::Duration;

use asyncfd::net::{UdpSocket, UnixDatagram};
use reactor::time::sleep;
use reactor::{Handle, spawn_local};

use common::{SocketPath, run, run_on_shard};

#[test]
fn a_receive_of_a_unix_socket_shut_down_for_reading_ends() {
    run(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut buffer = [0; 8];
        b.send(b"left").await.unwrap();
        a.shutdown(Shutdown::Read).unwrap();
        assert_eq!(
            a.recv(&mut buffer).await.unwrap(),
            4,
            "a message that is left"
        );
        assert_eq!(a.recv(&mut buffer).await.unwrap(), 0);
        let (n, from) = a.recv_from(&mut buffer).await.unwrap();
        assert!(n == 0 && from.is_unnamed());
        assert_eq!(a.peek(&mut buffer).await.unwrap(), 0);
        assert_eq!(poll_fn(|cx| a.poll_recv(cx, &mut buffer)).await.unwrap(), 0);
        assert_eq!(a.try_recv(&mut buffer).unwrap(), 0);
        #[cfg(feature = "bytes")]
        {
            let mut buffer = Vec::new();
            assert_eq!(a.recv_buf(&mut buffer).await.unwrap(), 0);
            let (n, from) = a.recv_buf_from(&mut buffer).await.unwrap();
            assert!(n == 0 && from.is_unnamed());
        }
        // The other direction goes on.
        a.send(b"x").await.unwrap();
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 1);
    });
}

/// Returns a peer, and a socket that is connected to it and was shut down for reading.
async fn shut_for_reading() -> (UdpSocket, UdpSocket) {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(peer.local_addr().unwrap()).await.unwrap();
    rustix::net::shutdown(&socket, rustix::net::Shutdown::Read).unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 0);
    (peer, socket)
}

#[test]
fn a_receive_of_a_udp_socket_shut_down_for_reading_ends() {
    run(|| async {
        let (_peer, socket) = shut_for_reading().await;
        let mut buffer = [0; 8];
        assert_eq!(socket.peek(&mut buffer).await.unwrap(), 0);
        // There is no address to return.
        let kind = |result: io::Result<_>| result.map(|(_, _)| ()).map_err(|error| error.kind());
        let ended = Err(io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(socket.recv_from(&mut buffer).await), ended);
        assert_eq!(kind(socket.peek_from(&mut buffer).await), ended);
        #[cfg(feature = "bytes")]
        assert_eq!(kind(socket.recv_buf_from(&mut Vec::new()).await), ended);
        let sender = socket.peek_sender().await.map(drop);
        assert_eq!(sender.map_err(|error| error.kind()), ended);
    });
}

#[test]
fn a_queued_error_comes_before_the_end_of_a_udp_socket_shut_down_for_reading() {
    run(|| async {
        let (peer, socket) = shut_for_reading().await;
        let mut buffer = [0; 8];
        // The peer is gone, so the system queues an error.
        drop(peer);
        socket.send(b"x").await.unwrap();
        let error = socket.recv(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(socket.recv(&mut buffer).await.unwrap(), 0);
    });
}

/// Turns of the only shard while its tasks go on for a while.
async fn turns_of_a_while() -> u64 {
    let turns = || Handle::current().metrics().total(|shard| shard.turns);
    let before = turns();
    sleep(Duration::from_millis(300)).await;
    turns() - before
}

#[test]
fn a_send_to_a_full_unix_socket_does_not_spin_and_goes_on_with_room() {
    run_on_shard(|| async {
        let file = SocketPath::new("full");
        let path = file.0.clone();
        let receiver = StdUnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let mut sent = 0;
        loop {
            match sender.try_send_to(b"x", &path) {
                Ok(_) => sent += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        // Both forms wait for room.
        let waiting = spawn_local({
            let path = path.clone();
            async move {
                sender.send_to(b"y", &path).await.unwrap();
                let polled = poll_fn(|cx| sender.poll_send_to(cx, b"y", &path));
                polled.await.unwrap();
            }
        });
        let turns = turns_of_a_while().await;
        assert!(turns <= 3_000, "{turns} turns while the first form waits");
        assert!(!waiting.is_finished(), "there was no room");
        receiver.recv(&mut [0; 8]).unwrap();
        let turns = turns_of_a_while().await;
        assert!(turns <= 3_000, "{turns} turns while the second form waits");
        assert!(!waiting.is_finished(), "there was room for one");
        receiver.recv(&mut [0; 8]).unwrap();
        waiting.await.unwrap();
        assert!(sent > 0);
    });
}
