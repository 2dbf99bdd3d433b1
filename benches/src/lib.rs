//! What the baseline echo servers share, so that they differ in nothing but how they wait for I/O.
//!
//! | program | how it waits |
//! |---|---|
//! | `baseline-epoll` | one bare epoll loop per thread, a listener each |
//! | `baseline-tokio-ct` | one current-thread tokio runtime per thread, a listener each, `TcpStream` |
//! | `baseline-tokio-mt` | one multi-thread tokio runtime, one listener, `TcpStream` |
//! | `baseline-tokio-asyncfd` | as `tokio-ct`, with `AsyncFd` and the textbook guard loop |
//!
//! Held equal, among them and to `server-demo`:
//! - one listener with `SO_REUSEPORT` per thread (the multi-thread runtime has one in all, since its
//!   workers steal tasks from each other), the same backlog, `TCP_NODELAY` on every connection;
//! - no buffer per idle connection: a thread reads into one scratch buffer and writes out of it.
//!   Only what the socket would not take is copied to a buffer of the connection's own. tokio's
//!   `read().await` holds its buffer while it waits, so the tokio servers use `poll_read` and
//!   `try_write`, which do not; `--io textbook` has the usual form with a buffer each;
//! - at most [`EVENTS_MAX`] events per look at the OS, which is tokio's default too;
//! - threads pinned by the same rule (`--pin`);
//! - a start in the same order, one `listening on ADDR` line, an end on SIGTERM, SIGINT or, where
//!   asked for, the end of standard input.
//!
//! None of them uses the project's own libraries; `wakes` does, which runs both sides in one process. The programs' smoke test is `tests/baselines.rs`.
#![forbid(unsafe_code)]

pub mod args;
pub mod callgrind;
pub mod end;
pub mod listen;
pub mod pin;
pub mod scratch;
pub mod sockets;
pub mod threads;
pub mod tokio_echo;

/// Events fetched from the OS in one call, at most.
pub const EVENTS_MAX: usize = 1024;
