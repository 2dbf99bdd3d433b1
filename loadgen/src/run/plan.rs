//! The plan of a run, which all threads read: it is checked, and has defaults filled in.
//!
//! It is made from the command line and the limits of the machine. The first connections are
//! numbered from zero. Number `i` belongs to shard `i` modulo the number of shards, and the first
//! `active` of them send. Tests: at the end of this file.

use crate::measure::clock::Nanos;
use crate::run::bad_kind::BadKind;
use crate::run::schedule::Share;
use crate::run::setup::{Amount, Load, Pace, Setup};
use crate::run::sources::Address;
use crate::run::tls::Tls;

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
    /// The parts that all runs of the session share.
    pub(crate) setup: Setup,
    /// The load of this run.
    pub(crate) load: Load,
    /// The address to connect to.
    pub(crate) target: Address,
    /// Connections in total, without the bad clients.
    pub(crate) connections: u32,
    /// Connections that send.
    pub(crate) active: u32,
    /// The kinds of bad clients, with their numbers.
    pub(crate) bad: Vec<(BadKind, u32)>,
    /// The TLS options of the connections, if they use TLS.
    pub(crate) tls: Option<Tls>,
    /// The seed of payloads, arrivals and sources.
    pub(crate) seed: u64,
}

impl Plan {
    /// Returns the numbers of a shard's connections, in order.
    pub(crate) fn connections_of(&self, shard: u32) -> impl Iterator<Item = u32> + use<> {
        (shard..self.connections).step_by(self.setup.threads as usize)
    }

    /// Returns the bad clients of a shard.
    pub(crate) fn bad_of(&self, shard: u32) -> impl Iterator<Item = BadKind> {
        let all = self.bad.iter();
        all.flat_map(|&(kind, clients)| (0..clients).map(move |_| kind))
            .skip(shard as usize)
            .step_by(self.setup.threads as usize)
    }

    /// Returns true if this connection sends after its first request.
    #[must_use]
    pub(crate) fn is_active(&self, connection: u32) -> bool {
        connection < self.active
    }

    /// Returns the shard's share of the requests, or `None` if none of its connections is active.
    #[must_use]
    pub(crate) fn sending_share(&self, shard: u32) -> Option<Share> {
        let of = self.setup.threads.min(self.active);
        (shard < of).then_some(Share {
            index: self.setup.part.index() * of + shard,
            of: self.setup.part.of() * of,
        })
    }

    /// Returns the number of requests that the shard measures, or `u64::MAX` if time decides.
    #[must_use]
    pub(crate) fn requests_of(&self, shard: u32) -> u64 {
        match (self.load.amount, self.sending_share(shard)) {
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
        matches!(self.load.pace, Pace::Open { .. })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::run::protocol::ProtocolSpec;

    pub(crate) fn echo(size: usize) -> ProtocolSpec {
        ProtocolSpec::Echo {
            sizes: size.into(),
            verify: true,
            work_us: None,
        }
    }

    pub(crate) fn plan(connections: u32, active: u32, threads: u32) -> Plan {
        Plan {
            setup: Setup {
                threads,
                timeout: 1,
                ..Setup::new(echo(64))
            },
            load: Load::new(Pace::Closed { pipeline: 1 }, Amount::Time(1)),
            target: Address::Tcp("127.0.0.1:7".parse().expect("an address")),
            connections,
            active,
            bad: Vec::new(),
            tls: None,
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
        plan.load.amount = Amount::Requests(101);
        let mut indices = Vec::new();
        let mut sum = 0;
        for part in ["1/3", "2/3", "3/3"] {
            plan.setup.part = part.parse().expect("a part");
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
            plan.load.amount = Amount::Requests(total);
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
