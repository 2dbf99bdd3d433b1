//! The runtime's names and behaviour compared with tokio's.
//!
//! The files under `cases/` are written once, against a module `side` that their parent provides.
//! Each is compiled into both parents: `ours` runs the cases on a reactor, `tokio` runs them on
//! tokio's runtime. A case that passes on one side only shows a difference.

#![allow(
    clippy::duplicate_mod,
    reason = "the cases are compiled once per side on purpose"
)]

#[path = "../support/mod.rs"]
mod support;

mod ours;
mod tokio;
