//! The counters of a server as metrics, for an exporter.

use reactor::Metric;

use super::stats::{ShardStats, Stats};

type Make = fn(&ShardStats) -> Metric;

/// Each metric of a server on one shard.
const METRICS: [Make; 10] = [
    |s| gauge("server_connections", "Open connections.", s, s.live),
    |s| {
        counter(
            "server_connections_accepted_total",
            "Connections given to the shard.",
            s,
            s.accepted,
        )
    },
    |s| {
        counter(
            "server_connections_closed_total",
            "Connections that ended.",
            s,
            s.closed,
        )
    },
    |s| {
        counter(
            "server_connections_failed_total",
            "Connections that ended in an error.",
            s,
            s.failed,
        )
    },
    |s| {
        counter(
            "server_connections_cut_off_total",
            "Connections open at a drain's deadline.",
            s,
            s.cut_off,
        )
    },
    |s| {
        counter(
            "server_connections_over_limit_total",
            "Connections closed because of the limit.",
            s,
            s.over_limit,
        )
    },
    |s| {
        counter(
            "server_accept_calls_total",
            "Calls of accept(2).",
            s,
            s.accept_calls,
        )
    },
    |s| {
        counter(
            "server_accept_pauses_total",
            "Pauses for lack of descriptors or memory.",
            s,
            s.accept_pauses,
        )
    },
    |s| {
        counter(
            "server_connections_handed_on_total",
            "Connections given to another shard.",
            s,
            s.handed_on,
        )
    },
    |s| {
        counter(
            "server_connections_timed_out_total",
            "Connections that a timeout ended.",
            s,
            s.timed_out,
        )
    },
];

fn gauge(name: &'static str, help: &'static str, stats: &ShardStats, value: u64) -> Metric {
    Metric::gauge(name, help, Some(stats.shard), value)
}

fn counter(name: &'static str, help: &'static str, stats: &ShardStats, value: u64) -> Metric {
    Metric::counter(name, help, Some(stats.shard), value)
}

impl Stats {
    /// Lists every counter with a name and a help text, as
    /// [`ReactorMetrics::iter`](reactor::ReactorMetrics::iter) does for a reactor.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> + '_ {
        METRICS
            .iter()
            .flat_map(|metric| self.shards.iter().map(metric))
    }
}
