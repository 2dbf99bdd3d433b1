//! Unix sockets that are set up first, addresses that are no path, and who the peer is.
#![allow(
    unused_mut,
    reason = "tokio's streams are written to and read from by &mut"
)]
#![allow(
    clippy::useless_conversion,
    reason = "tokio's address is a type of its own"
)]

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::linux::net::SocketAddrExt;

use rustix::process::{getgid, getuid};
use socket2::SockRef;

use super::side::*;
use crate::common::SocketPath;

#[test]
fn a_unix_socket_is_set_up_before_it_listens_or_connects() {
    run(|| async {
        let path = SocketPath::new("set-up");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path.0).unwrap();
        let listener = socket.listen(8).unwrap();
        let socket = UnixSocket::new_stream().unwrap();
        SockRef::from(&socket).set_send_buffer_size(20_000).unwrap();
        let mut client = socket.connect(&path.0).await.unwrap();
        assert_eq!(SockRef::from(&client).send_buffer_size().unwrap(), 40_000);
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"abc").await.unwrap();
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn a_unix_socket_for_messages_is_set_up_too() {
    run(|| async {
        let path = SocketPath::new("set-up-messages");
        let socket = UnixSocket::new_datagram().unwrap();
        socket.bind(&path.0).unwrap();
        let a = socket.datagram().unwrap();
        let b = UnixSocket::new_datagram().unwrap().datagram().unwrap();
        b.send_to(b"abc", &path.0).await.unwrap();
        assert_eq!(a.recv(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn what_the_kind_of_a_unix_socket_does_not_do_is_refused() {
    run(|| async {
        let path = SocketPath::new("other-kind");
        let refused = [
            UnixSocket::new_datagram().unwrap().listen(1).unwrap_err(),
            UnixSocket::new_datagram()
                .unwrap()
                .connect(&path.0)
                .await
                .unwrap_err(),
            UnixSocket::new_stream().unwrap().datagram().unwrap_err(),
        ];
        for error in refused {
            assert_eq!(error.kind(), io::ErrorKind::Other);
        }
    });
}

#[test]
fn sockets_convert_from_and_to_bare_numbers() {
    run(|| async {
        let socket = UnixSocket::new_datagram().unwrap();
        let number = socket.as_raw_fd();
        let raw = socket.into_raw_fd();
        assert_eq!(raw, number);
        #[expect(unsafe_code, reason = "a bare number")]
        // SAFETY: it comes from `into_raw_fd`, and is a socket in non-blocking mode.
        let socket = unsafe { UnixSocket::from_raw_fd(raw) };
        drop(socket.datagram().unwrap());

        let raw = TcpSocket::new_v4().unwrap().into_raw_fd();
        #[expect(unsafe_code, reason = "a bare number")]
        // SAFETY: as above.
        let socket = unsafe { TcpSocket::from_raw_fd(raw) };
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        TcpStream::connect(address).await.unwrap();
    });
}

#[test]
fn addresses_need_not_be_paths() {
    run(|| async {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("asyncfd-{}-{number}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let address = unix::SocketAddr::from(address);
        let listener = UnixListener::bind_addr(&address).unwrap();
        let bound = listener.local_addr().unwrap();
        assert_eq!(bound.as_abstract_name(), Some(name.as_bytes()));
        let client = UnixStream::connect_addr(&address).await.unwrap();
        let peer = client.peer_addr().unwrap();
        assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
        listener.accept().await.unwrap();
        let error = UnixListener::bind_addr(&address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

        let path = SocketPath::new("address");
        let address = std::os::unix::net::SocketAddr::from_pathname(&path.0).unwrap();
        let address = unix::SocketAddr::from(address);
        let error = UnixStream::connect_addr(&address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind_addr(&address).unwrap();
        let client = UnixStream::connect_addr(&address).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path.0));
        listener.accept().await.unwrap();

        // Without a name: the system chooses one.
        let nameless = UnixStream::pair().unwrap().0.local_addr().unwrap();
        assert!(nameless.is_unnamed());
        let listener = UnixListener::bind_addr(&nameless).unwrap();
        let chosen = listener.local_addr().unwrap();
        UnixStream::connect_addr(&chosen).await.unwrap();
    });
}

#[test]
fn a_stream_says_who_its_peer_is() {
    run(|| async {
        let (a, _b) = UnixStream::pair().unwrap();
        let cred: unix::UCred = a.peer_cred().unwrap();
        assert_eq!(cred.uid(), getuid().as_raw());
        assert_eq!(cred.gid(), getgid().as_raw());
        let own = unix::pid_t::try_from(std::process::id()).unwrap();
        assert_eq!(cred.pid(), Some(own));
        assert_eq!(cred, a.peer_cred().unwrap());
    });
}
