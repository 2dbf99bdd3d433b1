//! The transfers that prove a socket drained, and those that do not: one test per kind of
//! descriptor and operation.
//!
//! A test either reads or writes on after a transfer that left something, which hangs (and so fails
//! at the deadline) if the readiness was cleared wrongly. Or it checks the cached readiness after a
//! transfer that left nothing, which fails if it was kept. Events are published before the
//! transfer, so that no late one hides a wrong clear.

mod common;

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::pin::pin;

use asyncfd::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use asyncfd::{Interest, Ready};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use common::support::{Probe, drain, pair, tcp_pair};
use common::{cached, run, settle};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// More slices than one call takes: the kernel takes 1,024.
const SLICES: usize = 1030;

async fn tcp() -> (TcpStream, std::net::TcpStream) {
    let (a, b) = tcp_pair();
    let a = TcpStream::from_std(a).unwrap();
    a.writable().await.unwrap();
    (a, b)
}

async fn unix() -> (UnixStream, std::os::unix::net::UnixStream) {
    let (a, b) = pair();
    let a = UnixStream::from_std(a).unwrap();
    a.writable().await.unwrap();
    (a, b)
}

/// Sends, and returns once the receiver's shard has published the event.
async fn send(mut to: impl Write, bytes: &[u8]) {
    to.write_all(bytes).unwrap();
    settle().await;
}

#[test]
fn a_short_tcp_read_clears() {
    run(|| async {
        let (a, b) = tcp().await;
        send(&b, b"abc").await;
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 3);
        assert_eq!(cached(a.as_async_fd(), READ), Ready::EMPTY);
        send(&b, b"abc").await;
        assert_eq!(a.try_read(&mut [0; 8]).unwrap(), 3);
        assert_eq!(cached(a.as_async_fd(), READ), Ready::EMPTY);
        send(&b, b"abc").await;
        let n = std::future::poll_fn(|cx| a.poll_read(cx, &mut [0; 8]))
            .await
            .unwrap();
        assert_eq!(n, 3);
        assert_eq!(cached(a.as_async_fd(), READ), Ready::EMPTY);
        // The next byte is reported.
        send(&b, b"x").await;
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn a_full_tcp_read_does_not_clear() {
    run(|| async {
        let (a, b) = tcp().await;
        send(&b, b"abcdefghijkl").await;
        assert_eq!(a.read(&mut [0; 4]).await.unwrap(), 4);
        assert_eq!(a.try_read(&mut [0; 4]).unwrap(), 4);
        assert_eq!(
            std::future::poll_fn(|cx| a.poll_read(cx, &mut [0; 4]))
                .await
                .unwrap(),
            4
        );
    });
}

#[test]
fn the_end_of_a_tcp_stream_does_not_clear() {
    run(|| async {
        let (a, b) = tcp().await;
        send(&b, b"abc").await;
        drop(b);
        settle().await;
        // A short read, and the end of the stream comes behind it without an edge of its own.
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 3);
        for _ in 0..3 {
            assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 0);
        }
    });
}

#[test]
fn a_vectored_tcp_read_goes_by_what_the_kernel_was_given() {
    run(|| async {
        let (a, b) = tcp().await;
        send(&b, &[5; 2 * 1024 + 7]).await;
        let mut bytes = [0; SLICES];
        let mut slices: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        // Fewer bytes than the slices hold, and as many as the kernel took of them.
        assert_eq!(a.read_vectored(&mut slices).await.unwrap(), 1024);
        assert_eq!(a.try_read_vectored(&mut slices).unwrap(), 1024);
        assert_eq!(a.read_vectored(&mut slices).await.unwrap(), 7);
        assert_eq!(cached(a.as_async_fd(), READ), Ready::EMPTY);
    });
}

#[test]
fn tcp_reads_may_end_at_the_urgent_mark_where_the_option_says_so() {
    run(|| async {
        let (mut a, b) = tcp().await;
        let three_parts = || async {
            send(&b, b"abc").await;
            rustix::net::send(&b, b"!", SendFlags::OOB).unwrap();
            send(&b, b"def").await;
        };
        a.set_short_read_drains(false);
        three_parts().await;
        assert_eq!(
            a.read(&mut [0; 16]).await.unwrap(),
            3,
            "it stops at the mark"
        );
        assert_eq!(
            a.read(&mut [0; 16]).await.unwrap(),
            3,
            "and goes on behind it"
        );

        // The reason for the option: without it, those three bytes prove the socket empty.
        a.set_short_read_drains(true);
        three_parts().await;
        assert_eq!(a.read(&mut [0; 16]).await.unwrap(), 3);
        assert_eq!(cached(a.as_async_fd(), READ), Ready::EMPTY);
        assert_eq!(drain(a.as_async_fd().get_ref()), 3);
    });
}

#[test]
fn a_peek_never_clears() {
    run(|| async {
        let (a, b) = tcp().await;
        send(&b, b"abc").await;
        assert_eq!(a.peek(&mut [0; 8]).await.unwrap(), 3);
        assert_eq!(a.peek(&mut [0; 8]).await.unwrap(), 3, "nothing was taken");
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 3);

        let (a, b) = unix().await;
        send(&b, b"abc").await;
        assert_eq!(a.peek(&mut [0; 8]).await.unwrap(), 3);
        assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn a_unix_read_cut_short_by_a_descriptor_does_not_clear() {
    run(|| async {
        let (a, b) = unix().await;
        for forms in 0..3 {
            let (passed, _) = pair();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [passed.as_fd()];
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
            rustix::net::sendmsg(
                &b,
                &[IoSlice::new(b"abc")],
                &mut control,
                SendFlags::empty(),
            )
            .unwrap();
            send(&b, b"defg").await;
            let mut buffer = [0; 16];
            let n = match forms {
                0 => a.read(&mut buffer).await.unwrap(),
                1 => a.try_read(&mut buffer).unwrap(),
                _ => a
                    .read_vectored(&mut [IoSliceMut::new(&mut buffer)])
                    .await
                    .unwrap(),
            };
            assert_eq!(n, 3, "the message with the descriptor ends the read");
            assert_eq!(a.read(&mut [0; 16]).await.unwrap(), 4);
        }
    });
}

/// Fills a stream with one large write in each of its forms. `$kind` creates the stream.
macro_rules! a_short_write_clears {
    ($name:ident, $kind:ident) => {
        #[test]
        fn $name() {
            run(|| async {
                let much = vec![1; 16 << 20];
                for form in 0..5 {
                    let (a, b) = $kind().await;
                    let slices = [IoSlice::new(&much)];
                    let n = match form {
                        0 => a.write(&much).await.unwrap(),
                        1 => a.try_write(&much).unwrap(),
                        2 => a.write_vectored(&slices).await.unwrap(),
                        3 => a.try_write_vectored(&slices).unwrap(),
                        _ => std::future::poll_fn(|cx| a.poll_write(cx, &much))
                            .await
                            .unwrap(),
                    };
                    assert!(n < much.len());
                    // Room may have appeared since then (the peer's buffer takes some), with its
                    // own event. While readiness is cached there must be room, or the short write
                    // did not clear.
                    settle().await;
                    while cached(a.as_async_fd(), WRITE) == Ready::WRITABLE {
                        let more = a
                            .try_write(&much)
                            .expect("full, and yet cached as writable");
                        assert!(more < much.len());
                        settle().await;
                    }
                    // The next change makes it ready again.
                    drain(&b);
                    a.writable().await.unwrap();
                }
            });
        }
    };
}

a_short_write_clears!(a_short_tcp_write_clears, tcp);
a_short_write_clears!(a_short_unix_write_clears, unix);

#[test]
fn a_full_write_does_not_clear() {
    run(|| async {
        let (a, _b) = tcp().await;
        for _ in 0..3 {
            assert_eq!(a.write(b"abc").await.unwrap(), 3);
            assert_eq!(a.try_write(b"abc").unwrap(), 3);
        }
        let (a, _b) = unix().await;
        for _ in 0..3 {
            assert_eq!(a.write(b"abc").await.unwrap(), 3);
            assert_eq!(a.try_write(b"abc").unwrap(), 3);
        }
    });
}

#[test]
fn a_vectored_write_goes_by_what_the_kernel_was_given() {
    run(|| async {
        let bytes = [5; SLICES];
        let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        // Fewer bytes than the slices hold, although there is room: no new edge would come.
        let (a, _b) = tcp().await;
        assert_eq!(a.write_vectored(&slices).await.unwrap(), 1024);
        assert_eq!(a.try_write_vectored(&slices).unwrap(), 1024);
        assert_eq!(a.write(b"x").await.unwrap(), 1);
        let (a, _b) = unix().await;
        assert_eq!(a.write_vectored(&slices).await.unwrap(), 1024);
        assert_eq!(a.try_write_vectored(&slices).unwrap(), 1024);
        assert_eq!(a.write(b"x").await.unwrap(), 1);
    });
}

#[test]
fn accepting_one_does_not_clear() {
    run(|| async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _clients: Vec<_> = (0..4)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        settle().await;
        listener.accept().await.unwrap();
        listener.accept_std().await.unwrap();
        listener.try_accept_std().unwrap();
        std::future::poll_fn(|cx| listener.poll_accept(cx))
            .await
            .unwrap();
        let error = listener.try_accept_std().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(cached(listener.as_async_fd(), READ), Ready::EMPTY);
    });
}

#[test]
fn accepting_one_does_not_clear_on_a_unix_socket() {
    run(|| async {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("asyncfd-draining-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap())
            .collect();
        std::fs::remove_file(&path).unwrap();
        settle().await;
        for _ in &clients {
            listener.accept().await.unwrap();
        }
    });
}

#[test]
fn nothing_is_asked_of_the_system_before_it_reported_something() {
    run(|| async {
        let (a, b) = tcp().await;
        send(&b, b"abc").await;
        // The bytes are there and their event is used up, so only a system call could find them.
        a.as_async_fd().readable().await.unwrap().clear_ready();
        let mut buffer = [0; 8];
        assert_eq!(
            a.try_read(&mut buffer).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let probe = Probe::new();
        assert!(probe.with(|cx| a.poll_read(cx, &mut buffer).is_pending()));
        assert!(probe.poll(pin!(a.peek(&mut buffer))).is_pending());
        let mut read = pin!(a.read(&mut buffer));
        assert!(probe.poll(read.as_mut()).is_pending());
        send(&b, b"d").await;
        assert_eq!(read.await.unwrap(), 4);

        a.as_async_fd().writable().await.unwrap().clear_ready();
        assert_eq!(
            a.try_write(b"x").unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert!(probe.poll(pin!(a.write(b"x"))).is_pending());
    });
}
