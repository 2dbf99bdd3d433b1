//! Unix sockets through `net`: the differences from TCP, and the rest of the API.

mod common;

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use asyncfd::net::{UnixListener, UnixStream};
use reactor::Handle;

use common::support::pair;
use common::{SocketPath, run, run_on_shard};

#[test]
fn connect_accept_and_echo() {
    run(|| async {
        let path = SocketPath::new("echo");
        let listener = UnixListener::bind(&path.0).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path.0));
        let client = UnixStream::connect(&path.0).await.unwrap();
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path.0));
        let (server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed());
        let echo = Handle::current().spawn(async move {
            let mut buffer = [0; 64];
            loop {
                match server.read(&mut buffer).await.unwrap() {
                    0 => return,
                    n => server.write_all(&buffer[..n]).await.unwrap(),
                }
            }
        });
        for text in [&b"a"[..], b"hello", &[9; 64]] {
            client.write_all(text).await.unwrap();
            let mut answer = vec![0; text.len()];
            let mut done = 0;
            while done < answer.len() {
                done += client.read(&mut answer[done..]).await.unwrap();
            }
            assert_eq!(answer, text);
        }
        drop(client);
        echo.await.unwrap();
    });
}

#[test]
fn a_client_with_a_name_shows_it() {
    run(|| async {
        let (path, name) = (SocketPath::new("listener"), SocketPath::new("named"));
        let listener = UnixListener::bind(&path.0).unwrap();
        let client =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client
            .bind(&socket2::SockAddr::unix(&name.0).unwrap())
            .unwrap();
        client
            .connect(&socket2::SockAddr::unix(&path.0).unwrap())
            .unwrap();
        let (_server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.as_pathname(), Some(&*name.0));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_may_have_the_longest_name_there_is() {
    run(|| async {
        let (path, name) = (SocketPath::new("patient"), SocketPath::new("long"));
        let listener = UnixListener::bind(&path.0).unwrap();
        // A path that fills the address to its last byte and leaves no room for a terminator.
        let length = 108 - name.0.as_os_str().len();
        let name = SocketPath(format!("{}{}", name.0.display(), "x".repeat(length)).into());
        let client = rustix::net::socket(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        let address = rustix::net::SocketAddrUnix::new(&name.0).unwrap();
        rustix::net::bind(&client, &address).unwrap();
        rustix::net::connect(&client, &rustix::net::SocketAddrUnix::new(&path.0).unwrap()).unwrap();
        let (_server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.as_pathname(), Some(&*name.0));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_with_an_abstract_name_shows_it() {
    use std::os::linux::net::SocketAddrExt;
    run(|| async {
        let path = SocketPath::new("abstract");
        let listener = UnixListener::bind(&path.0).unwrap();
        let client =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let name = format!("\0asyncfd-abstract-{}", std::process::id());
        client
            .bind(&socket2::SockAddr::unix(&name).unwrap())
            .unwrap();
        client
            .connect(&socket2::SockAddr::unix(&path.0).unwrap())
            .unwrap();
        let (_server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.as_abstract_name(), Some(&name.as_bytes()[1..]));
    });
}

#[test]
fn connecting_fails_clearly() {
    run(|| async {
        let path = SocketPath::new("nobody");
        let error = UnixStream::connect(&path.0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // A socket file whose listener is gone.
        drop(UnixListener::bind(&path.0).unwrap());
        let error = UnixStream::connect(&path.0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = UnixListener::bind(&path.0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    });
}

#[test]
fn a_full_queue_would_block_rather_than_hang() {
    run(|| async {
        let path = SocketPath::new("full");
        let listener =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        listener
            .bind(&socket2::SockAddr::unix(&path.0).unwrap())
            .unwrap();
        listener.listen(0).unwrap();
        let _first = UnixStream::connect(&path.0).await.unwrap();
        let error = UnixStream::connect(&path.0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_pair_is_ready_for_writing_at_birth() {
    run_on_shard(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        // No turn of the shard's loop came in between.
        assert_eq!(a.try_write(b"abc").unwrap(), 3);
        assert_eq!(b.try_write(b"de").unwrap(), 2);
        let mut buffer = [0; 8];
        assert_eq!(b.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(a.read(&mut buffer).await.unwrap(), 2);
        drop(a);
        assert_eq!(b.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn vectored_forms_move_all_slices() {
    run(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let slices = [
            IoSlice::new(b"one"),
            IoSlice::new(b""),
            IoSlice::new(b"two"),
        ];
        assert_eq!(a.write_vectored(&slices).await.unwrap(), 6);
        let (mut x, mut y) = ([0; 4], [0; 4]);
        let mut buffers = [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)];
        assert_eq!(b.read_vectored(&mut buffers).await.unwrap(), 6);
        assert_eq!((&x, &y[..2]), (b"onet", &b"wo"[..]));
    });
}

#[test]
fn halves_split_and_reunite() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        {
            let (read, write) = a.split();
            write.write_all(b"abc").await.unwrap();
            b.write_all(b"de").await.unwrap();
            assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 2);
            assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 3);
        }
        let (read, write) = a.into_split();
        let a = read.reunite(write).unwrap();
        a.write_all(b"f").await.unwrap();
        assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 1);
        let (_read, write) = a.into_split();
        drop(write);
        assert_eq!(
            b.read(&mut [0; 8]).await.unwrap(),
            0,
            "the write half is gone"
        );
    });
}

#[test]
fn it_converts_from_and_to_other_types() {
    run(|| async {
        let (a, b) = pair();
        let number = a.as_raw_fd();
        let a = UnixStream::from_std(a).unwrap();
        let a = UnixStream::try_from(OwnedFd::from(a)).unwrap();
        let a = a.into_std().unwrap();
        assert_eq!(a.as_raw_fd(), number);
        let a = UnixStream::try_from(a).unwrap();
        let b = UnixStream::from_accepted(b).unwrap();
        b.write_all(b"abc").await.unwrap();
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 3);
    });
}
