//! Programs that a command starts: each starts, is looked at and ends here.

pub(crate) mod cleanup;
pub(crate) mod demo;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod server;
pub(crate) mod strace;
