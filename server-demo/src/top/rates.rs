//! The difference of two samples: what each shard did per second between them.

use super::sample::{Buckets, Sample, Task};

/// The view's numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    pub(super) shards: Vec<ShardRates>,
    /// The tasks of the later sample, in its order: the slowest first.
    pub(super) tasks: Vec<Task>,
    pub(super) tasks_total: u64,
}

/// One row of the view. Rates are per second.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ShardRates {
    pub(super) cpu: Option<u64>,
    /// The part of the time that the shard did not sleep, from 0 to 1.
    pub(super) busy: f64,
    pub(super) queue: u64,
    pub(super) connections: u64,
    pub(super) tasks: u64,
    pub(super) events: f64,
    pub(super) polls: f64,
    pub(super) steals: f64,
    pub(super) moves: f64,
    /// The 99th percentile from wake to poll, in seconds, if the histograms are on.
    pub(super) p99_wake: Option<f64>,
    /// Stalls since the start, and those between the samples.
    pub(super) stalls: u64,
    pub(super) new_stalls: u64,
}

impl Rates {
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let shards = now.shards.iter().enumerate().map(|(index, shard)| {
            let earlier = before.shards.get(index).cloned().unwrap_or_default();
            let per_second = |now: u64, before: u64| rate(now.saturating_sub(before), seconds);
            let busy = (shard.busy_seconds - earlier.busy_seconds) / seconds;
            ShardRates {
                cpu: shard.cpu,
                busy: if seconds > 0.0 {
                    busy.clamp(0.0, 1.0)
                } else {
                    0.0
                },
                queue: shard.queue,
                connections: shard.connections,
                tasks: shard.tasks,
                events: per_second(shard.events, earlier.events),
                polls: per_second(shard.polls, earlier.polls),
                steals: per_second(shard.stolen, earlier.stolen),
                moves: per_second(shard.moved, earlier.moved),
                p99_wake: p99(&shard.wake_to_poll, &earlier.wake_to_poll),
                stalls: shard.stalls,
                new_stalls: shard.stalls.saturating_sub(earlier.stalls),
            }
        });
        Self {
            shards: shards.collect(),
            tasks: now.tasks.clone(),
            tasks_total: now.tasks_total,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate on a screen")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// Returns the bound below which 99% of the values between two histograms lie.
fn p99(now: &Buckets, before: &Buckets) -> Option<f64> {
    let earlier = |index: usize| before.get(index).map_or(0, |bucket| bucket.1);
    let new: Vec<(f64, u64)> = (now.iter().enumerate())
        .map(|(index, (bound, count))| (*bound, count.saturating_sub(earlier(index))))
        .collect();
    let total: u64 = new.iter().map(|bucket| bucket.1).sum();
    let rank = total - total / 100;
    let mut so_far = 0;
    let found = new.iter().find(|(_, count)| {
        so_far += count;
        so_far >= rank
    });
    found.filter(|_| total > 0).map(|(bound, _)| *bound)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn sample(events: u64, busy: f64, buckets: [u64; 3]) -> Sample {
        let [a, b, c] = buckets;
        let shards = json!({ "shards": [{
            "events_total": events,
            "busy_seconds_total": busy,
            "registrations": 9,
            "wake_to_poll_seconds": { "buckets": [[0.001, a], [0.002, b], [null, c]] },
        }]});
        Sample::read(&shards, &json!({ "total": 0, "tasks": [] })).unwrap()
    }

    #[test]
    fn rates_are_differences_per_second() {
        let before = sample(1000, 5.0, [100, 0, 0]);
        let mut now = sample(3000, 5.5, [100, 99, 1]);
        now.at = before.at + Duration::from_secs(2);
        let shard = &Rates::between(&before, &now).shards[0];
        assert!((shard.events - 1000.0).abs() < 1e-6);
        assert!((shard.busy - 0.25).abs() < 1e-6);
        assert_eq!(shard.p99_wake, Some(0.002), "only of the time between");
        assert_eq!(
            shard.connections, 9,
            "registrations, without a serving layer"
        );
    }

    #[test]
    fn one_sample_alone_has_no_rates() {
        let only = sample(1000, 5.0, [1, 0, 0]);
        let shard = &Rates::between(&only, &only).shards[0];
        assert_eq!((shard.events, shard.busy, shard.p99_wake), (0.0, 0.0, None));
    }
}
