//! The traits of `futures_io`, for smol, async-std's family and libraries that take either.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::futures_io::{AsyncRead, AsyncWrite};

use super::family::{Written, implement_for_all};

macro_rules! reads {
    ([$($parameter:ident)?] $type:ty [$($bounds:tt)*] |$this:ident| $object:expr) => {
        #[cfg_attr(docsrs, doc(cfg(feature = "futures-io")))]
        impl$(<$parameter>)? AsyncRead for $type where $($bounds)* {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_read(cx, buffer)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_read_vectored(cx, buffers)
            }
        }
    };
}

macro_rules! writes {
    ([$($parameter:ident)?] $type:ty [$($bounds:tt)*] |$this:ident| $object:expr) => {
        #[cfg_attr(docsrs, doc(cfg(feature = "futures-io")))]
        impl$(<$parameter>)? AsyncWrite for $type where $($bounds)* {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_write_vectored(cx, slices)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                Written::poll_flush($object, cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                $object.poll_end(cx)
            }
        }
    };
}

implement_for_all!(reads, writes);
