//! The answers in JSON.

use std::time::{Duration, Instant};

use reactor::{Histogram, Metric, MetricValue, TaskInfo, TaskWait};
use serde_json::{Map, Value, json};

/// Returns the metrics by shard. Metrics of the whole reactor are beside the shards.
///
/// A key is a metric's name without `reactor_`.
pub(super) fn shards(metrics: impl IntoIterator<Item = Metric>) -> Value {
    let mut shards: Vec<Map<String, Value>> = Vec::new();
    let mut process = Map::new();
    for metric in metrics {
        let key = metric.name.strip_prefix("reactor_").unwrap_or(metric.name);
        let value = match &metric.value {
            MetricValue::Histogram(histogram) => distribution(histogram),
            MetricValue::Float(value) => json!(value),
            MetricValue::Integer(value) => json!(value),
            // A kind of value that a later version of the reactor adds.
            _ => Value::Null,
        };
        match metric.shard {
            None => drop(process.insert(key.to_owned(), value)),
            Some(shard) => {
                while shards.len() <= shard.index() {
                    let mut new = Map::new();
                    new.insert("shard".to_owned(), json!(shards.len()));
                    shards.push(new);
                }
                shards[shard.index()].insert(key.to_owned(), value);
            }
        }
    }
    json!({ "shards": shards, "process": process })
}

fn distribution(histogram: &Histogram) -> Value {
    // JSON has no infinity: the last bound is null.
    let buckets: Vec<_> = histogram
        .buckets()
        .map(|bucket| json!([bucket.0, bucket.1]))
        .collect();
    json!({
        "count": histogram.count(),
        "sum": histogram.sum(),
        "p50": histogram.quantile(0.5),
        "p99": histogram.quantile(0.99),
        "buckets": buckets,
    })
}

/// Returns the tasks, those first that are in the longest poll, then those with the most busy time.
pub(super) fn tasks(mut tasks: Vec<TaskInfo>, limit: usize) -> Value {
    let total = tasks.len();
    let rank = |task: &TaskInfo| {
        let times = task
            .times
            .map(|times| (times.current_poll.unwrap_or_default(), times.busy));
        let (current, busy) = times.unwrap_or_default();
        (std::cmp::Reverse((current, busy)), task.id)
    };
    tasks.sort_by_key(rank);
    tasks.truncate(limit);
    let now = Instant::now();
    let tasks: Vec<_> = tasks.iter().map(|info| task(info, now)).collect();
    json!({ "total": total, "tasks": tasks })
}

fn task(task: &TaskInfo, now: Instant) -> Value {
    let seconds = |time: Duration| time.as_secs_f64();
    let times = task.times;
    json!({
        "id": task.id.as_u64(),
        "name": task.name.as_deref(),
        "future": task.future,
        "spawned_at": task.spawned_at.map(ToString::to_string),
        "shard": task.shard.index(),
        "state": task.state.as_str(),
        "polls": times.map(|times| times.polls),
        "busy_seconds": times.map(|times| seconds(times.busy)),
        "age_seconds": times.map(|times| seconds(times.age)),
        "current_poll_seconds": times.and_then(|times| times.current_poll).map(seconds),
        "since_last_poll_seconds": times.and_then(|times| times.since_last_poll).map(seconds),
        "waits_for": task.waits.iter().map(|wait| waits_for(wait, now)).collect::<Vec<_>>(),
    })
}

fn waits_for(wait: &TaskWait, now: Instant) -> Value {
    match wait {
        TaskWait::Descriptor { fd, ready } => {
            let directions = [
                (ready.is_readable(), "read"),
                (ready.is_writable(), "write"),
            ];
            let directions: Vec<_> = directions
                .iter()
                .filter(|(is_awaited, _)| *is_awaited)
                .map(|(_, name)| name)
                .collect();
            json!({ "fd": fd, "for": directions })
        }
        TaskWait::Timer { deadline } => {
            let left = deadline.saturating_duration_since(now);
            json!({ "timer_seconds": left.as_secs_f64() })
        }
        // A cause that a later version of the reactor adds.
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_the_process_are_beside_those_of_the_shards() {
        let reactor = reactor::Reactor::builder()
            .shards(2)
            .histograms(true)
            .build()
            .unwrap();
        let handle = reactor.handle();
        let own = [
            Metric::counter("app_requests_total", "Requests.", Some(handle.shard(1)), 5),
            Metric::gauge("app_users", "Users.", None, 3),
        ];
        let json = shards(handle.metrics().iter().chain(own));
        let listed = json["shards"].as_array().unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1]["shard"], 1);
        assert_eq!(listed[1]["registrations"], 0);
        assert_eq!(listed[1]["app_requests_total"], 5);
        assert!(listed[0].get("app_requests_total").is_none());
        assert!(
            listed[0]["task_poll_seconds"]["buckets"]
                .as_array()
                .unwrap()
                .len()
                > 20
        );
        assert_eq!(json["process"]["app_users"], 3);
        assert_eq!(json["process"]["blocking_threads"], 0);
    }
}
