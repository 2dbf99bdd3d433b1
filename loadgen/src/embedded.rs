//! The embedded echo server: a child process of this same program.

/// The hidden subcommand that is the server.
pub const SUBCOMMAND: &str = "embedded-server";
