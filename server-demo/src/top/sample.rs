//! One sample of a reactor: the numbers that the view needs from the endpoint's answers.

use std::io;
use std::time::Instant;

use serde_json::Value;

/// The state of a reactor at one time.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(super) at: Instant,
    pub(super) shards: Vec<Shard>,
    pub(super) tasks: Vec<Task>,
    pub(super) tasks_total: u64,
}

/// The state of one shard. Fields without another note count since the start.
#[derive(Debug, Clone, Default)]
pub(super) struct Shard {
    pub(super) cpu: Option<u64>,
    /// A current value.
    pub(super) queue: u64,
    /// Open connections of the serving layer, or else registered descriptors.
    pub(super) connections: u64,
    /// A current value.
    pub(super) tasks: u64,
    pub(super) busy_seconds: f64,
    pub(super) events: u64,
    pub(super) polls: u64,
    pub(super) stolen: u64,
    pub(super) moved: u64,
    pub(super) stalls: u64,
    pub(super) wake_to_poll: Buckets,
}

/// The buckets of a histogram: upper bound and count.
pub(super) type Buckets = Vec<(f64, u64)>;

/// A live task.
#[derive(Debug, Clone, Default)]
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) spawned_at: String,
    pub(super) shard: u64,
    pub(super) state: String,
    pub(super) polls: u64,
    pub(super) busy_seconds: f64,
    pub(super) current_poll: Option<f64>,
    pub(super) waits_for: String,
}

impl Sample {
    /// Reads the answers to `/shards` and `/tasks`.
    pub(super) fn read(shards: &Value, tasks: &Value) -> io::Result<Self> {
        let list = |value: &Value, key: &str| {
            let missing = || {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("no {key} in the answer"),
                )
            };
            value[key].as_array().cloned().ok_or_else(missing)
        };
        Ok(Self {
            at: Instant::now(),
            shards: list(shards, "shards")?.iter().map(shard).collect(),
            tasks: list(tasks, "tasks")?.iter().map(task).collect(),
            tasks_total: number(&tasks["total"]),
        })
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn shard(of: &Value) -> Shard {
    let connections = of["server_connections"].as_u64();
    Shard {
        cpu: of["shard_cpu"].as_u64(),
        queue: number(&of["ready_tasks"]),
        connections: connections.unwrap_or_else(|| number(&of["registrations"])),
        tasks: number(&of["tasks"]),
        busy_seconds: of["busy_seconds_total"].as_f64().unwrap_or_default(),
        events: number(&of["events_total"]),
        polls: number(&of["task_polls_total"]),
        stolen: number(&of["tasks_stolen_total"]),
        moved: number(&of["registrations_moved_in_total"]),
        stalls: number(&of["stalls_total"]),
        wake_to_poll: buckets(&of["wake_to_poll_seconds"]["buckets"]),
    }
}

fn buckets(of: &Value) -> Buckets {
    let bucket = |pair: &Value| (pair[0].as_f64().unwrap_or(f64::INFINITY), number(&pair[1]));
    of.as_array().into_iter().flatten().map(bucket).collect()
}

fn task(of: &Value) -> Task {
    let name = of["name"].as_str().or_else(|| of["future"].as_str());
    Task {
        id: number(&of["id"]),
        name: name.unwrap_or_default().to_owned(),
        spawned_at: text(&of["spawned_at"]),
        shard: number(&of["shard"]),
        state: text(&of["state"]),
        polls: number(&of["polls"]),
        busy_seconds: of["busy_seconds"].as_f64().unwrap_or_default(),
        current_poll: of["current_poll_seconds"].as_f64(),
        waits_for: waits_for(&of["waits_for"]),
    }
}

fn waits_for(of: &Value) -> String {
    let wait = |wait: &Value| match (wait["fd"].as_i64(), wait["timer_seconds"].as_f64()) {
        (Some(fd), _) => {
            let directions = wait["for"].as_array().into_iter().flatten();
            let directions: Vec<_> = directions.filter_map(Value::as_str).collect();
            format!("{} fd {fd}", directions.join("+"))
        }
        (None, Some(seconds)) => format!("timer {seconds:.1}s"),
        (None, None) => String::new(),
    };
    let waits: Vec<_> = of.as_array().into_iter().flatten().map(wait).collect();
    waits.join(", ")
}
