//! Tests of the word alone, and of the word with its waiters, on one thread. Tests that need two
//! threads are in `loom/readiness.rs`.

mod program;
mod waiting;
mod word;
