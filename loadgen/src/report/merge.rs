//! Adds reports up: of a run, and of others that loaded one server at the same time.
//!
//! Figures that are computed from others, such as rates and CPU time per request, are left alone:
//! [`Report::finish`] computes them anew. Tests: `tools/merge/tests.rs`.

use std::collections::BTreeMap;
use std::ops::Add;

use super::data::{
    BadClients, Connections, Distribution, ErrorCount, Generator, Latency, Report, Requests, Server,
};
use super::settings::Settings;
use crate::measure::histogram::Recorder;

impl Report {
    /// Adds the figures of another run. The measured part reaches from the first beginning to the
    /// last end. The outcome and the derived figures stay as they are.
    ///
    /// # Errors
    /// A histogram cannot be read. The text gives the reason, and the sum is invalid.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), String> {
        let begin_ms = self.measured_unix_ms.min(other.measured_unix_ms);
        let (own_offset_s, offset_s) = (self.offset_s(begin_ms), other.offset_s(begin_ms));
        let elapsed_s = (own_offset_s + self.elapsed_s).max(offset_s + other.elapsed_s);
        self.series
            .merge(own_offset_s, (&other.series, offset_s), elapsed_s)?;
        self.runs.extend_from_slice(&other.runs);
        self.started_unix_ms = self.started_unix_ms.min(other.started_unix_ms);
        self.measured_unix_ms = begin_ms;
        self.elapsed_s = elapsed_s;
        self.settings.merge(&other.settings);
        self.connections.merge(&other.connections)?;
        self.requests.merge(&other.requests);
        self.latency.merge(&other.latency)?;
        self.clocks.extend_from_slice(&other.clocks);
        self.generator.merge(&other.generator);
        match (&mut self.server, &other.server) {
            (Some(server), Some(other)) => server.merge(other),
            (server @ None, other) => server.clone_from(other),
            (Some(_), None) => {}
        }
        merge_by(
            &mut self.bad_clients,
            &other.bad_clients,
            |one| &one.kind,
            BadClients::merge,
        );
        let add = |one: &mut ErrorCount, other: &ErrorCount| one.count += other.count;
        merge_by(&mut self.errors, &other.errors, |one| &one.kind, add);
        merge_by(
            &mut self.errors_outside,
            &other.errors_outside,
            |one| &one.kind,
            add,
        );
        let add = |mine: &mut BTreeMap<u16, u64>, theirs: &BTreeMap<u16, u64>| {
            for (status, count) in theirs {
                *mine.entry(*status).or_default() += count;
            }
        };
        add(&mut self.statuses, &other.statuses);
        add(&mut self.status_codes, &other.status_codes);
        Ok(())
    }

    /// Returns the seconds from a time to the beginning of the measured part.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
    pub(crate) fn offset_s(&self, begin_ms: u64) -> f64 {
        (self.measured_unix_ms - begin_ms) as f64 / 1e3
    }
}

/// Adds entries to those of the same kind, and appends new kinds.
fn merge_by<T: Clone>(
    all: &mut Vec<T>,
    more: &[T],
    kind: fn(&T) -> &String,
    add: impl Fn(&mut T, &T),
) {
    for other in more {
        match all.iter_mut().find(|one| kind(one) == kind(other)) {
            Some(one) => add(one, other),
            None => all.push(other.clone()),
        }
    }
}

/// Adds or compares fields of a struct that is merged.
macro_rules! merge_fields {
    ($mine:ident, $theirs:ident, add: [$($add:ident),*], largest: [$($largest:ident),*]) => {
        $($mine.$add += $theirs.$add;)*
        $($mine.$largest = $mine.$largest.max($theirs.$largest);)*
    };
}

impl Settings {
    /// Adds the load of another run. If one has no limit, the sum has none.
    fn merge(&mut self, other: &Self) {
        fn both<T: Add<Output = T>>(one: Option<T>, other: Option<T>) -> Option<T> {
            Some(one? + other?)
        }
        self.connections = self.connections.saturating_add(other.connections);
        self.active = self.active.saturating_add(other.active);
        self.threads = self.threads.saturating_add(other.threads);
        self.requests = both(self.requests, other.requests);
        self.rate = both(self.rate, other.rate);
        self.connect_rate = both(self.connect_rate, other.connect_rate);
        self.part = None;
        if self.pin != other.pin {
            "various".clone_into(&mut self.pin);
        }
    }
}

impl Connections {
    /// Adds the connections of another thread or process.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), String> {
        for (mine, theirs) in [
            (&mut self.requested, other.requested),
            (&mut self.connected, other.connected),
            (&mut self.peak_live, other.peak_live),
            (&mut self.served, other.served),
            (&mut self.active, other.active),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        merge_fields!(self, other,
            add: [established, retired, closed_by_server, broken, reconnected],
            largest: [ramp_s]);
        merge_optional(&mut self.handshake_latency, &other.handshake_latency)?;
        self.connect_latency.merge(&other.connect_latency)
    }
}

impl Requests {
    fn merge(&mut self, other: &Self) {
        merge_fields!(self, other,
            add: [
                scheduled, launched, answered, unanswered, unsent, interrupted, completed,
                carried_in, late, found_none_free, bytes_read
            ],
            largest: []);
    }
}

impl Latency {
    fn merge(&mut self, other: &Self) -> Result<(), String> {
        self.raw.merge(&other.raw)?;
        merge_optional(&mut self.corrected, &other.corrected)?;
        merge_optional(&mut self.schedule_lag, &other.schedule_lag)?;
        merge_optional(&mut self.first_byte, &other.first_byte)?;
        self.failures.merge(&other.failures)
    }
}

/// Adds a distribution that not all runs have.
fn merge_optional(
    mine: &mut Option<Distribution>,
    theirs: &Option<Distribution>,
) -> Result<(), String> {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) => mine.merge(theirs),
        _ => Ok(()),
    }
}

impl Distribution {
    fn merge(&mut self, other: &Self) -> Result<(), String> {
        if other.count == 0 {
            return Ok(());
        }
        let mut sum = if self.count == 0 {
            Recorder::new()
        } else {
            self.recorder()?
        };
        sum.merge(&other.recorder()?);
        *self = Self::from(&sum);
        Ok(())
    }
}

impl Generator {
    fn merge(&mut self, other: &Self) {
        merge_fields!(self, other,
            add: [
                cpu_user_s, cpu_system_s, waited_for_cpu_s, resident_bytes, resident_before_bytes,
                resident_connected_bytes
            ],
            largest: [busiest_thread]);
    }
}

impl Server {
    /// Takes the larger figures, because all runs observed the same server, which worked for all of
    /// them.
    fn merge(&mut self, other: &Self) {
        self.resident_before_bytes = self.resident_before_bytes.min(other.resident_before_bytes);
        merge_fields!(self, other,
            add: [],
            largest: [cpu_user_s, cpu_system_s, resident_connected_bytes, resident_peak_bytes]);
    }
}

impl BadClients {
    fn merge(&mut self, other: &Self) {
        self.clients = self.clients.saturating_add(other.clients);
        merge_fields!(self, other,
            add: [connections, refused, requests, answers, cut_by_server],
            largest: []);
    }
}
