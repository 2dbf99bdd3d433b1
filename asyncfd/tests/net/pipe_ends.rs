//! Transfers that prove a pipe drained, like `draining.rs` for streams, and differences from
//! tokio's pipe ends.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;

use asyncfd::net::pipe::{self, Receiver, Sender};
use asyncfd::{Interest, Ready};
use rustix::pipe::PipeFlags;

use crate::common::support::{Fifo, Probe};
use crate::common::{cached, run, run_on_shard, settle};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// The number of ways to read.
const FORMS: usize = 6;

#[test]
fn a_packet_is_not_the_last() {
    run(|| async {
        let flags = PipeFlags::DIRECT | PipeFlags::NONBLOCK;
        let (reader, writer) = rustix::pipe::pipe_with(flags).unwrap();
        let receiver = Receiver::from_owned_fd(reader).unwrap();
        for _ in 0..FORMS {
            assert_eq!(rustix::io::write(&writer, b"abc").unwrap(), 3);
        }
        // The events are published first, so that none comes in between and hides a wrong clear.
        settle().await;
        let mut buffer = [0; 64];
        for form in 0..FORMS {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let n = match form {
                0 => receiver.try_read_vectored(&mut slices),
                1 => receiver.read_vectored(&mut slices).await,
                2 => poll_fn(|cx| receiver.poll_read_vectored(cx, &mut slices)).await,
                3 => receiver.try_read(&mut buffer),
                4 => receiver.read(&mut buffer).await,
                _ => poll_fn(|cx| receiver.poll_read(cx, &mut buffer)).await,
            };
            assert_eq!(n.unwrap(), 3, "form {form}");
        }
        assert_eq!(cached(receiver.as_async_fd(), READ), Ready::READABLE);
        let error = receiver.try_read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(cached(receiver.as_async_fd(), READ), Ready::EMPTY);
    });
}

#[test]
fn a_short_write_clears_and_a_full_one_does_not() {
    run(|| async {
        let much = vec![1; 1 << 20];
        for form in 0..6 {
            let (sender, receiver) = pipe::pipe().unwrap();
            sender.writable().await.unwrap();
            settle().await;
            // A complete write, so there is room for more.
            assert_eq!(sender.try_write(b"abc").unwrap(), 3);
            let slices = [IoSlice::new(&much)];
            let n = match form {
                0 => sender.write(&much).await,
                1 => sender.try_write(&much),
                2 => sender.write_vectored(&slices).await,
                3 => sender.try_write_vectored(&slices),
                4 => poll_fn(|cx| sender.poll_write(cx, &much)).await,
                _ => poll_fn(|cx| sender.poll_write_vectored(cx, &slices)).await,
            };
            assert!(n.unwrap() < much.len());
            assert_eq!(cached(sender.as_async_fd(), WRITE), Ready::EMPTY);
            // Room makes it writable again.
            let mut buffer = vec![0; much.len()];
            assert!(receiver.read(&mut buffer).await.unwrap() > 0);
            sender.writable().await.unwrap();
            assert_eq!(sender.try_write(b"abc").unwrap(), 3);
        }
    });
}

#[test]
fn a_vectored_write_goes_by_what_the_kernel_was_given() {
    run(|| async {
        let bytes = [5; 1030];
        let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let (sender, _receiver) = pipe::pipe().unwrap();
        settle().await;
        // Fewer bytes than the slices hold, although there is room: no new edge would come.
        assert_eq!(sender.write_vectored(&slices).await.unwrap(), 1024);
        assert_eq!(sender.try_write_vectored(&slices).unwrap(), 1024);
        assert_eq!(sender.write(b"x").await.unwrap(), 1);
    });
}

#[test]
fn a_pipe_that_was_just_made_has_room() {
    run_on_shard(|| async {
        // No turn of the shard's loop comes in between.
        let (sender, receiver) = pipe::pipe().unwrap();
        assert_eq!(sender.try_write(b"abc").unwrap(), 3);
        assert_eq!(receiver.read(&mut [0; 8]).await.unwrap(), 3);
        let flags = rustix::io::fcntl_getfd(&sender).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    });
}

#[test]
fn a_fifos_reader_outlives_its_writers() {
    run(|| async {
        let fifo = Fifo::new();
        let receiver = pipe::OpenOptions::new().open_receiver(fifo.path()).unwrap();
        let mut buffer = [0; 8];
        for _ in 0..3 {
            // Before the first writer, and between two writers, it waits without spinning. A spin
            // would be a wake by itself.
            let probe = Probe::new();
            if let std::task::Poll::Ready(end) =
                probe.with(|cx| receiver.poll_read(cx, &mut buffer))
            {
                assert_eq!(end.unwrap(), 0, "nobody has written");
            }
            let sender: Sender = pipe::OpenOptions::new().open_sender(fifo.path()).unwrap();
            sender.write_all(b"abc").await.unwrap();
            loop {
                match receiver.read(&mut buffer).await.unwrap() {
                    // The end of the stream from the writer before.
                    0 => {}
                    n => break assert_eq!(n, 3),
                }
            }
            let probe = Probe::new();
            assert!(probe.with(|cx| receiver.poll_read(cx, &mut buffer).is_pending()));
            drop(sender);
            probe.woken().await;
            assert_eq!(receiver.read(&mut buffer).await.unwrap(), 0);
        }
        assert!(format!("{receiver:?}").contains(&receiver.as_raw_fd().to_string()));
    });
}
