//! The reading and writing traits of other libraries for a stream with timeouts, where the stream
//! inside has them.

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
use std::io;
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
use std::os::fd::AsFd;
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
use std::pin::Pin;
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
use std::task::{Context, Poll};

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
use super::TimedStream;

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
macro_rules! reads {
    ($feature:literal, $trait:path, $buffer:ty, $read:ty) => {
        #[cfg(feature = $feature)]
        #[cfg_attr(docsrs, doc(cfg(feature = $feature)))]
        impl<S: $trait + AsFd + Unpin> $trait for TimedStream<S> {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: $buffer,
            ) -> Poll<io::Result<$read>> {
                let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
                self.has_read(cx, read)
            }
        }
    };
}

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
macro_rules! writes {
    ($feature:literal, $trait:path, $end:ident $(, $vectored:ident)?) => {
        #[cfg(feature = $feature)]
        #[cfg_attr(docsrs, doc(cfg(feature = $feature)))]
        impl<S: $trait + Unpin> $trait for TimedStream<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
                self.wrote(cx, wrote)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
                self.wrote(cx, wrote)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                // A flush with nothing to send moves no byte.
                match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Pending => self.wrote(cx, Poll::Pending),
                    flushed => flushed,
                }
            }

            fn $end(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let ended = Pin::new(&mut self.stream).$end(cx);
                self.wrote(cx, ended)
            }

            $(fn $vectored(&self) -> bool {
                self.stream.$vectored()
            })?
        }
    };
}

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
reads!("hyper", hyper::rt::Read, hyper::rt::ReadBufCursor<'_>, ());
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
writes!("hyper", hyper::rt::Write, poll_shutdown, is_write_vectored);
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
reads!(
    "tokio-io",
    tokio::io::AsyncRead,
    &mut tokio::io::ReadBuf<'_>,
    ()
);
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
writes!(
    "tokio-io",
    tokio::io::AsyncWrite,
    poll_shutdown,
    is_write_vectored
);
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
reads!("futures-io", futures_io::AsyncRead, &mut [u8], usize);
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
writes!("futures-io", futures_io::AsyncWrite, poll_close);
