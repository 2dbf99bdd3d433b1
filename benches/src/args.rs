//! The command line of the baseline servers.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use clap::Args;
use reactor::Pinning;
use server_demo::parse_pinning;

/// The options of every baseline server; the flags have the names of `server-demo`'s.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7777")]
    pub listen: SocketAddr,

    /// Threads that serve connections.
    #[arg(long, value_name = "N", default_value = "1")]
    pub threads: NonZeroUsize,

    /// CPUs for these threads: auto, none, or a list such as 0,2.
    #[arg(long, value_name = "CPUS", default_value = "auto", value_parser = parse_pinning)]
    pub pin: Pinning,

    /// End when standard input closes, so that a parent that dies takes this server with it.
    #[arg(long)]
    pub until_eof: bool,
}
