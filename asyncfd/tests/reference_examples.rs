//! The examples in the documentation of tokio's `AsyncFd`, unchanged except for their `use` and
//! runtime lines: they compile and work here too.
//!
//! Two of them use fixed ports and expect a peer there. Their `TcpStream` and `UdpSocket` come from
//! [`ports`], which redirects a fixed port to the peer of the test.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use common::within_deadline;
use reactor::Reactor;

/// Replaces the standard library's sockets in examples that use a fixed port.
mod ports {
    use std::cell::RefCell;
    use std::io;
    use std::net::SocketAddr;

    thread_local! {
        static PEER: RefCell<Option<SocketAddr>> = const { RefCell::new(None) };
    }

    /// Sets the peer that examples on this thread reach at their fixed ports.
    pub(super) fn lead_to(peer: SocketAddr) {
        PEER.set(Some(peer));
    }

    fn peer() -> SocketAddr {
        PEER.with_borrow(|peer| peer.expect("the test says who the peer is"))
    }

    pub(super) struct TcpStream;

    impl TcpStream {
        pub(super) fn connect(address: &str) -> io::Result<std::net::TcpStream> {
            assert_eq!(address, "127.0.0.1:8080");
            std::net::TcpStream::connect(peer())
        }
    }

    pub(super) struct UdpSocket;

    impl UdpSocket {
        pub(super) fn bind(address: &str) -> io::Result<std::net::UdpSocket> {
            assert_eq!(address, "0.0.0.0:8080");
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(peer())?;
            Ok(socket)
        }
    }
}

/// The page's first example: a TCP stream with read and write as async functions, and with tokio's
/// I/O traits.
#[rustfmt::skip]
#[allow(unused_variables, reason = "as it stands there")]
mod a_tcp_stream {
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::pin::Pin;
    use std::task::{ready, Context, Poll};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use asyncfd::AsyncFd;

    pub(super) struct AsyncTcpStream {
        inner: AsyncFd<TcpStream>,
    }

    impl AsyncTcpStream {
        pub(super) fn new(tcp: TcpStream) -> io::Result<Self> {
            tcp.set_nonblocking(true)?;
            Ok(Self {
                inner: AsyncFd::new(tcp)?,
            })
        }

        pub(super) async fn read(&self, out: &mut [u8]) -> io::Result<usize> {
            loop {
                let mut guard = self.inner.readable().await?;

                match guard.try_io(|inner| inner.get_ref().read(out)) {
                    Ok(result) => return result,
                    Err(_would_block) => continue,
                }
            }
        }

        pub(super) async fn write(&self, buf: &[u8]) -> io::Result<usize> {
            loop {
                let mut guard = self.inner.writable().await?;

                match guard.try_io(|inner| inner.get_ref().write(buf)) {
                    Ok(result) => return result,
                    Err(_would_block) => continue,
                }
            }
        }
    }

    impl AsyncRead for AsyncTcpStream {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>
        ) -> Poll<io::Result<()>> {
            loop {
                let mut guard = ready!(self.inner.poll_read_ready(cx))?;

                let unfilled = buf.initialize_unfilled();
                match guard.try_io(|inner| inner.get_ref().read(unfilled)) {
                    Ok(Ok(len)) => {
                        buf.advance(len);
                        return Poll::Ready(Ok(()));
                    },
                    Ok(Err(err)) => return Poll::Ready(Err(err)),
                    Err(_would_block) => continue,
                }
            }
        }
    }

    impl AsyncWrite for AsyncTcpStream {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8]
        ) -> Poll<io::Result<usize>> {
            loop {
                let mut guard = ready!(self.inner.poll_write_ready(cx))?;

                match guard.try_io(|inner| inner.get_ref().write(buf)) {
                    Ok(result) => return Poll::Ready(result),
                    Err(_would_block) => continue,
                }
            }
        }

        fn poll_flush(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            // tcp flush is a no-op
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            self.inner.get_ref().shutdown(std::net::Shutdown::Write)?;
            Poll::Ready(Ok(()))
        }
    }
}

/// The example of `ready`.
#[rustfmt::skip]
mod ready {
    use std::error::Error;
    use std::io;
    use std::io::{Read, Write};
    use super::ports::TcpStream;
    use asyncfd::AsyncFd;
    use asyncfd::{Interest, Ready};

    pub(super) async fn main() -> Result<(), Box<dyn Error>> {
        let stream = TcpStream::connect("127.0.0.1:8080")?;
        stream.set_nonblocking(true)?;
        let stream = AsyncFd::new(stream)?;

        loop {
            let mut guard = stream
                .ready(Interest::READABLE | Interest::WRITABLE)
                .await?;

            if guard.ready().is_readable() {
                let mut data = vec![0; 1024];
                // Try to read data, this may still fail with `WouldBlock`
                // if the readiness event is a false positive.
                match stream.get_ref().read(&mut data) {
                    Ok(n) => {
                        println!("read {} bytes", n);
                    }
                    Err(ref e) if e.kind() == io::ErrorKind::WouldBlock => {
                        // a read has blocked, but a write might still succeed.
                        // clear only the read readiness.
                        guard.clear_ready_matching(Ready::READABLE);
                        continue;
                    }
                    Err(e) => {
                        return Err(e.into());
                    }
                }
            }

            if guard.ready().is_writable() {
                // Try to write data, this may still fail with `WouldBlock`
                // if the readiness event is a false positive.
                match stream.get_ref().write(b"hello world") {
                    Ok(n) => {
                        println!("write {} bytes", n);
                    }
                    Err(ref e) if e.kind() == io::ErrorKind::WouldBlock => {
                        // a write has blocked, but a read might still succeed.
                        // clear only the write readiness.
                        guard.clear_ready_matching(Ready::WRITABLE);
                        continue;
                    }
                    Err(e) => {
                        return Err(e.into());
                    }
                }
            }
        }
    }
}

/// The example of `ready_mut`.
#[rustfmt::skip]
mod ready_mut {
    use std::error::Error;
    use std::io;
    use std::io::{Read, Write};
    use super::ports::TcpStream;
    use asyncfd::AsyncFd;
    use asyncfd::{Interest, Ready};

    pub(super) async fn main() -> Result<(), Box<dyn Error>> {
        let stream = TcpStream::connect("127.0.0.1:8080")?;
        stream.set_nonblocking(true)?;
        let mut stream = AsyncFd::new(stream)?;

        loop {
            let mut guard = stream
                .ready_mut(Interest::READABLE | Interest::WRITABLE)
                .await?;

            if guard.ready().is_readable() {
                let mut data = vec![0; 1024];
                // Try to read data, this may still fail with `WouldBlock`
                // if the readiness event is a false positive.
                match guard.get_inner_mut().read(&mut data) {
                    Ok(n) => {
                        println!("read {} bytes", n);
                    }
                    Err(ref e) if e.kind() == io::ErrorKind::WouldBlock => {
                        // a read has blocked, but a write might still succeed.
                        // clear only the read readiness.
                        guard.clear_ready_matching(Ready::READABLE);
                        continue;
                    }
                    Err(e) => {
                        return Err(e.into());
                    }
                }
            }

            if guard.ready().is_writable() {
                // Try to write data, this may still fail with `WouldBlock`
                // if the readiness event is a false positive.
                match guard.get_inner_mut().write(b"hello world") {
                    Ok(n) => {
                        println!("write {} bytes", n);
                    }
                    Err(ref e) if e.kind() == io::ErrorKind::WouldBlock => {
                        // a write has blocked, but a read might still succeed.
                        // clear only the write readiness.
                        guard.clear_ready_matching(Ready::WRITABLE);
                        continue;
                    }
                    Err(e) => {
                        return Err(e.into());
                    }
                }
            }
        }
    }
}

/// The example of `async_io`.
#[rustfmt::skip]
mod async_io {
    use asyncfd::{AsyncFd, Interest};

    use std::io;
    use super::ports::UdpSocket;

    pub(super) async fn main() -> io::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:8080")?;
        socket.set_nonblocking(true)?;
        let async_fd = AsyncFd::new(socket)?;

        let written = async_fd
            .async_io(Interest::WRITABLE, |inner| inner.send(&[1, 2]))
            .await?;

        println!("wrote {written} bytes");

        Ok(())
    }
}

fn reactor() -> Reactor {
    Reactor::builder().shards(1).build().unwrap()
}

#[test]
fn the_tcp_stream_of_the_page_echoes() {
    let reactor = reactor();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let echo = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        peer.read_to_end(&mut text).unwrap();
        peer.write_all(&text).unwrap();
        text.len()
    });
    within_deadline(&reactor, async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let tcp = std::net::TcpStream::connect(address).unwrap();
        let mut stream = a_tcp_stream::AsyncTcpStream::new(tcp).unwrap();
        // More than the buffers hold, so one try cannot take all of it.
        AsyncWriteExt::write_all(&mut stream, &[1; 300_000])
            .await
            .unwrap();
        let mut sent = 0;
        while sent < 100 {
            sent += a_tcp_stream::AsyncTcpStream::write(&stream, &[2; 100][sent..])
                .await
                .unwrap();
        }
        stream.flush().await.unwrap();
        stream.shutdown().await.unwrap();
        let mut head = vec![0; 300_000];
        stream.read_exact(&mut head).await.unwrap();
        assert!(head.iter().all(|&byte| byte == 1));
        let mut tail = 0;
        loop {
            let mut chunk = [0; 64];
            match a_tcp_stream::AsyncTcpStream::read(&stream, &mut chunk).await {
                Ok(0) => break,
                Ok(n) => {
                    assert!(chunk[..n].iter().all(|&byte| byte == 2));
                    tail += n;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(tail, 100);
    });
    assert_eq!(echo.join().unwrap(), 300_100);
}

/// Serves the two examples that read and write for as long as their peer does: reads their bytes,
/// answers, and leaves.
fn serve(example: impl AsyncFnOnce() -> Result<(), Box<dyn std::error::Error>>) {
    let reactor = reactor();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ports::lead_to(listener.local_addr().unwrap());
    let peer = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut said = [0; 22];
        peer.read_exact(&mut said).unwrap();
        peer.write_all(b"answer").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        // It also sends more than the buffers hold, so that the example meets a full socket.
        let mut taken = 0;
        while taken < 300_000 {
            taken += peer.read(&mut [0; 4096]).unwrap();
        }
        said
    });
    let error = within_deadline(&reactor, async { example().await.unwrap_err() });
    let error = error.downcast::<std::io::Error>().unwrap();
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!(
        [BrokenPipe, ConnectionReset].contains(&error.kind()),
        "{error}"
    );
    assert_eq!(&peer.join().unwrap(), b"hello worldhello world");
}

#[test]
fn the_example_of_ready_reads_and_writes_until_its_peer_leaves() {
    serve(ready::main);
}

#[test]
fn the_example_of_ready_mut_reads_and_writes_until_its_peer_leaves() {
    serve(ready_mut::main);
}

#[test]
fn the_example_of_async_io_sends_its_bytes() {
    let reactor = reactor();
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    ports::lead_to(peer.local_addr().unwrap());
    within_deadline(&reactor, async_io::main()).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(peer.recv(&mut buffer).unwrap(), 2);
    assert_eq!(buffer[..2], [1, 2]);
}
