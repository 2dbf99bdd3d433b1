//! Pipes and FIFOs.
#![allow(
    unused_mut,
    reason = "tokio's ends are written to and read from by &mut"
)]

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::fd::OwnedFd;

use super::side::*;
use crate::common::both;
use crate::common::support::Fifo;

fn would_block<R: std::fmt::Debug>(result: io::Result<R>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn bytes_go_through_and_then_the_end() {
    run(|| async {
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        sender.write_all(b"hello").await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        would_block(receiver.try_read(&mut buffer));
        sender.write_all(b"rest").await.unwrap();
        drop(sender);
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 4);
        for _ in 0..2 {
            assert_eq!(receiver.read(&mut buffer).await.unwrap(), 0);
        }
    });
}

#[test]
fn a_sender_learns_that_nobody_reads_any_more() {
    run(|| async {
        let (mut sender, receiver) = pipe::pipe().unwrap();
        drop(receiver);
        assert!(
            sender
                .ready(Interest::WRITABLE)
                .await
                .unwrap()
                .is_writable()
        );
        let error = sender.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_forms_that_do_not_wait_say_would_block() {
    run(|| async {
        let (sender, receiver) = pipe::pipe().unwrap();
        let mut buffer = [0; 4];
        would_block(receiver.try_read(&mut buffer));
        sender.writable().await.unwrap();
        let slices = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        assert_eq!(sender.try_write_vectored(&slices).unwrap(), 6);
        receiver.readable().await.unwrap();
        let mut x = [0; 2];
        let mut buffers = [IoSliceMut::new(&mut x), IoSliceMut::new(&mut buffer)];
        assert_eq!(receiver.try_read_vectored(&mut buffers).unwrap(), 6);
        assert_eq!((&x, &buffer), (b"on", b"etwo"));
        would_block(receiver.try_read_vectored(&mut [IoSliceMut::new(&mut buffer)]));
        while sender.try_write(&[7; 4096]).is_ok() {}
        would_block(sender.try_write(b"x"));
    });
}

#[test]
fn a_full_pipe_makes_the_sender_wait_for_the_receiver() {
    run(|| async {
        let (mut sender, mut receiver) = pipe::pipe().unwrap();
        let sent: Vec<u8> = (0..1_u32 << 20)
            .map(|i| i.wrapping_mul(0x9e37_79b9).to_be_bytes()[0])
            .collect();
        let mut received = Vec::new();
        let send = async {
            sender.write_all(&sent).await.unwrap();
            drop(sender);
        };
        let receive = async {
            let mut chunk = [0; 5000];
            loop {
                match receiver.read(&mut chunk).await.unwrap() {
                    0 => return,
                    n => received.extend_from_slice(&chunk[..n]),
                }
            }
        };
        both(send, receive).await;
        assert!(received == sent, "what arrived is not what was sent");
    });
}

#[test]
fn a_fifo_has_a_name() {
    run(|| async {
        let fifo = Fifo::new();
        let error = pipe::OpenOptions::new()
            .open_sender(fifo.path())
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO), "nobody reads");
        let mut receiver = pipe::OpenOptions::new().open_receiver(fifo.path()).unwrap();
        let mut sender = pipe::OpenOptions::new().open_sender(fifo.path()).unwrap();
        sender.write_all(b"abc").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 3);
        drop(sender);
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn a_fifo_open_both_ways_has_no_end() {
    run(|| async {
        let fifo = Fifo::new();
        let mut options = pipe::OpenOptions::new();
        options.read_write(true);
        // A sender that opens before any receiver.
        let mut early = options.open_sender(fifo.path()).unwrap();
        early.write_all(b"abc").await.unwrap();
        let mut receiver = options.unchecked(true).open_receiver(fifo.path()).unwrap();
        drop(early);
        let mut buffer = [0; 8];
        assert_eq!(receiver.read(&mut buffer).await.unwrap(), 3);
        would_block(receiver.try_read(&mut buffer));
    });
}

#[test]
fn what_is_not_fit_is_refused() {
    run(|| async {
        let refused = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let file = || File::open("/proc/self/exe").unwrap();
        refused(pipe::Receiver::from_file(file()).unwrap_err());
        refused(pipe::Sender::from_file(file()).unwrap_err());
        let options = pipe::OpenOptions::new();
        refused(options.open_receiver("/proc/self/exe").unwrap_err());

        let (reader, writer) = rustix::pipe::pipe().unwrap();
        refused(pipe::Sender::from_owned_fd(reader).unwrap_err());
        refused(pipe::Receiver::from_owned_fd(writer).unwrap_err());
    });
}

#[test]
fn ends_come_from_elsewhere_and_go_back() {
    run(|| async {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut sender = pipe::Sender::from_file(writer.into()).unwrap();
        let receiver = pipe::Receiver::from_owned_fd(reader).unwrap();
        let nonblocking = |fd: &OwnedFd| {
            let flags = rustix::fs::fcntl_getfl(fd).unwrap();
            flags.contains(rustix::fs::OFlags::NONBLOCK)
        };
        let reader = receiver.into_nonblocking_fd().unwrap();
        assert!(nonblocking(&reader));
        let receiver = pipe::Receiver::from_owned_fd_unchecked(reader).unwrap();
        let reader = receiver.into_blocking_fd().unwrap();
        assert!(!nonblocking(&reader));
        sender.write_all(b"abc").await.unwrap();
        drop(sender.into_nonblocking_fd().unwrap());
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    });
}
