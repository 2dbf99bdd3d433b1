//! `AsyncFd`: waiting for any file descriptor, on a sharded reactor.
//!
//! An [`AsyncFd`] ties an object with a descriptor to a shard of a [`reactor::Reactor`], and tasks
//! wait for it to be readable or writable: on that shard, on another one, or under any executor at
//! all. It has the API and the meaning of tokio's type of the same name.
//!
//! # How to use it
//!
//! Make one with [`AsyncFd::from_fd`], and run operations through [`AsyncFd::async_io`]. It waits,
//! calls the operation, and forgets the readiness exactly when the operation would have blocked,
//! which is the one thing that is easy to get wrong by hand:
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
//!         let n = stream.async_io(Interest::READABLE, |mut stream| stream.read(&mut buffer)).await?;
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
//! - For sockets, the types in [`net`] do the same for one system call less per message.
//! - [`AsyncFd::readable`] and [`AsyncFd::writable`] return a guard, for code that decides itself
//!   when readiness is over:
//!   [`AsyncFdReadyGuard`].
//! - [`AsyncFd::poll_read_ready`] and [`AsyncFd::poll_write_ready`] serve code that implements
//!   `poll` by hand.
//! - For libraries that ask for the traits of futures-io, tokio or hyper, see [`compat`].
//!
//! Coming from another library, see [`guide::migration`]; for fork, files, level-triggered and
//! one-shot use, [`guide::descriptors`].
//!
//! # What differs from tokio
//!
//! | where | tokio 1.54 | here |
//! |---|---|---|
//! | the runtime | tokio's | [`reactor`]'s; the waits run under any executor |
//! | `new`, `with_interest`, `try_new`, `try_with_interest` | deprecated as unsound | sound (see below), not deprecated |
//! | [`from_fd`](AsyncFd::from_fd), [`from_fd_with_interest`](AsyncFd::from_fd_with_interest) | | additions, and the recommended constructors |
//! | [`new_on`](AsyncFd::new_on), [`shard`](AsyncFd::shard), [`set_interest`](AsyncFd::set_interest), [`closed`](AsyncFd::closed), [`clear_closed`](AsyncFd::clear_closed) | | additions |
//! | `AsFd for AsyncFd<T>` | for every `T` | where `T: AsFd`, and asks `T` |
//! | the descriptor's number | asked of `T` again and again | read once, at creation; `as_raw_fd` returns that |
//! | a registration whose descriptor was closed behind its back | its drop can deafen another one with the same number | touches no other |
//! | `async_io` for READABLE and WRITABLE together | may sleep for ever | an error of kind `InvalidInput` |
//! | `try_io` after shutdown | goes by what is cached | the shutdown error |
//! | the shutdown error | recognised by its text | recognised by [`reactor::is_shutdown_error`] |
//! | ticks | one of 8 bits for both directions | one of 19 bits for each direction |
//! | an error without a hang-up | the write side shows closed | ERROR, and both directions ready; closed for the writer of a pipe only |
//! | closed bits | stay for good | stay through `clear_ready`; an EAGAIN of the system has them checked, `clear_closed` drops them |
//! | the task's budget | `poll_*_ready` and `async_io` | all async waits too, on a shard |
//! | `UnwindSafe`, `RefUnwindSafe` | depends on its features | where `T` is |
//! | [`TryIoError`] | `Debug` | and `Error`, `Display` |
//! | guards in `Debug` | the object | and what is ready |
//! | [`Ready`] in `Debug` | a field for each state | the names of the states it holds, as [`Interest`] |
//! | a blocking descriptor | no word | debug builds warn once on standard error |
//!
//! # Why the safe constructors are sound
//!
//! [`AsRawFd`](std::os::fd::AsRawFd) promises nothing about the life of a descriptor, so nothing
//! here relies on it. The number is read once. What the system hands back with an event is a slot
//! and its generation, never an address. Nothing is closed by the `AsyncFd` itself. And the reactor
//! knows who owns a number, so that ending a registration cannot hit a descriptor that got the
//! number since. An object that lies about its descriptor loses its own notifications, no more.
//!
//! # Features
//!
//! All off by default; each only adds. [`compat`] has the details.
//!
//! | feature | what it adds |
//! |---|---|
//! | `futures-io` | the traits of `futures_io` on the streams of [`net`] |
//! | `tokio-io` | the traits of `tokio::io` on them, without tokio's runtime |
//! | `hyper` | the traits of `hyper::rt` on them, and a timer and an executor for hyper |
//! | `full` | all of these |
//!
//! # Platform notes
//!
//! Unix. `Interest::PRIORITY` and the warning about blocking descriptors from bare numbers need
//! Linux.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod async_fd;
pub mod compat;
mod error;
mod guard;
pub mod guide;
mod io;
pub mod net;
mod nonblocking;

pub use async_fd::AsyncFd;
pub use error::{AsyncFdRegisterError, AsyncFdTryNewError, TryIoError};
pub use guard::{AsyncFdReadyGuard, AsyncFdReadyMutGuard};
pub use reactor::{Interest, Ready};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
