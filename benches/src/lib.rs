//! The common part of the baseline echo servers, so that they differ only in the way they wait for
//! I/O.
//!
//! | program | waits with |
//! |---|---|
//! | `baseline-epoll` | one bare epoll loop per thread, a listener each |
//! | `baseline-tokio-ct` | one current-thread tokio runtime per thread, a listener each, `TcpStream` |
//! | `baseline-tokio-mt` | one multi-thread tokio runtime, one listener, `TcpStream` |
//! | `baseline-tokio-asyncfd` | as `tokio-ct`, with `AsyncFd` and the textbook guard loop |
//!
//! The following is the same for all of them and for `server-demo`:
//! - one listener with `SO_REUSEPORT` per thread (the multi-thread runtime has one in total, since
//!   its workers steal tasks from each other), the same backlog, `TCP_NODELAY` on every connection;
//! - no buffer per idle connection: a thread reads into one scratch buffer and writes from it. Only
//!   bytes that the socket does not take are copied to the connection's own buffer. tokio's
//!   `read().await` holds its buffer while it waits, so the tokio servers use `poll_read` and
//!   `try_write`, which do not. `--io textbook` has the usual form with a buffer each;
//! - at most [`EVENTS_MAX`] events per `epoll_wait`, which is also tokio's default;
//! - threads pinned by the same rule (`--pin`);
//! - the same order at start, one `listening on ADDR` line, an end on SIGTERM, SIGINT or, with a
//!   flag, the end of standard input.
//!
//! None of them serves with the project's own libraries. They share small tools with `server-demo`:
//! the parser of `--pin`, the descriptor limit, the scratch buffer, the time that `work` spends.
//! `wakes` runs both sides in one process. [`summary`] and [`scenario`] are the content of
//! `bench.json`, for the program that writes it and for the one that reads it. The programs' smoke
//! test is `tests/baselines.rs`.
#![forbid(unsafe_code)]

pub mod args;
pub mod callgrind;
pub mod end;
pub mod listen;
pub mod pin;
pub mod scenario;
pub mod sockets;
pub mod summary;
pub mod threads;
pub mod tokio_echo;
mod tokio_work;

/// The most events that one system call fetches.
pub const EVENTS_MAX: usize = 1024;
