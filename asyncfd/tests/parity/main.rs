//! One suite for `AsyncFd`, run against tokio's type and against this crate's.
//!
//! The files under `cases/` are written once, against a module `side` that their parent provides,
//! and are compiled into each of the parents:
//!
//! - `tokio`: tokio's type, with its multi-thread runtime in the background;
//! - `ours`: our type, awaited on a thread that is not a shard;
//! - `on_shard`: our type, awaited by a task of the shard that polls the descriptors;
//! - `in_tokio`, `in_smol`: our type, awaited by a task of tokio's, and of smol's;
//! - `moved`: our type, with every wait polled on two threads in turn.
//!
//! So `cargo test -p shard-asyncfd --test parity` lists both sides of every case. If tokio differs,
//! by a bug or by choice, the case says so and asserts only our behaviour. `CONTRACT.md` maps the
//! contract's statements to the cases.

// Many cases are about the kernel's own ways: priority, the error queue, what a hang-up reports.
#![cfg(any(target_os = "linux", target_os = "android"))]
#![allow(
    clippy::duplicate_mod,
    reason = "the cases are compiled once per side on purpose"
)]
#![allow(
    deprecated,
    reason = "tokio deprecates the constructors that the contract keeps"
)]

mod executors;
mod in_smol;
mod in_tokio;
mod moved;
mod on_shard;
mod ours;
mod support;
mod tokio;
