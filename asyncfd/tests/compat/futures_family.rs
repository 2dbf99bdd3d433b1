//! The traits of `futures_io`, which alone have vectored reads.

use std::future::poll_fn;
use std::io::IoSliceMut;
use std::pin::Pin;

use asyncfd::AsyncFd;
use asyncfd::compat::FdIo;
use asyncfd::net::UnixStream;
use futures_io::AsyncRead;

use crate::common::run;
use crate::common::support::pair;

#[path = "every_family.rs"]
mod every_family;

crate::families::family! {
    futures_io::AsyncRead, futures_io::AsyncWrite,
    read: |stream, cx, room| {
        let mut memory = vec![0; room];
        stream.poll_read(cx, &mut memory).map_ok(|n| {
            memory.truncate(n);
            memory
        })
    },
    end: FamilyWrite::poll_close
}

async fn a_vectored_read_fills_both(stream: &mut (impl AsyncRead + Unpin)) {
    let (mut one, mut other) = ([0; 3], [0; 8]);
    let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
    let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read_vectored(cx, &mut buffers));
    assert_eq!(read.await.unwrap(), 7);
    assert_eq!((&one, &other[..4]), (b"abc", &b"defg"[..]));
}

#[test]
fn a_vectored_read_fills_all_buffers_in_one_call() {
    run(|| async {
        let (mut a, b) = UnixStream::pair().unwrap();
        b.write_all(b"abcdefg").await.unwrap();
        a_vectored_read_fills_both(&mut a).await;
        let (a, b) = pair();
        let mut a = FdIo::new(AsyncFd::from_fd(a).unwrap());
        std::io::Write::write_all(&mut &b, b"abcdefg").unwrap();
        a_vectored_read_fills_both(&mut a).await;
    });
}
