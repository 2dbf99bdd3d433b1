//! The traits of `futures_io`, for smol, async-std's family and libraries that take either.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::futures_io::{AsyncRead, AsyncWrite};

use super::family::{implement_for_all, implement_write};
use super::written::Written;

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
    ($($of:tt)*) => { implement_write!("futures-io" AsyncWrite poll_close, $($of)*); };
}

implement_for_all!(reads, writes);
