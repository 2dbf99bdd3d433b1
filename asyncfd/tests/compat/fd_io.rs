//! `FdIo` on objects other than stream sockets: records, and files without a shutdown.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use asyncfd::compat::FdIo;
use asyncfd::{AsyncFd, Interest, Ready};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::common::support::{Fifo, Probe, drain, fill, pair};
use crate::common::{cached, run, settle};

#[test]
fn records_of_a_seqpacket_socket_arrive_one_by_one() {
    run(|| async {
        let kind = Type::SEQPACKET.nonblocking();
        let (a, b) = Socket::pair(Domain::UNIX, kind, None).unwrap();
        let mut a = FdIo::new(AsyncFd::from_fd(a).unwrap());
        let mut b = FdIo::new(AsyncFd::from_fd(b).unwrap());
        for record in [&b"one"[..], b"three", b"five"] {
            a.write_all(record).await.unwrap();
        }
        a.shutdown().await.unwrap();
        settle().await;
        let mut room = [0; 16];
        for record in [&b"one"[..], b"three", b"five", b""] {
            let n = b.read(&mut room).await.unwrap();
            assert_eq!(&room[..n], record);
        }
    });
}

#[test]
fn ending_what_is_no_socket_flushes_and_leaves_it_open() {
    run(|| async {
        let fifo = Fifo::new();
        let mut reader =
            FdIo::new(AsyncFd::with_interest(fifo.reader(), Interest::READABLE).unwrap());
        let writer: File = fifo.writer();
        let mut writer = FdIo::new(AsyncFd::with_interest(writer, Interest::WRITABLE).unwrap());
        writer.write_all(b"abc").await.unwrap();
        writer.shutdown().await.unwrap();
        writer.write_all(b"def").await.unwrap();
        let mut room = [0; 6];
        reader.read_exact(&mut room).await.unwrap();
        assert_eq!(&room, b"abcdef");
        drop(writer);
        assert_eq!(reader.read(&mut room).await.unwrap(), 0);
    });
}

#[test]
fn it_is_the_descriptor_inside_and_gives_it_back() {
    run(|| async {
        let (a, _b) = pair();
        let number = a.as_raw_fd();
        let mut io = FdIo::new(AsyncFd::from_fd(a).unwrap());
        assert_eq!(io.as_raw_fd(), number);
        assert_eq!(io.as_fd().as_raw_fd(), number);
        assert!(!io.is_write_vectored(), "what is inside is not known");
        assert_eq!(cached(io.get_mut(), Interest::READABLE), Ready::EMPTY);
        let text = format!("{io:?}");
        assert!(text.starts_with("FdIo { fd: AsyncFd"), "{text}");
        assert_eq!(io.into_inner().into_inner().as_raw_fd(), number);
    });
}

/// Counts the bytes written to it, and writes the count only when it is flushed. Now and then a
/// signal interrupts it.
#[derive(Debug)]
struct Hoarder {
    socket: UnixStream,
    kept: AtomicUsize,
    interrupt: AtomicBool,
}

impl Hoarder {
    fn new(socket: UnixStream) -> FdIo<Self> {
        let hoarder = Self {
            socket,
            kept: AtomicUsize::new(0),
            interrupt: AtomicBool::new(false),
        };
        FdIo::new(AsyncFd::from_fd(hoarder).unwrap())
    }
}

impl Write for &Hoarder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kept.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.interrupt.swap(false, Ordering::Relaxed) {
            return Err(ErrorKind::Interrupted.into());
        }
        let kept = self.kept.load(Ordering::Relaxed);
        let written = (&self.socket).write(&vec![9; kept])?;
        assert_eq!(written, kept, "few bytes are written whole");
        self.kept.store(0, Ordering::Relaxed);
        Ok(())
    }
}

impl AsFd for Hoarder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Hoarder {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[test]
fn a_flush_waits_until_what_was_kept_back_is_taken() {
    run(|| async {
        let (a, b) = pair();
        let mut io = Hoarder::new(a);
        io.write_all(b"kept").await.unwrap();
        fill(&io.get_ref().get_ref().socket);
        let probe = Probe::new();
        assert!(probe.with(|cx| Pin::new(&mut io).poll_flush(cx).is_pending()));
        assert!(probe.with(|cx| Pin::new(&mut io).poll_shutdown(cx).is_pending()));
        assert!(drain(&b) > 0);
        probe.woken().await;
        io.flush().await.unwrap();
        assert_eq!(drain(&b), 4);
    });
}

#[test]
fn ending_sends_what_was_kept_back_first() {
    run(|| async {
        let (a, b) = pair();
        let mut io = Hoarder::new(a);
        io.write_all(b"kept").await.unwrap();
        io.shutdown().await.unwrap();
        assert_eq!(drain(&b), 4);
    });
}

#[test]
fn a_flush_that_a_signal_interrupts_is_made_again() {
    run(|| async {
        let (a, b) = pair();
        let mut io = Hoarder::new(a);
        io.write_all(b"kept").await.unwrap();
        io.get_ref()
            .get_ref()
            .interrupt
            .store(true, Ordering::Relaxed);
        io.flush().await.unwrap();
        assert_eq!(drain(&b), 4);
    });
}

/// Netlink sockets and a few others have no writing side to shut down.
#[test]
fn ending_a_socket_that_cannot_be_ended_is_no_error() {
    run(|| async {
        let socket = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::DGRAM.nonblocking(),
            None,
        );
        let mut io = FdIo::new(AsyncFd::from_fd(socket.unwrap()).unwrap());
        io.shutdown().await.unwrap();
    });
}
