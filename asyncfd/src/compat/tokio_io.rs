//! The traits of `tokio::io`, for rustls, h2 and other libraries that use them without tokio's
//! runtime.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::family::{implement_for_all, implement_write};
use super::written::Written;

macro_rules! reads {
    ([$($parameter:ident)?] $type:ty [$($bounds:tt)*] |$this:ident| $object:expr) => {
        #[cfg_attr(docsrs, doc(cfg(feature = "tokio-io")))]
        impl$(<$parameter>)? AsyncRead for $type where $($bounds)* {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let $this = &*self;
                $object.poll_fill(cx, buffer).map_ok(drop)
            }
        }
    };
}

macro_rules! writes {
    ($($of:tt)*) => { implement_write!("tokio-io" AsyncWrite poll_shutdown vectored, $($of)*); };
}

implement_for_all!(reads, writes);
