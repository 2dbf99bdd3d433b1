//! The buffers of tokio and hyper after a read: the filled part, the initialised part, and their
//! old content.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;

use asyncfd::AsyncFd;
use asyncfd::compat::FdIo;
use asyncfd::net::UnixStream;

use crate::common::run;
use crate::common::support::pair;

async fn fill_tokio<S>(stream: &mut S, buffer: &mut tokio::io::ReadBuf<'_>) -> io::Result<()>
where
    S: tokio::io::AsyncRead + Unpin,
{
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer)).await
}

async fn fill_hyper<S>(stream: &mut S, buffer: &mut hyper::rt::ReadBuf<'_>) -> io::Result<()>
where
    S: hyper::rt::Read + Unpin,
{
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await
}

#[test]
fn a_read_fills_behind_what_is_filled_and_initialises_no_more_than_it_read() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        let mut memory = [MaybeUninit::uninit(); 32];
        let mut buffer = tokio::io::ReadBuf::uninit(&mut memory);
        buffer.put_slice(b"before ");
        b.write_all(b"after").await.unwrap();
        fill_tokio(&mut a, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"before after");
        assert_eq!(buffer.initialized().len(), 12, "nothing was zeroed");
        b.write_all(b" all").await.unwrap();
        fill_tokio(&mut a, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"before after all");

        let mut memory = [MaybeUninit::uninit(); 32];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut memory);
        buffer.unfilled().put_slice(b"before ");
        b.write_all(b"after").await.unwrap();
        fill_hyper(&mut a, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"before after");
        assert!(format!("{buffer:?}").contains("init: 12"), "{buffer:?}");
    });
}

#[test]
fn what_is_read_by_another_object_comes_behind_what_is_filled_too() {
    run(|| async {
        let (a, b) = pair();
        let mut io = FdIo::new(AsyncFd::from_fd(a).unwrap());
        io::Write::write_all(&mut &b, b"after").unwrap();
        let mut memory = [MaybeUninit::uninit(); 32];
        let mut buffer = tokio::io::ReadBuf::uninit(&mut memory);
        buffer.put_slice(b"before ");
        fill_tokio(&mut io, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"before after");

        io::Write::write_all(&mut &b, b"after").unwrap();
        let mut memory = [MaybeUninit::uninit(); 32];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut memory);
        buffer.unfilled().put_slice(b"before ");
        fill_hyper(&mut io, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"before after");
    });
}

#[test]
fn what_was_initialised_before_a_read_stays_so() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        let mut memory = [9; 32];
        let mut buffer = tokio::io::ReadBuf::new(&mut memory);
        b.write_all(b"abc").await.unwrap();
        fill_tokio(&mut a, &mut buffer).await.unwrap();
        assert_eq!(buffer.filled(), b"abc");
        assert_eq!(buffer.initialized().len(), 32);
        assert_eq!(&buffer.initialized()[3..], [9; 29]);
    });
}

#[test]
fn a_buffer_without_room_reads_nothing_and_is_no_end() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        b.write_all(b"abcdefghi").await.unwrap();
        let mut memory = [MaybeUninit::uninit(); 3];
        let mut buffer = tokio::io::ReadBuf::uninit(&mut memory);
        for _ in 0..2 {
            fill_tokio(&mut a, &mut buffer).await.unwrap();
            assert_eq!(buffer.filled(), b"abc");
        }
        let mut memory = [MaybeUninit::uninit(); 3];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut memory);
        for _ in 0..2 {
            fill_hyper(&mut a, &mut buffer).await.unwrap();
            assert_eq!(buffer.filled(), b"def");
        }
    });
}

/// A reader that claims to have read more than it did.
#[derive(Debug)]
struct Liar(std::os::unix::net::UnixStream);

impl io::Read for &Liar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (&self.0).read(buffer)?;
        Ok(n + buffer.len())
    }
}

impl std::os::fd::AsRawFd for Liar {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

#[test]
#[should_panic(expected = "more than it was given room for")]
fn an_object_that_lies_about_how_much_it_read_is_not_believed() {
    let reactor = reactor::Reactor::builder().shards(1).build().unwrap();
    reactor.block_on(async {
        let (a, b) = pair();
        let mut io = FdIo::new(AsyncFd::new(Liar(a)).unwrap());
        io::Write::write_all(&mut &b, b"abc").unwrap();
        let mut memory = [MaybeUninit::uninit(); 8];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut memory);
        fill_hyper(&mut io, &mut buffer).await.unwrap();
    });
}
