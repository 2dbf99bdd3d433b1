//! One suite about `AsyncFd`, run against tokio's and against ours.
//!
//! The files under `cases/` are written once, against a module `side` that their parent provides,
//! and are compiled into each of the parents:
//!
//! - `tokio`: tokio's type, with its multi-thread runtime in the background;
//! - `ours`: our type, awaited on a thread that is no shard's;
//! - `on_shard`: our type, awaited by a task of the shard that polls the descriptors;
//! - `in_tokio`, `in_smol`: our type, awaited by a task of tokio's, and of smol's;
//! - `moved`: our type, with every wait polled on two threads in turn.
//!
//! So `cargo test -p shard-asyncfd --test parity` names both sides of every case. Where tokio
//! differs by a bug or by choice the case says so, and asserts ours only. `CONTRACT.md` maps the
//! contract's statements to the cases.

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
