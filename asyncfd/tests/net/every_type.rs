//! The traits and conversions of every type of `net`.

use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};

use asyncfd::net::{
    TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixSocket,
    UnixStream, pipe, tcp, unix,
};
use futures_core::Stream;

use crate::common::run;

trait Shared: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + 'static {}
impl<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + 'static> Shared for T {}

fn descriptor<T: Shared + AsFd + AsRawFd + Into<OwnedFd> + TryFrom<OwnedFd>>() {}
fn std_like<T: TryFrom<S>, S>() {}
fn half<T: Send + Sync + Unpin + Debug + AsRef<S>, S>() {}
fn error<T: std::error::Error + Shared>() {}
fn stream<T: Stream + Send + Sync + Unpin + Debug>() {}
fn send<T: Send>(_: T) {}

#[test]
fn every_type_is_a_descriptor_that_threads_can_share() {
    descriptor::<TcpListener>();
    descriptor::<TcpSocket>();
    descriptor::<TcpStream>();
    descriptor::<UdpSocket>();
    descriptor::<UnixDatagram>();
    descriptor::<UnixListener>();
    descriptor::<UnixSocket>();
    descriptor::<UnixStream>();
    descriptor::<pipe::Receiver>();
    descriptor::<pipe::Sender>();

    std_like::<TcpListener, std::net::TcpListener>();
    std_like::<TcpStream, std::net::TcpStream>();
    std_like::<UdpSocket, std::net::UdpSocket>();
    std_like::<UnixDatagram, std::os::unix::net::UnixDatagram>();
    std_like::<UnixListener, std::os::unix::net::UnixListener>();
    std_like::<UnixStream, std::os::unix::net::UnixStream>();
}

#[test]
fn halves_and_streams_can_go_to_other_threads() {
    half::<tcp::ReadHalf<'_>, TcpStream>();
    half::<tcp::WriteHalf<'_>, TcpStream>();
    half::<tcp::OwnedReadHalf, TcpStream>();
    half::<tcp::OwnedWriteHalf, TcpStream>();
    half::<unix::ReadHalf<'_>, UnixStream>();
    half::<unix::WriteHalf<'_>, UnixStream>();
    half::<unix::OwnedReadHalf, UnixStream>();
    half::<unix::OwnedWriteHalf, UnixStream>();
    error::<tcp::ReuniteError>();
    error::<unix::ReuniteError>();
    stream::<tcp::Incoming<'_>>();
    stream::<unix::Incoming<'_>>();
}

#[test]
fn waits_can_go_to_other_threads() {
    run(|| async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        send(listener.accept());
        send(TcpListener::bind("localhost:0"));
        send(TcpStream::connect("localhost:0"));
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let stream = stream.unwrap();
        let mut buffer = [0; 8];
        send(stream.read(&mut buffer));
        send(stream.peek(&mut buffer));
        send(stream.write_all(b""));
        send(stream.readable());
        send(stream.async_io(asyncfd::Interest::READABLE, || Ok(())));
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        send(asyncfd::io::copy(&mut &stream, &mut &stream));
        send(asyncfd::io::BufReader::new(&stream).lines().next_line());
        send(stream.read_to_end(&mut Vec::new()));
        send(socket.recv_from(&mut buffer));
        send(socket.send_to(b"", "localhost:0"));
    });
}

#[test]
fn debug_shows_what_it_is() {
    run(|| async {
        let socket = TcpSocket::new_v4().unwrap();
        assert_eq!(
            format!("{socket:?}"),
            format!("TcpSocket({})", socket.as_fd().as_raw_fd())
        );
        assert_eq!(socket.as_raw_fd(), socket.as_fd().as_raw_fd());
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let shown = format!("{listener:?}");
        assert!(
            shown.contains("TcpListener") && shown.contains(&port),
            "{shown}"
        );
        assert!(format!("{:?}", listener.incoming()).contains(&shown));
        let (a, _b) = UnixStream::pair().unwrap();
        assert!(format!("{a:?}").contains("UnixStream"));
    });
}
