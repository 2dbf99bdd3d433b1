//! The state that all shards of a server share. Tests: the integration tests of this package.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::stats::Counters;

/// The state that all shards of a server read. Except for the counters, it is written before they
/// start.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// One entry per shard.
    pub(crate) counters: Vec<Arc<Counters>>,
}

impl Shared {
    pub(crate) fn new(config: &Config, shards: usize) -> Self {
        Self {
            idle_timeout: config.idle_timeout,
            write_timeout: config.write_timeout,
            counters: (0..shards).map(|_| Arc::default()).collect(),
        }
    }
}
