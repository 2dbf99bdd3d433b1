//! The command line: every flag with its unit and default, and the checks that need no run.
//!
//! clap ends the process with code 2 on what it cannot read; `job.rs` finds the rest (flags that
//! contradict each other) and is reported the same way. Limits of the machine, such as descriptors,
//! are checked when the run begins. Tests: `args/tests.rs`.

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

/// Measured time where neither `-d` nor `-n` is given.
pub const DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// The discarded start of a run with a duration.
pub const WARMUP_DEFAULT: Duration = Duration::from_secs(1);
/// Bytes of an echo request where `--size` is absent.
pub const SIZE_DEFAULT: usize = 64;

/// A load generator for TCP services with very many connections.
///
/// It connects, sends requests whose bytes are unique, expects them echoed, verifies every byte,
/// and reports throughput, latency, and what the load cost the server and itself. It also speaks
/// HTTP/1.1, and any exchange of known bytes. Without TARGET it starts an echo server of its own in
/// a child process.
///
/// Durations take ns, us, ms, s, m, h, also in parts such as 1m30s (a bare number is seconds);
/// counts take k and m; sizes take k = 1024. Exit codes: 0 fine, 1 the run failed, 2 bad arguments,
/// 3 a threshold was missed, 130, 143 or 129 ended by Ctrl-C, SIGTERM or SIGHUP, with a partial
/// report; a second Ctrl-C ends at once, without one.
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
        /// For what
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

    /// Open loop: requests per second in total, such as 20k or 0.5, sent whether or not answers
    /// come; without it, closed loop
    #[arg(short = 'R', long, value_name = "PER-SECOND", value_parser = str::parse::<Rate>, group = "open")]
    pub rate: Option<Rate>,

    /// Open loop whose rate changes: in each stage TIME:RATE it moves evenly from the rate before
    /// (zero at first) to RATE. A stage of no time, 0s:RATE, is a jump. For example
    /// 10s:100,30s:5k,10s:0 [default: none]
    #[arg(long, value_name = "TIME:RATE,...", value_parser = str::parse::<Stages>, group = "open", conflicts_with_all = ["duration", "requests"])]
    pub stages: Option<Stages>,

    /// Closed loop: time that a connection waits after each answer before it sends again
    /// [default: none]
    #[arg(long, value_name = "TIME", value_parser = positive_duration, conflicts_with = "open")]
    pub think_time: Option<Duration>,

    /// Open loop at one rate after another, FROM..TO:STEP or FROM..TO*FACTOR (10k..200k:10k,
    /// 1k..100k*2), until --slo is missed twice (without it: achieved>=99%); names the knee. Each
    /// step takes -d [default: 3s] after --warmup [default: 500ms]
    #[arg(long, value_name = "RATES", value_parser = str::parse::<Steps>, group = "open", conflicts_with = "requests")]
    pub sweep: Option<Steps>,

    /// Spacing of the intended send times of an open loop
    #[arg(long, value_enum, default_value = "fixed", requires = "open")]
    pub arrivals: Arrivals,

    /// Open loop: a share of the connections that gets a share of the requests, such as 25%:90%.
    /// The first share is one over a whole number k: every k-th connection is hot, so the hot ones
    /// sit on one shard of a server with k, k/2, ... shards that spreads connections in turn. Needs
    /// -t 1 [default: none]
    #[arg(long, value_name = "SHARE:LOAD", value_parser = str::parse::<Hot>, requires = "open")]
    pub hot: Option<Hot>,

    /// Time after which the hot connections hand over to the next ones [default: never]
    #[arg(long, value_name = "TIME", value_parser = positive_duration, requires = "hot")]
    pub hot_shift: Option<Duration>,

    /// Requests in flight per connection; in an open loop the most of them [default: 1; in an open
    /// loop of echo, raw or WebSocket no limit, of HTTP/2 100 streams]
    #[arg(short = 'P', long, value_name = "COUNT", value_parser = pipeline)]
    pub pipeline: Option<u32>,

    /// Payload of an echo request or of a message, in bytes: one size, or sizes with weights, such
    /// as 64:90,16k:10 [default: 64]
    #[arg(long, value_name = "BYTES")]
    pub size: Option<Sizes>,

    /// Echo: each request asks the server to spend this much CPU time before it answers, as
    /// `server-demo work` does (loadgen/docs/work.md) [default: none]
    #[arg(long, value_name = "TIME", value_parser = work)]
    pub work: Option<Duration>,

    /// Protocol [default: echo; http where TARGET is http://, websocket where it is ws://, raw with
    /// --send]
    #[arg(long, value_enum)]
    pub protocol: Option<ProtocolName>,

    /// HTTP/2 instead of HTTP/1.1: agreed by ALPN with TLS, else spoken from the beginning (prior
    /// knowledge). -P is the most streams of a connection; needs a build with --features http2
    #[arg(long)]
    pub http2: bool,

    /// HTTP: path of the requests [default: the path of TARGET, or /]; repeatable, each with a
    /// weight if given as 9*/path
    #[arg(long = "path", value_name = "PATH", value_parser = weighted_path)]
    pub paths: Vec<WeightedPath>,

    /// HTTP: method [default: GET; POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = method)]
    pub method: Option<String>,

    /// HTTP and WebSocket: header field, such as 'Accept: text/html'; repeatable. It replaces the
    /// field that loadgen sends by itself [default: none]
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub headers: Vec<(String, String)>,

    /// HTTP: body of each request. {counter} becomes a number that differs in all requests,
    /// {random} 16 hexadecimal digits; the same in paths and header
    /// fields [default: none]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub body: Option<String>,

    /// HTTP: file with the body of each request, with the same fields [default: none]
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    pub body_file: Option<PathBuf>,

    /// HTTP: basic authentication; a % is followed by two hexadecimal digits [default: none]
    #[arg(short = 'u', long, value_name = "USER:PASSWORD")]
    pub user: Option<String>,

    /// Encrypt the connections by TLS, as https:// does; needs a build with --features tls
    #[arg(long)]
    pub tls: bool,

    /// TLS: file of certificates to trust, in PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// TLS: accept any certificate
    #[arg(long, conflicts_with = "cacert")]
    pub insecure: bool,

    /// TLS: name that the server's certificate must have, which is sent too [default: that of
    /// TARGET]
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,

    /// Raw: the bytes of each request, with the escapes \r \n \t \0 \\ \xHH [default: none]
    #[arg(long, value_name = "BYTES", value_parser = raw_bytes, requires = "expect", allow_hyphen_values = true)]
    pub send: Option<Arc<[u8]>>,

    /// Raw: the bytes that answer each request, with the same escapes [default: none]
    #[arg(long, value_name = "BYTES", value_parser = raw_bytes, requires = "send", allow_hyphen_values = true)]
    pub expect: Option<Arc<[u8]>>,

    /// Connections that send; the others are served once and then stay idle [default: all]
    #[arg(long, value_name = "COUNT", value_parser = connections)]
    pub active: Option<u32>,

    /// Connections opened per second in total, those that replace others included [default: as fast
    /// as they are served]
    #[arg(long, value_name = "PER-SECOND", value_parser = positive_count)]
    pub connect_rate: Option<u64>,

    /// Requests after which a connection is closed, from this end, and another takes its place
    /// [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = positive_count)]
    pub requests_per_conn: Option<u64>,

    /// Time after which a connection is closed, from this end, and another takes its place; the
    /// first ones go spread over this time [default: the whole run]
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub lifetime: Option<Duration>,

    /// Part of the connections that misbehave, as KIND:SHARE with a share such as 5% or 0.05;
    /// repeatable, or a list with commas. Kinds: slow-read and slow-write (a byte every 10ms),
    /// never-read, half-close, reset. What comes of them is reported apart [default: none]
    #[arg(long, value_name = "KIND:SHARE", value_delimiter = ',')]
    pub bad_clients: Vec<BadShare>,

    /// Time in which a connection must be made, and after which a server that owes an answer counts
    /// as silent; ten times as long without a whole answer is too long also where bytes keep coming
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = positive_duration)]
    pub timeout: Duration,

    /// Go on without connections that fail; by default they are made again after a backoff
    #[arg(long)]
    pub no_reconnect: bool,

    /// End the run at the first failure
    #[arg(long, conflicts_with = "no_reconnect")]
    pub fail_fast: bool,

    /// Start of the run whose results are thrown away [default: 1s with a duration, 0s with -n]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub warmup: Option<Duration>,

    /// Length of an interval of the time series; doubled as often as it takes to have at most 512
    /// of them
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = interval)]
    pub interval: Duration,

    /// Addresses to connect from, in order: the next one when no port of the one before is free
    /// [default: the system's choice; when its ports are used up, further ones of 127.0.0.0/8 for a
    /// target there]
    #[arg(long = "source", value_name = "ADDRESSES", value_delimiter = ',')]
    pub sources: Vec<IpAddr>,

    /// Process whose CPU time and memory are reported as the server's [default: the embedded
    /// server]
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub server_pid: Option<i32>,

    /// I/O surface of the connections
    #[arg(long, value_enum, default_value = "helpers")]
    pub io: IoSurface,

    /// Echo, raw and WebSocket: compare every byte of every answer with what it should be
    /// [default: on]
    #[arg(long, value_enum, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    pub verify: Option<Switch>,

    /// CPUs for the generator's threads: none, auto, or a list such as 0,2
    #[arg(long, value_name = "CPUS", default_value = "none", value_parser = pin)]
    pub pin: Pinning,

    /// Thresholds, such as p99.9<5ms,errors=0; a missed one ends the run with exit code 3. Metrics:
    /// pN, mean, max (latency; after raw. connect. or lag. of that), rate, achieved (percent of the
    /// schedule), errors, unanswered; operators: < <= > >= =
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

    /// TOML file with any of these flags as keys (connections = 9000, slo = "p99<5ms", target =
    /// "HOST:PORT"); what is on the command line wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Run one part of a load on several processes: 2/8 is the second of eight, which opens its
    /// share of the connections and sends its share of the requests; auto takes rank and size from
    /// Slurm, Open MPI or PMI, auto/8 the index of a Kubernetes Job [default: 1/1]
    #[arg(long, value_name = "K/N", value_parser = str::parse::<Part>, conflicts_with_all = ["sweep", "hot"])]
    pub part: Option<Part>,

    /// Moment at which requests begin, after the connections are open: seconds since 1970, such as
    /// $(date -d +20sec +%s) [default: when all connections are served]
    #[arg(long, value_name = "TIME", value_parser = unix_time, conflicts_with = "sweep")]
    pub start_at: Option<Duration>,

    /// Serve the figures of the run at this address for Prometheus, at /metrics [default: none]
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<SocketAddr>,

    /// Also write the histograms of the intervals to FILE while the run goes on, as HdrHistogram
    /// log; a run that is killed leaves those it measured [default: none]
    #[arg(long, value_name = "FILE.hlog", conflicts_with = "sweep")]
    pub log: Option<PathBuf>,

    /// Show no progress
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// A flag that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Do it.
    On,
    /// Leave it.
    Off,
}

/// A protocol by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    /// Bytes that are unique, which the server sends back
    Echo,
    /// HTTP/1.1, on connections that stay open
    Http,
    /// The bytes of --send, answered by those of --expect
    Raw,
    /// Messages over WebSocket, which the server sends back
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
