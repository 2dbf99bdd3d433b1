//! The settings, machine and target of a run, as a report has them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use server_demo::IoSurface;

use super::rate::Rate;

/// The machine of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The operating system and its version.
    pub kernel: String,
    /// Processor architecture.
    pub architecture: String,
    /// The number of CPUs that this process may use.
    pub cpus: usize,
}

/// The server of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Target {
    /// Address and port.
    pub address: String,
    /// True for the embedded server.
    pub embedded: bool,
    /// Shards of the embedded server.
    pub shards: Option<usize>,
}

/// The requested load.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Connections; if not requested, the number that the descriptor limit allows.
    pub connections: u32,
    /// Connections that send.
    pub active: u32,
    /// Threads.
    pub threads: u32,
    /// Seconds to measure, unless a number of requests was requested.
    pub duration_s: Option<f64>,
    /// Requests to measure, unless a duration was requested.
    pub requests: Option<u64>,
    /// Requests per second of an open loop.
    pub rate: Option<Rate>,
    /// The stages of an open loop, as on the command line. The rate is their average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<String>,
    /// Seconds that a connection of a closed loop waited after each answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_time_s: Option<f64>,
    /// Spacing in an open loop.
    pub arrivals: Option<Arrivals>,
    /// The hot share of the connections and their share of the requests, as on the command line.
    #[serde(default)]
    pub hot: Option<String>,
    /// Seconds after which the hot set moved.
    #[serde(default)]
    pub hot_shift_s: Option<f64>,
    /// CPU microseconds that each request asked the server to spend.
    #[serde(default)]
    pub work_us: Option<u32>,
    /// The maximum number of requests in flight per connection of an open loop; absent without a
    /// limit.
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
    /// Bytes per request; the average if sizes were mixed.
    pub size: usize,
    /// Sizes with their weights, if there were several.
    #[serde(default)]
    pub size_mix: Option<String>,
    /// The limit on connections opened per second, if there was one.
    pub connect_rate: Option<u64>,
    /// Requests after which a connection was replaced.
    #[serde(default)]
    pub requests_per_conn: Option<u64>,
    /// Seconds after which a connection was replaced.
    #[serde(default)]
    pub lifetime_s: Option<f64>,
    /// Seconds of silence that end a connection.
    pub timeout_s: f64,
    /// Seconds at the start that were not measured.
    pub warmup_s: f64,
    /// True if the connections used TLS.
    #[serde(default)]
    pub tls: bool,
    /// The I/O surface.
    pub io: IoSurface,
    /// True if answers were compared with the expected bytes.
    pub verify: bool,
    /// CPUs of the threads: `none`, `auto` or a list.
    pub pin: String,
}

/// Returns the protocol of old reports, which do not name one.
fn echo() -> String {
    "echo".to_owned()
}

/// The spacing of intended send times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// One every 1/rate seconds.
    Fixed,
    /// Independent of each other, like the requests of many users.
    Poisson,
}

impl Machine {
    /// Describes this machine.
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
