//! The types of `net` compared with tokio's types of the same names, and features of this crate
//! only.
//!
//! The files under `cases/` are written once, against a module `side` that their parent provides,
//! and are compiled into each of the parents. `ours` runs every case twice (awaited on a plain
//! thread, and as a task of a shard). `tokio` runs them on tokio's types. If tokio differs, by a
//! bug or by choice, the case says so. The other modules cover features that tokio does not have,
//! or has under another name.
#![cfg(target_os = "linux")]
#![allow(
    clippy::duplicate_mod,
    reason = "the cases are compiled once per side on purpose"
)]

#[path = "../common/mod.rs"]
mod common;

mod datagrams;
mod every_type;
mod incoming;
mod ours;
mod pipe_ends;
mod tcp_ends;
mod tokio;
