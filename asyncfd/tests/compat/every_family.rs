//! The behaviour of every family, on every type that has its traits.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use asyncfd::compat::FdIo;
use asyncfd::net::{TcpListener, TcpStream, UnixStream, pipe};
use asyncfd::{AsyncFd, Interest, Ready};
use reactor::{Handle, Placement, Reactor};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pipe::PipeFlags;

use super::side::{Reads, Writes, end, flush, poll_read, poll_write, read, write, write_vectored};
use crate::common::support::{Probe, fill, pair, tcp_pair};
use crate::common::{both, cached, run, settle};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// More than the buffers of any type hold, so both sides have to wait for each other.
const MUCH: usize = 9 << 20;

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

/// Returns bytes with a period that divides no buffer length.
fn much() -> Vec<u8> {
    let period: Vec<u8> = (0..=250).collect();
    period.repeat(MUCH / period.len())
}

async fn write_much(to: &mut impl Writes) {
    let all = much();
    let mut rest = &all[..];
    while !rest.is_empty() {
        let n = write(to, rest).await.unwrap();
        assert!(n > 0);
        rest = &rest[n..];
    }
    flush(to).await.unwrap();
    end(to).await.unwrap();
}

/// Reads to the end of the stream.
async fn read_much(from: &mut impl Reads) {
    let all = much();
    let mut rest = &all[..];
    loop {
        let bytes = read(from, 70_001).await.unwrap();
        if bytes.is_empty() {
            break;
        }
        assert!(rest.starts_with(&bytes), "with {} to come", rest.len());
        rest = &rest[bytes.len()..];
    }
    assert!(rest.is_empty(), "{} are missing", rest.len());
}

#[test]
fn tcp_carries_much_both_ways_and_each_end_is_read() {
    run(|| async {
        let (mut a, mut b) = connected().await;
        both(write_much(&mut a), read_much(&mut b)).await;
        // The other direction is still open.
        both(write_much(&mut b), read_much(&mut a)).await;
    });
}

#[test]
fn halves_carry_much_both_ways() {
    run(|| async {
        let (mut a, b) = connected().await;
        let (mut a_in, mut a_out) = a.split();
        let (mut b_in, mut b_out) = b.into_split();
        both(write_much(&mut a_out), read_much(&mut b_in)).await;
        both(write_much(&mut b_out), read_much(&mut a_in)).await;
        let (mut a, b) = UnixStream::pair().unwrap();
        let (mut a_in, mut a_out) = a.split();
        let (mut b_in, mut b_out) = b.into_split();
        both(write_much(&mut a_out), read_much(&mut b_in)).await;
        both(write_much(&mut b_out), read_much(&mut a_in)).await;
    });
}

#[test]
fn unix_streams_carry_much_both_ways_and_each_end_is_read() {
    run(|| async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        both(write_much(&mut a), read_much(&mut b)).await;
        both(write_much(&mut b), read_much(&mut a)).await;
    });
}

#[test]
fn a_pipe_carries_much_and_ends_with_its_sender() {
    run(|| async {
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        let writing = async {
            write_much(&mut sender).await;
            drop(sender);
        };
        both(writing, read_much(&mut receiver)).await;
    });
}

#[test]
fn any_descriptor_carries_much_both_ways_and_each_end_is_read() {
    run(|| async {
        let (a, b) = pair();
        let mut a = FdIo::new(AsyncFd::from_fd(a).unwrap());
        let mut b = FdIo::new(AsyncFd::from_fd(b).unwrap());
        both(write_much(&mut a), read_much(&mut b)).await;
        both(write_much(&mut b), read_much(&mut a)).await;
    });
}

#[test]
fn a_read_that_is_pending_wakes_its_task() {
    run(|| async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let probe = Probe::new();
        assert!(probe.with(|cx| poll_read(&mut a, cx, 8).is_pending()));
        assert_eq!(probe.wakes(), 0);
        write(&mut b, b"abc").await.unwrap();
        probe.woken().await;
        assert_eq!(read(&mut a, 8).await.unwrap(), b"abc");
    });
}

#[test]
fn a_write_that_is_pending_wakes_its_task() {
    run(|| async {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let probe = Probe::new();
        while probe.with(|cx| poll_write(&mut a, cx, &[7; 4096]).is_ready()) {}
        settle().await;
        assert_eq!(probe.wakes(), 0);
        // The system reports room only after much of the sent data was read.
        while read(&mut b, 1 << 20).await.unwrap().len() == 1 << 20 {}
        probe.woken().await;
        write(&mut a, b"x").await.unwrap();
    });
}

#[test]
fn a_short_tcp_read_clears_and_a_full_one_does_not() {
    run(|| async {
        let (mut a, mut b) = connected().await;
        write(&mut b, b"abcdefgh").await.unwrap();
        settle().await;
        assert_eq!(read(&mut a, 4).await.unwrap(), b"abcd");
        assert_eq!(cached(a.as_async_fd(), READ), Ready::READABLE);
        assert_eq!(read(&mut a, 5).await.unwrap(), b"efgh");
        assert_eq!(cached(a.as_async_fd(), READ), Ready::EMPTY);
        // The rule is the same for a half.
        write(&mut b, b"abc").await.unwrap();
        settle().await;
        let (mut half, _) = a.split();
        assert_eq!(read(&mut half, 8).await.unwrap(), b"abc");
        assert_eq!(cached(a.as_async_fd(), READ), Ready::EMPTY);
    });
}

#[test]
fn tcp_reads_may_end_early_where_the_option_says_so() {
    run(|| async {
        let (a, b) = tcp_pair();
        let mut a = TcpStream::from_std(a).unwrap();
        a.set_short_read_drains(false);
        rustix::net::send(&b, b"abc", SendFlags::empty()).unwrap();
        rustix::net::send(&b, b"!", SendFlags::OOB).unwrap();
        rustix::net::send(&b, b"def", SendFlags::empty()).unwrap();
        settle().await;
        assert_eq!(read(&mut a, 16).await.unwrap(), b"abc", "up to the mark");
        assert_eq!(read(&mut a, 16).await.unwrap(), b"def");
    });
}

#[test]
fn a_unix_read_cut_short_by_a_descriptor_is_not_the_last() {
    run(|| async {
        let (a, b) = pair();
        let mut a = UnixStream::from_std(a).unwrap();
        let mut memory = [MaybeUninit::uninit(); 64];
        let mut carried = SendAncillaryBuffer::new(&mut memory);
        let descriptors = [b.as_fd()];
        assert!(carried.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let message = [IoSlice::new(b"abc")];
        rustix::net::sendmsg(&b, &message, &mut carried, SendFlags::empty()).unwrap();
        rustix::net::send(&b, b"def", SendFlags::empty()).unwrap();
        settle().await;
        assert_eq!(read(&mut a, 16).await.unwrap(), b"abc");
        assert_eq!(read(&mut a, 16).await.unwrap(), b"def");
    });
}

#[test]
fn a_packet_is_not_the_last_one_of_a_pipe() {
    run(|| async {
        let flags = PipeFlags::NONBLOCK | PipeFlags::CLOEXEC | PipeFlags::DIRECT;
        let (receiver, sender) = rustix::pipe::pipe_with(flags).unwrap();
        let mut receiver = pipe::Receiver::from_owned_fd(receiver).unwrap();
        rustix::io::write(&sender, b"abc").unwrap();
        rustix::io::write(&sender, b"def").unwrap();
        settle().await;
        assert_eq!(read(&mut receiver, 16).await.unwrap(), b"abc");
        assert_eq!(read(&mut receiver, 16).await.unwrap(), b"def");
    });
}

#[test]
fn a_short_read_of_any_descriptor_is_not_the_last() {
    run(|| async {
        let (a, b) = pair();
        let mut a = FdIo::new(AsyncFd::from_fd(a).unwrap());
        rustix::net::send(&b, b"abc", SendFlags::empty()).unwrap();
        settle().await;
        assert_eq!(read(&mut a, 16).await.unwrap(), b"abc");
        assert_eq!(cached(a.get_ref(), READ), Ready::READABLE);
        let probe = Probe::new();
        assert!(probe.with(|cx| poll_read(&mut a, cx, 8).is_pending()));
        assert_eq!(cached(a.get_ref(), READ), Ready::EMPTY);
    });
}

#[test]
fn a_short_write_clears_and_a_full_one_does_not() {
    run(|| async {
        let (a, _b) = tcp_pair();
        let mut a = TcpStream::from_std(a).unwrap();
        write(&mut a, b"abc").await.unwrap();
        assert_eq!(cached(a.as_async_fd(), WRITE), Ready::WRITABLE);
        let much = vec![0; 64 << 20];
        assert!(write(&mut a, &much).await.unwrap() < much.len());
        assert_eq!(cached(a.as_async_fd(), WRITE), Ready::EMPTY);
    });
}

#[test]
fn a_vectored_write_takes_all_slices_in_one_call() {
    run(|| async {
        let (mut a, mut b) = connected().await;
        let slices = [
            IoSlice::new(b""),
            IoSlice::new(b"abc"),
            IoSlice::new(b"defg"),
        ];
        assert_eq!(write_vectored(&mut a, &slices).await.unwrap(), 7);
        assert_eq!(read(&mut b, 16).await.unwrap(), b"abcdefg");
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        assert_eq!(write_vectored(&mut sender, &slices).await.unwrap(), 7);
        assert_eq!(read(&mut receiver, 16).await.unwrap(), b"abcdefg");
        let (a, b) = pair();
        let mut a = FdIo::new(AsyncFd::from_fd(a).unwrap());
        assert_eq!(write_vectored(&mut a, &slices).await.unwrap(), 7);
        let mut b = UnixStream::from_std(b).unwrap();
        assert_eq!(read(&mut b, 16).await.unwrap(), b"abcdefg");
    });
}

#[test]
fn flushing_does_not_wait_for_room() {
    run(|| async {
        let (a, _b) = pair();
        fill(&a);
        let mut io = FdIo::new(AsyncFd::from_fd(a.try_clone().unwrap()).unwrap());
        flush(&mut io).await.unwrap();
        drop(io);
        flush(&mut UnixStream::from_std(a).unwrap()).await.unwrap();
    });
}

#[test]
fn ending_to_a_peer_that_is_gone_is_no_error() {
    run(|| async {
        let (mut a, b) = connected().await;
        b.set_zero_linger().unwrap();
        drop(b);
        let error = read(&mut a, 8).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        end(&mut a).await.unwrap();
        // Ending twice is not an error either.
        let (mut a, _b) = connected().await;
        end(&mut a).await.unwrap();
        end(&mut a).await.unwrap();
        let error = write(&mut a, b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn an_owned_half_that_was_ended_and_dropped_leaves_the_other_open() {
    run(|| async {
        let (a, mut b) = connected().await;
        let (mut a_in, mut a_out) = a.into_split();
        end(&mut a_out).await.unwrap();
        assert!(read(&mut b, 8).await.unwrap().is_empty());
        drop(a_out);
        write(&mut b, b"abc").await.unwrap();
        assert_eq!(read(&mut a_in, 8).await.unwrap(), b"abc");
    });
}

#[test]
fn after_shutdown_they_return_the_shutdown_error() {
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let (a, _b) = pair();
    let handle: Handle = reactor.handle().clone();
    let fd = AsyncFd::new_on(&handle, Placement::Hash, a).unwrap();
    let mut stream = {
        let _entered = reactor.enter();
        UnixStream::from_std(pair().0).unwrap()
    };
    drop(reactor);
    let probe = Probe::new();
    let mut io = FdIo::new(fd);
    for result in [
        probe.with(|cx| poll_read(&mut io, cx, 8).map_ok(drop)),
        probe.with(|cx| poll_write(&mut io, cx, b"x").map_ok(drop)),
        probe.with(|cx| poll_read(&mut stream, cx, 8).map_ok(drop)),
        probe.with(|cx| poll_write(&mut stream, cx, b"x").map_ok(drop)),
    ] {
        match result {
            std::task::Poll::Ready(Err(error)) => assert!(reactor::is_shutdown_error(&error)),
            other => panic!("{other:?}"),
        }
    }
}
