//! Pipes: an anonymous one from [`pipe`], or a FIFO in the file system through [`OpenOptions`].
//!
//! Same as tokio's module `net::unix::pipe`, where reading and writing come from traits.

#![forbid(unsafe_code)]

mod ends;
mod options;

pub use ends::{Receiver, Sender, pipe};
pub use options::OpenOptions;
