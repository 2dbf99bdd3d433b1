//! `UnixDatagram`.

use std::io;
use std::net::Shutdown;

use super::side::{UnixDatagram, run};
use crate::common::SocketPath;

fn would_block<R: std::fmt::Debug>(result: io::Result<R>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_pair_passes_messages() {
    run(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        a.send(b"abc").await.unwrap();
        a.send(b"").await.unwrap();
        b.send(b"de").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 3);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 0);
        assert_eq!(a.recv(&mut buffer).await.unwrap(), 2);
        would_block(b.try_recv(&mut buffer));
    });
}

#[test]
fn messages_say_the_name_of_who_has_one() {
    run(|| async {
        let (named, other) = (SocketPath::new("named"), SocketPath::new("other"));
        let a = UnixDatagram::bind(&named.0).unwrap();
        let b = UnixDatagram::bind(&other.0).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(b.send_to(b"abc", &named.0).await.unwrap(), 3);
        let (n, from) = a.recv_from(&mut buffer).await.unwrap();
        assert_eq!((n, from.as_pathname()), (3, Some(&*other.0)));

        let nameless = UnixDatagram::unbound().unwrap();
        assert!(nameless.local_addr().unwrap().is_unnamed());
        nameless.connect(&named.0).unwrap();
        let peer = nameless.peer_addr().unwrap();
        assert_eq!(peer.as_pathname(), Some(&*named.0));
        nameless.writable().await.unwrap();
        assert_eq!(nameless.try_send(b"defg").unwrap(), 4);
        a.readable().await.unwrap();
        let (n, from) = a.try_recv_from(&mut buffer).unwrap();
        assert!(n == 4 && from.is_unnamed());
        would_block(a.try_recv_from(&mut buffer));
        assert_eq!(a.try_send_to(b"back", &other.0).unwrap(), 4);
        assert_eq!(b.recv(&mut buffer).await.unwrap(), 4);
    });
}

#[test]
fn a_full_queue_makes_a_sender_wait_for_the_receiver() {
    run(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        a.writable().await.unwrap();
        let mut sent = 0;
        while a.try_send(b"message").is_ok() {
            sent += 1;
        }
        let mut received = 0;
        let send = async {
            // The same number again, so that they cannot all have fitted.
            for _ in 0..sent {
                a.send(b"message").await.unwrap();
            }
        };
        let receive = async {
            while received < 2 * sent {
                assert_eq!(b.recv(&mut [0; 8]).await.unwrap(), 7);
                received += 1;
            }
        };
        crate::common::both(send, receive).await;
        assert_eq!(received, 2 * sent);
    });
}

#[test]
fn nobody_there_is_an_error() {
    run(|| async {
        let path = SocketPath::new("nobody");
        let a = UnixDatagram::unbound().unwrap();
        let error = a.send_to(b"abc", &path.0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = a.connect(&path.0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        drop(UnixDatagram::bind(&path.0).unwrap());
        let error = UnixDatagram::bind(&path.0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let (a, b) = UnixDatagram::pair().unwrap();
        drop(b);
        let error = a.send(b"abc").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn shutting_down_ends_sending() {
    run(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        a.send(b"abc").await.unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        let error = a.send(b"abc").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(b.recv(&mut [0; 8]).await.unwrap(), 3);
        assert!(a.take_error().unwrap().is_none());
    });
}

#[test]
fn it_converts_from_and_to_the_standard_librarys() {
    run(|| async {
        let (a, b) = std::os::unix::net::UnixDatagram::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        let b = UnixDatagram::try_from(b).unwrap();
        assert!(format!("{b:?}").contains("UnixDatagram"));
        a.send(b"abc").unwrap();
        assert_eq!(b.recv(&mut [0; 8]).await.unwrap(), 3);
        let b = b.into_std().unwrap();
        would_block(b.recv(&mut [0; 8]));
    });
}
