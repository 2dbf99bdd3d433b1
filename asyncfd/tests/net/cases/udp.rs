//! `UdpSocket`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use socket2::SockRef;

use super::side::{Interest, UdpSocket, run};

async fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Returns two sockets that are connected to each other.
async fn connected() -> (UdpSocket, UdpSocket) {
    let (a, at_a) = bound().await;
    let (b, at_b) = bound().await;
    a.connect(at_b).await.unwrap();
    b.connect(at_a).await.unwrap();
    (a, b)
}

fn would_block<R: std::fmt::Debug>(result: io::Result<R>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn messages_go_both_ways_and_say_where_from() {
    run(|| async {
        let (a, at_a) = bound().await;
        let (b, at_b) = bound().await;
        let mut buffer = [0; 16];
        assert_eq!(a.send_to(b"ping", at_b).await.unwrap(), 4);
        assert_eq!(b.recv_from(&mut buffer).await.unwrap(), (4, at_a));
        assert_eq!(b.send_to(b"answer", at_a).await.unwrap(), 6);
        assert_eq!(a.recv_from(&mut buffer).await.unwrap(), (6, at_b));
        assert_eq!(&buffer[..6], b"answer");
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    run(|| async {
        let (a, b) = connected().await;
        assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
        let (stranger, _) = bound().await;
        let at_a = a.local_addr().unwrap();
        stranger.send_to(b"stranger", at_a).await.unwrap();
        assert_eq!(b.send(b"peer").await.unwrap(), 4);
        let mut buffer = [0; 16];
        assert_eq!(a.recv(&mut buffer).await.unwrap(), 4);
        assert_eq!(&buffer[..4], b"peer");
        would_block(a.try_recv(&mut buffer));
        let error = stranger.peer_addr().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    });
}

#[test]
fn an_empty_message_is_a_message() {
    run(|| async {
        let (a, b) = connected().await;
        for message in [&b""[..], b"x", b""] {
            assert_eq!(a.send(message).await.unwrap(), message.len());
        }
        let mut buffer = [0; 4];
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 0);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 1);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn what_a_buffer_is_too_short_for_is_lost() {
    run(|| async {
        let (a, b) = connected().await;
        a.send(b"abcdef").await.unwrap();
        a.send(b"gh").await.unwrap();
        let mut buffer = [0; 3];
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 3);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 2);
        assert_eq!(&buffer, b"ghc");
    });
}

#[test]
fn peeking_leaves_the_message() {
    run(|| async {
        let (a, b) = connected().await;
        let from = a.local_addr().unwrap();
        a.send(b"abcd").await.unwrap();
        let mut buffer = [0; 16];
        for _ in 0..2 {
            assert_eq!(b.peek(&mut buffer).await.unwrap(), 4);
            assert_eq!(b.try_peek(&mut buffer).unwrap(), 4);
            assert_eq!(b.peek_from(&mut buffer).await.unwrap(), (4, from));
            assert_eq!(b.try_peek_from(&mut buffer).unwrap(), (4, from));
            assert_eq!(b.peek_sender().await.unwrap(), from);
            assert_eq!(b.try_peek_sender().unwrap(), from);
        }
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 4);
        would_block(b.try_peek(&mut buffer));
        would_block(b.try_peek_from(&mut buffer));
        would_block(b.try_peek_sender());
    });
}

#[test]
fn the_forms_that_do_not_wait_say_would_block() {
    run(|| async {
        let (a, b) = connected().await;
        let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let mut buffer = [0; 16];
        would_block(b.try_recv(&mut buffer));
        would_block(b.try_recv_from(&mut buffer));
        a.writable().await.unwrap();
        assert_eq!(a.try_send(b"one").unwrap(), 3);
        b.readable().await.unwrap();
        assert_eq!(b.try_recv(&mut buffer).unwrap(), 3);
        would_block(b.try_recv(&mut buffer));

        let (c, _) = bound().await;
        c.writable().await.unwrap();
        c.connect(at_a).await.unwrap();
        assert_eq!(a.try_send_to(b"four", at_b).unwrap(), 4);
        b.readable().await.unwrap();
        assert_eq!(b.try_recv_from(&mut buffer).unwrap(), (4, at_a));
    });
}

#[test]
fn a_refusal_is_reported_once_and_the_socket_goes_on() {
    run(|| async {
        let (a, at_a) = bound().await;
        let (gone, at_gone) = bound().await;
        drop(gone);
        a.connect(at_gone).await.unwrap();
        a.send(b"anybody?").await.unwrap();
        let error = a.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(a.take_error().unwrap().is_none(), "recv took it");

        let peer = UdpSocket::bind(at_gone).await.unwrap();
        peer.send_to(b"back", at_a).await.unwrap();
        assert_eq!(a.recv(&mut [0; 8]).await.unwrap(), 4);
    });
}

#[test]
fn operations_of_the_callers_own_wait_and_clear() {
    run(|| async {
        let (a, b) = connected().await;
        let mut buffer = [0; 8];
        let mut calls = 0;
        let mut receive = || {
            calls += 1;
            Ok(rustix::net::recv(b.as_fd(), &mut buffer[..], rustix::net::RecvFlags::DONTWAIT)?.0)
        };
        would_block(b.try_io(Interest::READABLE, &mut receive));
        a.send(b"abc").await.unwrap();
        let n = b.async_io(Interest::READABLE, &mut receive).await.unwrap();
        assert_eq!(n, 3);
        assert!(b.ready(Interest::READABLE).await.unwrap().is_readable());
        would_block(b.try_io(Interest::READABLE, &mut receive));
        // That call cleared the readiness, so this one makes no system call.
        would_block(b.try_io(Interest::READABLE, &mut receive));
        assert_eq!(calls, 2);
    });
}

#[test]
fn options_reach_the_socket() {
    run(|| async {
        let (a, _) = bound().await;
        let (_, at_b) = bound().await;
        let everybody = SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), at_b.port()));
        let error = a.send_to(b"hello", everybody).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        a.set_broadcast(true).unwrap();
        assert!(a.broadcast().unwrap());
        a.send_to(b"hello", everybody).await.unwrap();

        a.set_ttl(7).unwrap();
        assert_eq!(a.ttl().unwrap(), 7);
        a.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(a.multicast_ttl_v4().unwrap(), 3);
        a.set_multicast_loop_v4(false).unwrap();
        assert!(!a.multicast_loop_v4().unwrap());
        a.set_tos_v4(0x10).unwrap();
        assert_eq!(a.tos_v4().unwrap(), 0x10);
        a.bind_device(Some(b"lo")).unwrap();
        assert_eq!(a.device().unwrap().as_deref(), Some(&b"lo"[..]));
        let six = UdpSocket::bind("[::1]:0").await.unwrap();
        six.set_tclass_v6(0x20).unwrap();
        assert_eq!(six.tclass_v6().unwrap(), 0x20);
        // The same through socket2, which only needs a descriptor.
        SockRef::from(&a).set_reuse_address(true).unwrap();
        assert!(SockRef::from(&a).reuse_address().unwrap());
    });
}

#[test]
fn a_member_of_a_group_hears_it_until_it_leaves() {
    run(|| async {
        let group = Ipv4Addr::new(224, 0, 0, 251);
        let (sender, _) = bound().await;
        SockRef::from(&sender)
            .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .unwrap();
        let member = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        SockRef::from(&member).set_multicast_all_v4(false).unwrap();
        let at = (group, member.local_addr().unwrap().port());
        let mut buffer = [0; 8];
        member
            .join_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
        sender.send_to(b"one", at).await.unwrap();
        assert_eq!(member.recv(&mut buffer).await.unwrap(), 3);
        member
            .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap();
        sender.send_to(b"two", at).await.unwrap();
        // The next message is the one sent to the socket itself.
        let direct = (Ipv4Addr::LOCALHOST, at.1);
        sender.send_to(b"three", direct).await.unwrap();
        assert_eq!(member.recv(&mut buffer).await.unwrap(), 5);
    });
}

#[test]
fn of_several_addresses_the_first_that_works_is_bound() {
    run(|| async {
        // An address that no interface here has.
        let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let socket = UdpSocket::bind(&[foreign, local][..]).await.unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        let error = UdpSocket::bind(&[foreign, foreign][..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        let error = UdpSocket::bind(&[][..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = socket.send_to(b"x", &[][..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn it_converts_from_and_to_the_standard_librarys() {
    run(|| async {
        let std = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        std.set_nonblocking(true).unwrap();
        let at = std.local_addr().unwrap();
        let socket = UdpSocket::try_from(std).unwrap();
        assert!(format!("{socket:?}").contains("UdpSocket"));
        let socket = UdpSocket::from_std(socket.into_std().unwrap()).unwrap();
        let (other, _) = bound().await;
        other.send_to(b"abc", at).await.unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 3);
        let std = socket.into_std().unwrap();
        would_block(std.recv(&mut [0; 8]));
    });
}
