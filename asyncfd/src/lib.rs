//! `AsyncFd`: waiting for any file descriptor, on a sharded reactor.
//!
//! An [`AsyncFd`] ties an object with a descriptor to a shard of a [`reactor::Reactor`]. Tasks wait
//! for it to become readable or writable: on that shard, on another one, or under any other
//! executor. It has the API and the semantics of tokio's type of the same name.
//!
//! # Usage
//!
//! Create one with [`AsyncFd::from_fd`], and run operations through [`AsyncFd::async_io`]. It
//! waits, calls the operation, and clears the readiness exactly when the operation would have
//! blocked. Code that does this by hand easily gets that wrong.
//!
//! ```
//! use std::io::{self, Read, Write};
//! use std::os::unix::net::UnixStream;
//!
//! use asyncfd::{AsyncFd, Interest};
//!
//! async fn echo(stream: UnixStream) -> io::Result<()> {
//!     stream.set_nonblocking(true)?;
//!     let stream = AsyncFd::from_fd(stream)?;
//!     let mut buffer = [0; 4096];
//!     loop {
//!         let n = stream
//!             .async_io(Interest::READABLE, |mut stream| stream.read(&mut buffer))
//!             .await?;
//!         if n == 0 {
//!             return Ok(());
//!         }
//!         let mut rest = &buffer[..n];
//!         while !rest.is_empty() {
//!             let n = stream.async_io(Interest::WRITABLE, |mut stream| stream.write(rest)).await?;
//!             rest = &rest[n..];
//!         }
//!     }
//! }
//!
//! # fn main() -> io::Result<()> {
//! let reactor = reactor::Reactor::builder().shards(1).build()?;
//! let (ours, mut theirs) = UnixStream::pair()?;
//! let task = reactor.handle().spawn(echo(ours));
//! theirs.write_all(b"hello")?;
//! let mut answer = [0; 5];
//! theirs.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"hello");
//! drop(theirs);
//! reactor.block_on(task).expect("the task was not aborted")?;
//! # Ok(()) }
//! ```
//!
//! - For sockets, the types in [`net`] do the same with one system call less per message.
//! - [`AsyncFd::readable`] and [`AsyncFd::writable`] return a guard ([`AsyncFdReadyGuard`]), for
//!   code that decides itself when to clear readiness.
//! - [`AsyncFd::poll_read_ready`] and [`AsyncFd::poll_write_ready`] serve code that implements
//!   `poll` by hand.
//! - For a server, [`serve`] listens on every shard, accepts, limits and drains.
//! - For libraries that need the traits of futures-io, tokio or hyper, see [`compat`].
//!
//! If you come from another library, see [`guide::migration`]. For fork, files, level-triggered and
//! one-shot use, see [`guide::descriptors`].
//!
//! # Differences from tokio
//!
//! | where | tokio 1.54 | here |
//! |---|---|---|
//! | the runtime | tokio's | [`reactor`]'s; the waits run under any executor |
//! | `new`, `with_interest`, `try_new`, `try_with_interest` | deprecated as unsound | sound (see below), not deprecated |
//! | [`from_fd`](AsyncFd::from_fd), [`from_fd_with_interest`](AsyncFd::from_fd_with_interest) | | additions, and the recommended constructors |
//! | [`new_on`](AsyncFd::new_on), [`shard`](AsyncFd::shard), [`set_interest`](AsyncFd::set_interest), [`closed`](AsyncFd::closed), [`clear_closed`](AsyncFd::clear_closed) | | additions |
//! | `AsFd for AsyncFd<T>` | for every `T` | where `T: AsFd`; it calls `T`'s `as_fd` |
//! | the descriptor's number | read from `T` at each use | read once, at creation; `as_raw_fd` returns that number |
//! | a registration whose descriptor was closed behind its back | its drop can remove the registration of a new owner of the number | affects no other registration |
//! | `async_io` for READABLE and WRITABLE together | may sleep for ever | an error of kind `InvalidInput` |
//! | `try_io` after shutdown | uses the cached readiness | the shutdown error |
//! | the shutdown error | recognised by its text | recognised by [`reactor::is_shutdown_error`] |
//! | ticks | 8 bits for both directions | 19 bits for each direction |
//! | an error without a hang-up | shows the write side as closed | ERROR, and both directions ready; closed only for the writer of a pipe |
//! | closed bits | stay for good | stay through `clear_ready`; an EAGAIN from the kernel makes the reactor check them, `clear_closed` drops them |
//! | the task's budget | `poll_*_ready` and `async_io` | all async waits too, on a shard |
//! | `UnwindSafe`, `RefUnwindSafe` | depends on tokio's features | where `T` is |
//! | [`TryIoError`] | `Debug` | also `Error`, `Display` |
//! | guards in `Debug` | the object | also the readiness |
//! | [`Ready`] in `Debug` | a field for each state | the names of the states it holds, like [`Interest`] |
//! | a blocking descriptor | no warning | debug builds warn once on standard error |
//!
//! # Why the safe constructors are sound
//!
//! [`AsRawFd`](std::os::fd::AsRawFd) promises nothing about the life of a descriptor, so nothing
//! here relies on it. The number is read once. The data that the kernel returns with an event is a
//! slot and its generation, never an address. The `AsyncFd` itself closes nothing. The reactor
//! tracks the owner of each number, so ending a registration cannot affect a descriptor that
//! received the number later. An object that lies about its descriptor only loses its own
//! notifications.
//!
//! # Features
//!
//! All are off by default, and each only adds API. [`compat`] has the details.
//!
//! | feature | adds |
//! |---|---|
//! | `bytes` | reading into a `bytes::BufMut`: `try_read_buf`, `recv_buf` and their forms |
//! | `futures-io` | the traits of `futures_io` on the streams of [`net`] |
//! | `tokio-io` | the traits of `tokio::io` on them, without tokio's runtime |
//! | `hyper` | the traits of `hyper::rt` on them, and a timer and an executor for hyper |
//! | `http` | HTTP/1 and HTTP/2 for [`serve`], with hyper: `serve::http` |
//! | `tls` | TLS for `serve::http`, with rustls |
//! | `observe` | an endpoint with metrics, shards and tasks: `observe` |
//! | `client` | a connector for hyper-util's pooled HTTP client: `client` |
//! | `signal` | signals as events: `signal` |
//! | `tracing` | spans of tasks, and events for stalls, steals, moves, accept errors and shutdown |
//! | `tokio-rt` | shards in the context of a tokio runtime, for libraries that need one: `tokio_rt` |
//! | `full` | all of these |
//!
//! # Platform notes
//!
//! All tests run on 64-bit Linux on x86-64. For FreeBSD and macOS, and for Linux on ARM, this crate
//! and its tests are only compiled. `Interest::PRIORITY` and the warning about blocking descriptors
//! from bare numbers need Linux.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod async_fd;
#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
pub mod compat;
mod drain;
mod error;
mod guard;
pub mod guide;
pub mod io;
mod lock;
pub mod net;
mod nonblocking;
#[cfg(feature = "observe")]
#[cfg_attr(docsrs, doc(cfg(feature = "observe")))]
pub mod observe;
mod raw;
pub mod serve;
#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub mod signal;
#[cfg(feature = "tokio-rt")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio-rt")))]
pub mod tokio_rt;

pub use async_fd::AsyncFd;
pub use error::{AsyncFdRegisterError, AsyncFdTryNewError, TryIoError};
pub use guard::{AsyncFdReadyGuard, AsyncFdReadyMutGuard};
pub use reactor::{Handle, Interest, Placement, Ready, ShardId, is_shutdown_error};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
