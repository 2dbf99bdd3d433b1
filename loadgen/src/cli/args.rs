//! The command line: every flag with its unit and default, and the checks that need no run.
//!
//! clap ends the process with code 2 if it cannot read a flag. `job.rs` finds flags that contradict
//! each other, and its errors are reported the same way. Limits of the machine, such as
//! descriptors, are checked when the run begins. Tests: `args/tests.rs`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use reactor::Pinning;
use server_demo::IoSurface;

use crate::cli::request_values::{WeightedPath, field, method, weighted_path};
use crate::report::output::Format;
use crate::report::rate::Rate;
use crate::report::settings::Arrivals;
use crate::report::slo::Slo;
use crate::run::bad_kind::BadShare;
use crate::run::embedded::{EmbeddedArgs, SUBCOMMAND};
use crate::run::hot::Hot;
use crate::run::part::Part;
use crate::run::sizes::Sizes;
use crate::run::stages::Stages;
use crate::tools::calibrate::CalibrateArgs;
use crate::tools::compare::CompareArgs;
use crate::tools::merge::MergeArgs;
use crate::tools::sweep::Steps;
use values::{
    connections, duration, interval, pin, pipeline, positive_count, positive_duration, raw_bytes,
    threads, unix_time, work,
};

mod values;

/// The measured time without `-d` and `-n`.
pub const DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// The discarded start of a run with a duration.
pub const WARMUP_DEFAULT: Duration = Duration::from_secs(1);
/// The bytes of an echo request without `--size`.
pub const SIZE_DEFAULT: usize = 64;

/// A load generator for TCP services with very many connections.
///
/// It opens connections and sends requests with unique bytes. The server echoes them, and loadgen
/// verifies every byte. It reports throughput, latency, and the CPU time and memory of the server
/// and of itself. It also speaks HTTP/1.1, and sends fixed bytes that have a fixed answer. Without
/// TARGET, it starts its own echo server in a child process.
///
/// Durations have the units ns, us, ms, s, m and h, and may have parts, such as 1m30s. A bare
/// number is seconds. Counts may end in k or m (thousand, million), sizes in k (1024). Exit codes:
/// 0 success, 1 the run failed, 2 bad arguments, 3 a threshold was missed, 130, 143 or 129 ended
/// early by Ctrl-C, SIGTERM or SIGHUP, with a partial report. A second Ctrl-C ends the program at
/// once, without a report.
#[derive(Parser, Debug)]
#[command(
    name = "loadgen",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub struct Cli {
    /// A subcommand instead of a run.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check the generator's latencies against the record of a built-in server with known delays
    /// (about 80 seconds)
    Calibrate(CalibrateArgs),
    /// Compare two contenders: the ratio B/A of each metric with its 95% confidence interval
    Compare(CompareArgs),
    /// Print completions for a shell, or with `man` the manual page
    Completions {
        /// The shell, or man
        #[arg(value_enum)]
        what: CompletionsFor,
    },
    /// Add the reports of several processes that loaded one server at the same time
    Merge(MergeArgs),
    /// The embedded echo server of a run; ends when its standard input closes.
    #[command(name = SUBCOMMAND, hide = true)]
    EmbeddedServer(EmbeddedArgs),
}

/// The arguments of a run.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Server to load, as HOST:PORT, unix:PATH, http://HOST:PORT/PATH, https://..., ws://... or
    /// wss://...; without it, an embedded echo server in a child process
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,

    /// Use only IPv4 addresses of the target
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Use only IPv6 addresses of the target
    #[arg(short = '6', long)]
    pub ipv6: bool,

    /// Connections in total [default: 4000, or what the descriptor limit allows]
    #[arg(short = 'c', long, value_name = "COUNT", value_parser = connections)]
    pub connections: Option<u32>,

    /// Threads of the generator, each a shard of a reactor
    #[arg(short = 't', long, value_name = "COUNT", default_value = "1", value_parser = threads)]
    pub threads: u32,

    /// Measured time, after the warm-up [default: 10s]
    #[arg(short = 'd', long, value_name = "TIME", value_parser = positive_duration, conflicts_with = "requests")]
    pub duration: Option<Duration>,

    /// Measured requests in total, instead of a duration
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = positive_count)]
    pub requests: Option<u64>,

    /// Open loop: requests per second in total, such as 20k or 0.5. loadgen sends them on schedule
    /// and does not wait for answers. Without an open loop (-R, --stages or --sweep), each
    /// connection waits for an answer before it sends again
    #[arg(short = 'R', long, value_name = "PER-SECOND", value_parser = str::parse::<Rate>, group = "open")]
    pub rate: Option<Rate>,

    /// Open loop with a changing rate, such as 10s:100,30s:5k,10s:0. During each stage TIME:RATE,
    /// the rate changes linearly from the previous rate (at first 0) to RATE. The stage 0s:RATE
    /// changes it at once [default: none]
    #[arg(long, value_name = "TIME:RATE,...", value_parser = str::parse::<Stages>, group = "open", conflicts_with_all = ["duration", "requests"])]
    pub stages: Option<Stages>,

    /// Closed loop: a connection waits for this long after each answer before it sends again
    /// [default: none]
    #[arg(long, value_name = "TIME", value_parser = positive_duration, conflicts_with = "open")]
    pub think_time: Option<Duration>,

    /// Run an open loop at rising rates, FROM..TO:STEP or FROM..TO*FACTOR (10k..200k:10k,
    /// 1k..100k*2), until a rate misses --slo twice, and print the knee: the last rate that met it.
    /// Without --slo, the threshold is achieved>=99%. Each step takes -d [default: 3s] after
    /// --warmup [default: 500ms]
    #[arg(long, value_name = "RATES", value_parser = str::parse::<Steps>, group = "open", conflicts_with = "requests")]
    pub sweep: Option<Steps>,

    /// Spacing of the intended send times of an open loop
    #[arg(long, value_enum, default_value = "fixed", requires = "open")]
    pub arrivals: Arrivals,

    /// Open loop: send LOAD of the requests on SHARE of the connections, such as 25%:90%. SHARE is
    /// 1/k for a whole number k, and every k-th connection is hot. If a server with k shards
    /// spreads connections in turn, all hot ones are on one shard. Needs -t 1 [default: none]
    #[arg(long, value_name = "SHARE:LOAD", value_parser = str::parse::<Hot>, requires = "open")]
    pub hot: Option<Hot>,

    /// Time after which the next connections become the hot ones [default: never]
    #[arg(long, value_name = "TIME", value_parser = positive_duration, requires = "hot")]
    pub hot_shift: Option<Duration>,

    /// Requests in flight per connection; in an open loop, their maximum [default: 1; in an open
    /// loop: no limit for echo, raw and WebSocket, 100 streams for HTTP/2]
    #[arg(short = 'P', long, value_name = "COUNT", value_parser = pipeline)]
    pub pipeline: Option<u32>,

    /// Bytes of an echo request or a WebSocket message: one size, or sizes with weights, such as
    /// 64:90,16k:10 [default: 64]
    #[arg(long, value_name = "BYTES")]
    pub size: Option<Sizes>,

    /// Echo: ask the server to spend this much CPU time on each request before it answers;
    /// `server-demo work` does so (see loadgen/docs/work.md) [default: none]
    #[arg(long, value_name = "TIME", value_parser = work)]
    pub work: Option<Duration>,

    /// Protocol [default: echo; http if TARGET is http://, websocket if it is ws://, raw with
    /// --send]
    #[arg(long, value_enum)]
    pub protocol: Option<ProtocolName>,

    /// Use HTTP/2 instead of HTTP/1.1. With TLS, ALPN negotiates it; without TLS, loadgen begins
    /// with HTTP/2 at once (prior knowledge). -P limits the streams of a connection. Needs a build
    /// with --features http2
    #[arg(long)]
    pub http2: bool,

    /// HTTP: path of the requests; repeatable, with a weight as in 9*/path [default: the path of
    /// TARGET, or /]
    #[arg(long = "path", value_name = "PATH", value_parser = weighted_path)]
    pub paths: Vec<WeightedPath>,

    /// HTTP: method [default: GET; POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = method)]
    pub method: Option<String>,

    /// HTTP and WebSocket: header field, such as 'Accept: text/html'; repeatable. It replaces
    /// loadgen's own field of that name [default: none]
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub headers: Vec<(String, String)>,

    /// HTTP: body of each request. {counter} becomes a number that is different in each request,
    /// and {random} becomes 16 random hexadecimal digits. Paths and header fields may have them too
    /// [default: none]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub body: Option<String>,

    /// HTTP: file with the body of each request; {counter} and {random} work as in --body [default:
    /// none]
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    pub body_file: Option<PathBuf>,

    /// HTTP: basic authentication; write special characters as in a URL: % and two hexadecimal
    /// digits [default: none]
    #[arg(short = 'u', long, value_name = "USER:PASSWORD")]
    pub user: Option<String>,

    /// Encrypt the connections with TLS, as for https://; needs a build with --features tls
    #[arg(long)]
    pub tls: bool,

    /// TLS: file of certificates to trust, in PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// TLS: accept any certificate
    #[arg(long, conflicts_with = "cacert")]
    pub insecure: bool,

    /// TLS: server name to send and to find in the certificate [default: the host of TARGET]
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,

    /// Raw: the bytes of each request, with the escapes \r \n \t \0 \\ \xHH [default: none]
    #[arg(long, value_name = "BYTES", value_parser = raw_bytes, requires = "expect", allow_hyphen_values = true)]
    pub send: Option<Arc<[u8]>>,

    /// Raw: the bytes that answer each request, with the same escapes [default: none]
    #[arg(long, value_name = "BYTES", value_parser = raw_bytes, requires = "send", allow_hyphen_values = true)]
    pub expect: Option<Arc<[u8]>>,

    /// Number of connections that send; the others are served once and then stay idle [default:
    /// all]
    #[arg(long, value_name = "COUNT", value_parser = connections)]
    pub active: Option<u32>,

    /// Limit on connections opened per second in total, including replacements [default: as fast as
    /// the server accepts them]
    #[arg(long, value_name = "PER-SECOND", value_parser = positive_count)]
    pub connect_rate: Option<u64>,

    /// Close each connection after this many requests, and open another in its place [default: no
    /// limit]
    #[arg(long, value_name = "COUNT", value_parser = positive_count)]
    pub requests_per_conn: Option<u64>,

    /// Close each connection after this time, and open another in its place; the first connections
    /// end one by one during this time [default: the whole run]
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub lifetime: Option<Duration>,

    /// Share of the connections that misbehave, as KIND:SHARE, such as reset:5% or reset:0.05;
    /// repeatable, or a list with commas. Kinds: slow-read and slow-write (a byte every 10ms),
    /// never-read, half-close, reset. The report has their results apart from the load [default:
    /// none]
    #[arg(long, value_name = "KIND:SHARE", value_delimiter = ',')]
    pub bad_clients: Vec<BadShare>,

    /// Longest time to connect, and longest silence of a server that owes an answer. Ten times as
    /// long without a complete answer is a failure even if bytes keep coming
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = positive_duration)]
    pub timeout: Duration,

    /// Do not reopen connections that fail; by default, loadgen reopens them after a backoff
    #[arg(long)]
    pub no_reconnect: bool,

    /// End the run at the first failure
    #[arg(long, conflicts_with = "no_reconnect")]
    pub fail_fast: bool,

    /// Time at the start of the load that is not measured [default: 1s with a duration, 0s with -n]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub warmup: Option<Duration>,

    /// Length of an interval of the time series; it doubles until at most 512 intervals are left
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = interval)]
    pub interval: Duration,

    /// Addresses to connect from. The next one is used when no port of the previous one is free
    /// [default: the system's choice; for a target in 127.0.0.0/8, further addresses of that
    /// network when the ports are used up]
    #[arg(long = "source", value_name = "ADDRESSES", value_delimiter = ',')]
    pub sources: Vec<IpAddr>,

    /// Server process, whose CPU time and memory the report shows [default: the embedded server]
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub server_pid: Option<i32>,

    /// I/O surface of the connections
    #[arg(long, value_enum, default_value = "helpers")]
    pub io: IoSurface,

    /// Echo, raw and WebSocket: compare every byte of every answer with the expected one [default:
    /// on]
    #[arg(long, value_enum, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    pub verify: Option<Switch>,

    /// CPUs for the generator's threads: none, auto, or a list such as 0,2
    #[arg(long, value_name = "CPUS", default_value = "none", value_parser = pin)]
    pub pin: Pinning,

    /// Thresholds, such as p99.9<5ms,errors=0; if the run misses one, the exit code is 3. Metrics:
    /// pN, mean, max (latency; with the prefix raw., connect. or lag., that duration instead),
    /// rate, achieved (percent of the schedule), errors, unanswered. Operators: < <= > >= =
    #[arg(long, value_name = "THRESHOLDS", value_parser = str::parse::<Slo>)]
    pub slo: Option<Slo>,

    /// Format of standard output
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,

    /// Also write the report to FILE, in the format of its extension: json, csv, hgrm
    /// (percentiles), hlog (histograms of the intervals) or html (a page with plots); repeatable. A
    /// run with --part also takes a folder, and writes part-2-of-8.json there
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub outputs: Vec<PathBuf>,

    /// TOML file with these flags as keys (connections = 9000, slo = "p99<5ms", target =
    /// "HOST:PORT"); the command line takes precedence
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Run one part of a load that several processes share. 2/8 is the second of eight parts: it
    /// opens an eighth of the connections and sends an eighth of the requests. auto takes the
    /// number of the part and the number of parts from Slurm, Open MPI or PMI; auto/8 takes the
    /// index of a Kubernetes Job [default: 1/1]
    #[arg(long, value_name = "K/N", value_parser = str::parse::<Part>, conflicts_with_all = ["sweep", "hot"])]
    pub part: Option<Part>,

    /// Time at which requests begin, after the connections are open, in seconds since 1970, such as
    /// $(date -d +20sec +%s) [default: when all connections are served]
    #[arg(long, value_name = "TIME", value_parser = unix_time, conflicts_with = "sweep")]
    pub start_at: Option<Duration>,

    /// Serve the current figures of the run to Prometheus at this address, as /metrics [default:
    /// none]
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<SocketAddr>,

    /// Also write the histogram of each interval to FILE during the run, as an HdrHistogram log; if
    /// the run is killed, the complete intervals are in the file [default: none]
    #[arg(long, value_name = "FILE.hlog", conflicts_with = "sweep")]
    pub log: Option<PathBuf>,

    /// Show no progress
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// A flag that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// The feature is on.
    On,
    /// The feature is off.
    Off,
}

/// A protocol by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    /// Unique bytes, which the server sends back
    Echo,
    /// HTTP/1.1, on connections that stay open
    Http,
    /// The bytes of --send, answered by those of --expect
    Raw,
    /// WebSocket messages, which the server sends back
    #[value(name = "websocket")]
    WebSocket,
}

/// The output of `completions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletionsFor {
    /// source <(loadgen completions bash)
    Bash,
    /// eval (loadgen completions elvish | slurp)
    Elvish,
    /// loadgen completions fish | source
    Fish,
    /// loadgen completions powershell | Out-String | Invoke-Expression
    Powershell,
    /// source <(loadgen completions zsh)
    Zsh,
    /// loadgen completions man | man -l -
    Man,
}

#[cfg(test)]
mod tests;
