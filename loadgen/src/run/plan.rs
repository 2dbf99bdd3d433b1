//! The plan of a run, which all threads read: it is checked, and has defaults filled in.
//!
//! It is made from the command line and the limits of the machine. The first connections are
//! numbered from zero. Number `i` belongs to shard `i` modulo the number of shards, and the first
//! `active` of them send. Tests: at the end of this file.

use std::net::IpAddr;
use std::time::Duration;

use server_demo::IoSurface;

use crate::measure::clock::Nanos;
use crate::report::rate::Rate;
use crate::report::settings::Arrivals;
use crate::run::bad_kind::BadKind;
use crate::run::hot::Hot;
use crate::run::part::Part;
use crate::run::protocol::ProtocolSpec;
use crate::run::schedule::Share;
use crate::run::sources::Address;
use crate::run::stages::Stages;
use crate::run::tls::Tls;

/// The rule that decides when a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Closed loop: each connection keeps this many requests in flight.
    Closed {
        /// Requests in flight.
        pipeline: usize,
    },
    /// Open loop: a schedule.
    Open {
        /// Requests per second in total.
        rate: Rate,
        /// Their spacing.
        arrivals: Arrivals,
        /// The maximum number of requests in flight on a connection.
        in_flight_max: usize,
    },
}

/// The reaction to a connection that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Connects again, after a back-off.
    Reconnect,
    /// Goes on without it.
    End,
    /// Ends the run.
    Abort,
}

/// The amount of load that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// All requests during this time.
    Time(Nanos),
    /// This many requests.
    Requests(u64),
}

/// The times at which the parts of a run begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// Requests begin.
    pub(crate) start: Nanos,
    /// The measured part begins.
    pub(crate) from: Nanos,
    /// The measured part ends; `Nanos::MAX` if a number of requests decides.
    pub(crate) until: Nanos,
}

/// The plan of a run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The address to connect to.
    pub(crate) target: Address,
    /// Connections in total, without the bad clients.
    pub(crate) connections: u32,
    /// The kinds of bad clients, with their numbers.
    pub(crate) bad: Vec<(BadKind, u32)>,
    /// This process's part of the load. This plan has the connections of the part, but the requests
    /// and rates of the whole load.
    pub(crate) part: Part,
    /// The time since 1970 at which requests begin; if absent, they begin as soon as possible.
    pub(crate) start_at: Option<Duration>,
    /// Connections that send.
    pub(crate) active: u32,
    /// Threads, each a shard.
    pub(crate) threads: u32,
    /// The rule that decides when a request is sent.
    pub(crate) pace: Pace,
    /// The changing rate of an open loop.
    pub(crate) stages: Option<Stages>,
    /// The think time of a closed loop: the wait after each answer; zero without one.
    pub(crate) think_time: Nanos,
    /// The connections that get most of the requests of an open loop.
    pub(crate) hot: Option<Hot>,
    /// The time after which the hot set moves.
    pub(crate) hot_shift: Option<Nanos>,
    /// The amount of load that is measured.
    pub(crate) amount: Amount,
    /// The discarded time before the measured part.
    pub(crate) warmup: Nanos,
    /// Length of an interval of the time series.
    pub(crate) interval: Nanos,
    /// The protocol.
    pub(crate) protocol: ProtocolSpec,
    /// The TLS options of the connections, if they use TLS.
    pub(crate) tls: Option<Tls>,
    /// The I/O surface of the connections.
    pub(crate) io: IoSurface,
    /// The longest time that the server may owe an answer.
    pub(crate) timeout: Nanos,
    /// The reaction to a connection that fails.
    pub(crate) on_failure: OnFailure,
    /// Connections opened per second in total.
    pub(crate) connect_rate: Option<u64>,
    /// Requests after which a connection is replaced.
    pub(crate) requests_per_conn: Option<u64>,
    /// Time after which a connection is replaced.
    pub(crate) lifetime: Option<Nanos>,
    /// The requested source addresses; empty if the system chooses.
    pub(crate) sources: Vec<IpAddr>,
    /// The seed of payloads, arrivals and sources.
    pub(crate) seed: u64,
}

impl Plan {
    /// Returns the numbers of a shard's connections, in order.
    pub(crate) fn connections_of(&self, shard: u32) -> impl Iterator<Item = u32> + use<> {
        (shard..self.connections).step_by(self.threads as usize)
    }

    /// Returns the bad clients of a shard.
    pub(crate) fn bad_of(&self, shard: u32) -> impl Iterator<Item = BadKind> {
        let all = self.bad.iter();
        all.flat_map(|&(kind, clients)| (0..clients).map(move |_| kind))
            .skip(shard as usize)
            .step_by(self.threads as usize)
    }

    /// Returns true if this connection sends after its first request.
    #[must_use]
    pub(crate) fn is_active(&self, connection: u32) -> bool {
        connection < self.active
    }

    /// Returns the shard's share of the requests, or `None` if none of its connections is active.
    #[must_use]
    pub(crate) fn sending_share(&self, shard: u32) -> Option<Share> {
        let of = self.threads.min(self.active);
        (shard < of).then_some(Share {
            index: self.part.index() * of + shard,
            of: self.part.of() * of,
        })
    }

    /// Returns the number of requests that the shard measures, or `u64::MAX` if time decides.
    #[must_use]
    pub(crate) fn requests_of(&self, shard: u32) -> u64 {
        match (self.amount, self.sending_share(shard)) {
            (Amount::Time(_), _) => u64::MAX,
            (Amount::Requests(_), None) => 0,
            (Amount::Requests(total), Some(share)) => {
                let of = u64::from(share.of);
                total / of + u64::from(u64::from(share.index) < total % of)
            }
        }
    }

    /// Returns true if the run is an open loop.
    #[must_use]
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.pace, Pace::Open { .. })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn echo(size: usize) -> ProtocolSpec {
        ProtocolSpec::Echo {
            sizes: size.into(),
            verify: true,
            work_us: None,
        }
    }

    pub(crate) fn plan(connections: u32, active: u32, threads: u32) -> Plan {
        Plan {
            target: Address::Tcp("127.0.0.1:7".parse().expect("an address")),
            connections,
            bad: Vec::new(),
            part: Part::WHOLE,
            start_at: None,
            active,
            threads,
            pace: Pace::Closed { pipeline: 1 },
            stages: None,
            think_time: 0,
            hot: None,
            hot_shift: None,
            amount: Amount::Time(1),
            warmup: 0,
            interval: crate::measure::series::INTERVAL_DEFAULT,
            protocol: echo(64),
            tls: None,
            io: IoSurface::Helpers,
            timeout: 1,
            on_failure: OnFailure::Reconnect,
            connect_rate: None,
            requests_per_conn: None,
            lifetime: None,
            sources: Vec::new(),
            seed: 1,
        }
    }

    #[test]
    fn every_connection_has_one_shard() {
        let plan = plan(11, 11, 3);
        let mut all: Vec<_> = (0..3)
            .flat_map(|shard| plan.connections_of(shard))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..11).collect::<Vec<_>>());
    }

    #[test]
    fn every_bad_client_has_one_shard() {
        let mut plan = plan(1, 1, 2);
        plan.bad = vec![(BadKind::Reset, 2), (BadKind::SlowRead, 3)];
        let of: Vec<Vec<_>> = (0..2).map(|shard| plan.bad_of(shard).collect()).collect();
        let (reset, slow) = (BadKind::Reset, BadKind::SlowRead);
        assert_eq!(of, [vec![reset, slow, slow], vec![reset, slow]]);
    }

    #[test]
    fn the_requests_of_all_parts_add_up() {
        let mut plan = plan(10, 10, 2);
        plan.amount = Amount::Requests(101);
        let mut indices = Vec::new();
        let mut sum = 0;
        for part in ["1/3", "2/3", "3/3"] {
            plan.part = part.parse().expect("a part");
            for shard in 0..2 {
                let share = plan.sending_share(shard).expect("all send");
                assert_eq!(share.of, 6);
                indices.push(share.index);
                sum += plan.requests_of(shard);
            }
        }
        assert_eq!((indices, sum), (vec![0, 1, 2, 3, 4, 5], 101));
    }

    #[test]
    fn requests_add_up_and_go_to_who_sends() {
        for (active, threads, total) in [(10, 3, 100), (2, 3, 7), (1, 4, 5), (8, 4, 3)] {
            let mut plan = plan(10, active, threads);
            plan.amount = Amount::Requests(total);
            let shares: Vec<_> = (0..threads).map(|shard| plan.requests_of(shard)).collect();
            assert_eq!(shares.iter().sum::<u64>(), total, "{shares:?}");
            for shard in 0..threads {
                let sends = plan
                    .connections_of(shard)
                    .any(|connection| plan.is_active(connection));
                assert_eq!(plan.sending_share(shard).is_some(), sends, "shard {shard}");
                assert!(sends || shares[shard as usize] == 0);
            }
        }
    }
}
