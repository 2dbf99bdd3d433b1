//! Pipes and FIFOs: bytes, and packets, of which each read returns one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use asyncfd::AsyncFd;
use reactor::Handle;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::common::{cached, run, settle};
use crate::{Folder, READ, WRITE, read_up_to, reads_in_parts};

fn pipe(more: PipeFlags) -> (File, File) {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC | more).unwrap();
    (reader.into(), writer.into())
}

#[test]
fn a_pipe_carries_more_than_it_holds() {
    const MUCH: usize = 4 << 20;
    run(|| async {
        let (reader, writer) = pipe(PipeFlags::empty());
        let reader = AsyncFd::from_fd_with_interest(reader, READ).unwrap();
        let writing = Handle::current().spawn(async move {
            let writer = AsyncFd::from_fd_with_interest(writer, WRITE).unwrap();
            let bytes = vec![7; MUCH];
            let (mut done, mut waits) = (0, 0);
            while done < MUCH {
                done += writer
                    .async_io(WRITE, |mut writer| {
                        waits += 1;
                        writer.write(&bytes[done..])
                    })
                    .await
                    .unwrap();
            }
            assert!(waits > 1, "it never was full");
        });
        let mut buffer = vec![0; 10_000];
        let mut total = 0;
        loop {
            let n = reader
                .async_io(READ, |mut reader| reader.read(&mut buffer))
                .await
                .unwrap();
            if n == 0 {
                break;
            }
            assert!(buffer[..n].iter().all(|&byte| byte == 7));
            total += n;
        }
        assert_eq!(total, MUCH);
        writing.await.unwrap();
    });
}

#[test]
fn a_packet_is_not_the_last_one_of_a_pipe() {
    run(|| async {
        let (reader, mut writer) = pipe(PipeFlags::DIRECT);
        let reader = AsyncFd::from_fd_with_interest(reader, READ).unwrap();
        for packet in [&b"abcde"[..], b"f", b"gh"] {
            writer.write_all(packet).unwrap();
        }
        reads_in_parts(&reader, &[5, 1, 2], |reader| read_up_to(reader, 64)).await;
    });
}

#[test]
fn a_short_write_into_a_pipe_leaves_readiness_until_eagain() {
    run(|| async {
        let (mut reader, writer) = pipe(PipeFlags::empty());
        let writer = AsyncFd::from_fd_with_interest(writer, WRITE).unwrap();
        let bytes = vec![7; 1 << 20];
        let n = writer
            .async_io(WRITE, |mut writer| writer.write(&bytes))
            .await
            .unwrap();
        assert!(n < bytes.len());
        assert!(cached(&writer, WRITE).is_writable());
        writer
            .try_io(WRITE, |mut writer| writer.write(&bytes))
            .unwrap_err();
        assert!(cached(&writer, WRITE).is_empty());
        reader.read_exact(&mut vec![0; n]).unwrap();
        let waited = reactor::time::timeout(crate::SOON, writer.writable()).await;
        waited
            .expect("there is room and nobody was told")
            .unwrap()
            .retain_ready();
    });
}

fn open(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(
        path,
        flags | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap()
}

#[test]
fn a_fifo_serves_one_writer_after_another() {
    run(|| async {
        let folder = Folder::new("fifo");
        let path = folder.0.join("fifo");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        let reader = open(&path, OFlags::RDONLY);
        let number = reader.as_raw_fd();
        let reader = AsyncFd::from_fd_with_interest(reader, READ).unwrap();
        for round in 0..3 {
            let writer = open(&path, OFlags::WRONLY);
            if round > 0 {
                // The end of the stream from the last writer is no longer true.
                assert_eq!(reader.as_raw_fd(), number);
                reader.clear_closed().unwrap();
            }
            // Any writer can switch a FIFO to packet mode without its reader's knowledge.
            let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
            rustix::fs::fcntl_setfl(&writer, flags | OFlags::DIRECT).unwrap();
            for packet in [&b"abcde"[..], b"f", b"gh"] {
                rustix::io::write(&writer, packet).unwrap();
            }
            reads_in_parts(&reader, &[5, 1, 2], |reader| read_up_to(reader, 64)).await;
            drop(writer);
            settle().await;
            assert!(reader.readable().await.unwrap().ready().is_read_closed());
            assert_eq!(reader.try_io(READ, |r| read_up_to(r, 64)).unwrap(), 0);
        }
    });
}
