//! The load of a run as a report names it: settings, machine and target.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use server_demo::IoSurface;

use super::rate::Rate;

/// The machine of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and its version.
    pub kernel: String,
    /// Processor architecture.
    pub architecture: String,
    /// CPUs this process may use.
    pub cpus: usize,
}

/// The server of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Target {
    /// Address and port.
    pub address: String,
    /// True if it was the embedded server.
    pub embedded: bool,
    /// Shards of the embedded server.
    pub shards: Option<usize>,
}

/// The load asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Connections; where they were not asked for, what the descriptor limit allows.
    pub connections: u32,
    /// Connections that send.
    pub active: u32,
    /// Threads.
    pub threads: u32,
    /// Seconds to measure, unless a number of requests was asked for.
    pub duration_s: Option<f64>,
    /// Requests to measure, unless a duration was asked for.
    pub requests: Option<u64>,
    /// Requests per second of an open loop.
    pub rate: Option<Rate>,
    /// The stages of an open loop, as on the command line; the rate is their average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<String>,
    /// Seconds that a connection of a closed loop waited after each answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_time_s: Option<f64>,
    /// Spacing in an open loop.
    pub arrivals: Option<Arrivals>,
    /// The hot share of the connections and their share of the requests, as asked for.
    #[serde(default)]
    pub hot: Option<String>,
    /// Seconds after which the hot set moved.
    #[serde(default)]
    pub hot_shift_s: Option<f64>,
    /// CPU microseconds that each request asked the server to spend.
    #[serde(default)]
    pub work_us: Option<u32>,
    /// The most requests in flight per connection of an open loop; absent without a limit.
    #[serde(default)]
    pub in_flight_max: Option<u32>,
    /// The part of a load on several processes, such as `2/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Requests in flight per connection of a closed loop.
    pub pipeline: u32,
    /// The protocol: `echo`, `http`, `http2`, `raw` or `websocket`.
    #[serde(default = "echo")]
    pub protocol: String,
    /// Bytes per request, on average where sizes were mixed.
    pub size: usize,
    /// Sizes with their weights, where there were several.
    #[serde(default)]
    pub size_mix: Option<String>,
    /// Connections opened per second, where limited.
    pub connect_rate: Option<u64>,
    /// Requests after which a connection was replaced.
    #[serde(default)]
    pub requests_per_conn: Option<u64>,
    /// Seconds after which a connection was replaced.
    #[serde(default)]
    pub lifetime_s: Option<f64>,
    /// Seconds of silence that end a connection.
    pub timeout_s: f64,
    /// Seconds thrown away at the start.
    pub warmup_s: f64,
    /// True if the connections had TLS.
    #[serde(default)]
    pub tls: bool,
    /// The I/O surface.
    pub io: IoSurface,
    /// True if answers were compared with what was sent.
    pub verify: bool,
    /// CPUs of the threads: `none`, `auto` or a list.
    pub pin: String,
}

/// The protocol of reports from before there was a choice.
fn echo() -> String {
    "echo".to_owned()
}

/// The spacing of intended send times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// One every 1/rate seconds.
    Fixed,
    /// Independent of each other, as requests of many users are.
    Poisson,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let name = rustix::system::uname();
        Self {
            kernel: format!(
                "{} {}",
                name.sysname().to_string_lossy(),
                name.release().to_string_lossy()
            ),
            architecture: name.machine().to_string_lossy().into_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
