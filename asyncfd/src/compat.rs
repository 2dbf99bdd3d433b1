//! The traits by which other libraries read, write, sleep and spawn, each family behind a feature.
//!
//! | feature | what it adds |
//! |---|---|
//! | `futures-io` | `futures_io::{AsyncRead, AsyncWrite}` for the streams |
//! | `tokio-io` | `tokio::io::{AsyncRead, AsyncWrite}` for the streams; nothing of tokio's runtime comes along |
//! | `hyper` | `hyper::rt::{Read, Write}` for the streams; `ShardTimer` and `ShardExecutor` |
//! | `full` | all of these |
//!
//! The streams are [`TcpStream`], [`UnixStream`], their halves, and the ends of a [`pipe`]. They
//! have the traits themselves, so a library takes them as they are. Any other descriptor gets them
//! in an `FdIo`.
//!
//! # What the traits do
//!
//! Reading and writing are the `poll_` methods of the stream under another name: the same system
//! calls, the same rule by which a short transfer counts as the last one (see [`net`](crate::net)),
//! the same slot for a waker in each direction. What is read goes straight into the caller's memory,
//! which is not filled with zeros first. Vectored writes are one system call, and the traits say so.
//! Flushing does nothing, since nothing is kept back. Shutting down, or closing, ends the
//! writing side, so that the peer reads the end; where the peer is gone already that is no error.
//! A pipe's end comes when its sender is dropped, and not before.
//!
//! The inherent methods of a stream come before those of the same name in extension traits
//! (`AsyncReadExt` and the like), and mean the same. There are two exceptions.
//! [`shutdown`](TcpStream::shutdown) asks for a direction: the trait's is
//! `AsyncWriteExt::shutdown(&mut stream)`. And the `split` of the `futures` crate takes the stream
//! by value, so it comes first where its trait is in scope: its halves share a lock, those of
//! [`into_split`](TcpStream::into_split) do not.
//!
//! # Executors
//!
//! A stream wakes the task that waits, wherever that runs. But a library that spawns or sleeps on
//! tokio's runtime by itself, rather than take an executor and a timer as hyper does, needs that
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
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
mod spare;
#[cfg(feature = "tokio-io")]
mod tokio_io;

#[cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper"))]
#[cfg_attr(
    docsrs,
    doc(cfg(any(feature = "futures-io", feature = "tokio-io", feature = "hyper")))
)]
pub use fd_io::FdIo;
#[cfg(feature = "hyper")]
pub use hyper::{ShardExecutor, ShardTimer};
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
pub(crate) use spare::Spare;
