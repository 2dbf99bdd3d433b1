//! The traits of other libraries, on the streams and on `FdIo`.
//!
//! `every_family.rs` is written once, against a module `side` that defines a family's reading,
//! writing and ending, and is compiled once for each family. A feature of only one family is tested
//! in that family's file. Run with `--features full`.
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
