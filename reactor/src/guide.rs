//! Pages on single topics. They contain no code.

#[doc = include_str!("docs/fork.md")]
pub mod fork {}

#[doc = include_str!("docs/tokio.md")]
pub mod tokio {}
