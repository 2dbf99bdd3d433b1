//! The I/O, timer and executor traits of other libraries, each family behind a feature.
//!
//! | feature | adds |
//! |---|---|
//! | `bytes` | reading into a `bytes::BufMut`: `try_read_buf`, `recv_buf` and their forms |
//! | `futures-io` | `futures_io::{AsyncRead, AsyncWrite}` for the streams |
//! | `tokio-io` | `tokio::io::{AsyncRead, AsyncWrite}` for the streams; without tokio's runtime |
//! | `hyper` | `hyper::rt::{Read, Write}` for the streams; `ShardTimer` and `ShardExecutor` |
//! | `full` | every feature of this crate |
//!
//! The streams are [`TcpStream`], [`UnixStream`], their halves, and the ends of a [`pipe`]. They
//! implement the traits themselves, so a library takes them as they are. Any other descriptor gets
//! the traits inside an `FdIo`.
//!
//! # Behaviour of the traits
//!
//! Reading and writing call the `poll_` methods of the stream: the same system calls, the same rule
//! for short transfers (see [`net`](crate::net)), the same waker slot in each direction. Bytes are
//! read straight into the caller's memory, which is not filled with zeros first. A vectored write
//! is one system call, and the traits report that. Flushing does nothing, since no bytes are
//! buffered. Shutting down, or closing, ends the writing side, so the peer reads the end of the
//! stream. If the peer is already gone, that is not an error. A pipe ends only when its sender is
//! dropped.
//!
//! The inherent methods of a stream take precedence over methods of the same name in extension
//! traits (`AsyncReadExt` and the like), and do the same. There is one exception: the `split` of
//! the `futures` crate takes the stream by value, so it takes precedence where its trait is in
//! scope. Its halves share a lock; the halves of [`into_split`](TcpStream::into_split) do not.
//!
//! # Executors
//!
//! A stream wakes the waiting task under any executor. A library that spawns or sleeps on tokio's
//! runtime by itself, instead of taking an executor and a timer as hyper does, still needs that
//! runtime.

#[cfg(doc)]
use crate::net::{TcpStream, UnixStream, pipe};

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
mod family;
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
mod fd_io;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(any(feature = "bytes", feature = "tokio-io", feature = "hyper"))]
pub(crate) mod spare;
#[cfg(feature = "tokio-io")]
mod tokio_io;
#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
mod written;

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
#[cfg_attr(
    docsrs,
    doc(cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper")))
)]
pub use fd_io::FdIo;
#[cfg(feature = "hyper")]
pub use hyper::{MobileExecutor, ShardExecutor, ShardTimer};
