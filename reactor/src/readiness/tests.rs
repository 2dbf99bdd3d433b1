//! The word by itself, and the word and its waiters together, on one thread. What needs two threads is in `loom/readiness.rs`.

mod program;
mod waiting;
mod word;
