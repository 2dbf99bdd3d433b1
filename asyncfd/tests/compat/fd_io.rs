//! `FdIo` on what is no stream socket: records, and files that have no end but their last.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use asyncfd::compat::FdIo;
use asyncfd::{AsyncFd, Interest, Ready};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::common::support::{Fifo, pair};
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
