//! Tests that the table lists every field, under conventional names.

use std::collections::BTreeSet;

use super::*;
use crate::metrics::histogram::{Recorder, Scale};

/// Returns a histogram whose sum is the given number.
fn histogram_of(value: u64) -> Option<Histogram> {
    let recorder = Recorder::new(Scale::Count);
    recorder.record(value);
    Some(recorder.read())
}

/// Each field has another value. A new field does not compile until it is added here.
fn numbered() -> (ShardMetrics, u64) {
    let mut last = 0;
    let mut next = || {
        last += 1;
        last
    };
    let metrics = ShardMetrics {
        cpu: Some(usize::try_from(next()).unwrap()),
        registrations: next(),
        tasks: next(),
        turns: next(),
        waits: next(),
        spins: next(),
        events: next(),
        stale_events: next(),
        empty_batches: next(),
        full_batches: next(),
        polls: next(),
        queued_turns_max: next(),
        tasks_completed: next(),
        panics: next(),
        stalls: next(),
        remote_wakes_received: next(),
        remote_spawns: next(),
        remote_wakes_coalesced: next(),
        notifies: next(),
        timers: next(),
        busy: Duration::from_secs(next()),
        ready_tasks: next(),
        tasks_stolen: next(),
        tasks_given: next(),
        failed_searches: next(),
        turns_served: next(),
        registrations_moved_in: next(),
        registrations_moved_out: next(),
        poll_time: histogram_of(next()),
        wake_to_poll: histogram_of(next()),
        wait_time: histogram_of(next()),
        batch_events: histogram_of(next()),
    };
    (metrics, last)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
fn number(value: &MetricValue) -> u64 {
    match value {
        MetricValue::Integer(value) => *value,
        MetricValue::Float(value) => *value as u64,
        MetricValue::Histogram(histogram) => histogram.sum() as u64,
    }
}

#[test]
fn every_field_is_listed_once() {
    let (shard, fields) = numbered();
    let blocking = BlockingMetrics {
        threads: fields + 1,
        idle_threads: fields + 2,
        queue_depth: fields + 3,
        jobs_completed: fields + 4,
        panics: fields + 5,
    };
    let metrics = ReactorMetrics {
        shards: vec![shard],
        blocking,
    };
    let listed: Vec<u64> = metrics.iter().map(|metric| number(&metric.value)).collect();
    let set: BTreeSet<u64> = listed.iter().copied().collect();
    assert_eq!(set, (1..=fields + 5).collect());
    assert_eq!(listed.len(), set.len(), "none twice");
}

#[test]
fn names_follow_the_conventions() {
    let (shard, _) = numbered();
    let metrics = ReactorMetrics {
        shards: vec![shard],
        blocking: BlockingMetrics::default(),
    };
    let mut names = BTreeSet::new();
    for metric in metrics.iter() {
        let name = metric.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("reactor_"), "{name}");
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{name}"
        );
        let is_counter = metric.kind == MetricKind::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        let has_unit = name.trim_end_matches("_total").ends_with("_seconds");
        assert_eq!(has_unit, metric.unit == Some(MetricUnit::Seconds), "{name}");
        assert!(
            metric.help.ends_with('.') && !metric.help.contains('\n'),
            "{name}"
        );
    }
}
