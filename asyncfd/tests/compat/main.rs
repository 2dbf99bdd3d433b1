//! The traits of other libraries, on the streams and on `FdIo`.
//!
//! `every_family.rs` is written once, against a module `side` that says how a family reads, writes and ends,
//! and is compiled once for each family. What only one family has is tested in its own file.
//! Run with `--features full`.
#![cfg(target_os = "linux")]
#![allow(
    clippy::duplicate_mod,
    reason = "the cases are compiled once per family on purpose"
)]

#[path = "../common/mod.rs"]
mod common;

mod families;
mod fd_io;
mod futures_family;
mod hyper_family;
mod hyper_runtime;
mod tokio_family;
mod uninitialised;
