//! The command line of the demo server: flags, output, exit codes. The server itself is in the
//! library.
//!
//! Exit codes: 0 after a drain, 1 when the run failed, 2 for bad arguments.

#![forbid(unsafe_code)]

#[cfg(feature = "observe")]
mod top;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

#[cfg(feature = "observe")]
use asyncfd::observe::{Address, Observe, Observed};
use clap::{Parser, Subcommand};
#[cfg(feature = "observe")]
use reactor::Metric;
use reactor::{Handle, Pinning, ShutdownError};
use server_demo::shutdown::{Request, Signal, Signals};
use server_demo::units::{UnitError, parse_count, parse_duration, parse_size};
use server_demo::{AcceptPolicy, Config, IoSurface, Server, Service, limits, parse_pinning};

const FAILED: u8 = 1;
const BAD_ARGUMENTS: u8 = 2;

/// A TCP server on the sharded reactor.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends back what it receives, byte for byte.
    ///
    /// Prints `listening on ADDR` when it is ready. SIGINT and SIGTERM end it: it stops accepting,
    /// lets connections finish, and prints a summary per shard. A second signal ends it at once.
    /// SIGUSR1 prints the same summary while it runs. Durations are ns, us, ms, s, m or h; a bare
    /// number is seconds. Counts take k and m.
    Echo(Echo),

    /// Spends CPU time for each request, then sends it back.
    ///
    /// A request has the size that --size sets. It starts with a little-endian 32-bit number, the
    /// time in microseconds. The load generator sends such requests with --work. This server starts
    /// and ends like echo.
    Work(Work),

    /// Shows a running server in the terminal: shards, the slowest tasks, stalls.
    ///
    /// It reads the endpoint of a server that runs with --observe, or of any program with
    /// asyncfd's `observe`.
    #[cfg(feature = "observe")]
    Top(top::Top),

    /// Serves web pages, for load generators and browsers.
    ///
    /// HTTP/1 and HTTP/2 on one port. GET / has a fixed answer, GET /size/N has N bytes, and POST
    /// /json parses a document and sends it back. This server starts and ends like echo. Before it
    /// ends, it answers the requests that are under way.
    #[cfg(feature = "http")]
    Http(Web),
}

#[derive(Debug, clap::Args)]
struct Echo {
    #[command(flatten)]
    common: Common,

    /// Surface of AsyncFd that serves connections
    #[arg(long, value_enum, default_value_t)]
    io: IoSurface,

    /// Close a connection on which no byte moves for this long [default: never]
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    idle_timeout: Option<Duration>,

    /// Cut off a connection whose peer takes longer than this to read an answer of up to 16 KiB
    /// [default: never]
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    write_timeout: Option<Duration>,
}

#[derive(Debug, clap::Args)]
struct Work {
    #[command(flatten)]
    common: Common,

    /// Bytes of a request and of its answer
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = parse_request_size)]
    size: usize,
}

#[cfg(feature = "http")]
#[derive(Debug, clap::Args)]
struct Web {
    #[command(flatten)]
    common: Common,

    /// Bytes of the answer to GET / [default: that of a greeting]
    #[arg(long, value_name = "BYTES", value_parser = parse_request_size)]
    size: Option<usize>,

    /// Serve over TLS, with a certificate for localhost that the server signs itself
    #[arg(long)]
    tls: bool,

    /// Close a connection on which no byte moves for this long [default: never]
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    idle_timeout: Option<Duration>,

    /// Close a connection whose peer takes no byte of an answer for this long [default: never]
    #[arg(long, value_name = "D", value_parser = parse_duration)]
    write_timeout: Option<Duration>,
}

/// The flags of every service.
#[derive(Debug, clap::Args)]
struct Common {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7777")]
    listen: SocketAddr,

    /// Number of shard threads [default: one per CPU this process may use, or per CPU in --pin;
    /// fewer under a CPU limit]
    #[arg(long, value_name = "N")]
    shards: Option<usize>,

    /// CPUs of the shards: auto (pins them if they fill the CPUs), none, or a list such as 0,2 or
    /// 0-3
    #[arg(long, value_name = "CPUS", default_value = "auto", value_parser = parse_pinning)]
    pin: Pinning,

    /// Policy that spreads connections over the shards: reuseport, hash, round-robin, least-loaded,
    /// hybrid or exclusive
    #[arg(long, value_name = "POLICY", default_value_t)]
    accept: AcceptPolicy,

    /// Keep each connection on the shard where it starts
    #[arg(long)]
    local: bool,

    /// Let idle shards run ready connections of busy ones: on or off. It has no effect with --local
    #[arg(
        long,
        value_name = "on|off",
        default_value = "on",
        value_parser = parse_switch,
        action = clap::ArgAction::Set
    )]
    stealing: bool,

    /// Maximum number of open connections; further ones are closed at once [default: no limit]
    #[arg(long, value_name = "N", value_parser = parse_connections)]
    max_connections: Option<usize>,

    /// Serve /metrics, /shards, /tasks and /healthz over HTTP on this address or Unix socket path,
    /// and measure tasks and polls for them
    #[cfg(feature = "observe")]
    #[arg(long, value_name = "ADDR|PATH")]
    observe: Option<Address>,

    /// Time that connections get to finish when the server ends
    #[arg(long, value_name = "D", default_value = "5s", value_parser = parse_duration)]
    drain: Duration,
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("use 'on' or 'off'".to_owned()),
    }
}

fn parse_connections(text: &str) -> Result<usize, UnitError> {
    // A number beyond `usize` means no limit.
    parse_count(text).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

fn parse_request_size(text: &str) -> Result<usize, UnitError> {
    parse_size(text).map(|size| usize::try_from(size).unwrap_or(usize::MAX))
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Echo(flags) => {
            let config = Config {
                io: flags.io,
                idle_timeout: flags.idle_timeout,
                write_timeout: flags.write_timeout,
                ..Config::default()
            };
            serve(flags.common, config)
        }
        #[cfg(feature = "observe")]
        Command::Top(flags) => top::run(&flags).map(|()| ExitCode::SUCCESS),
        Command::Work(flags) => {
            let config = Config {
                service: Service::Work { size: flags.size },
                ..Config::default()
            };
            serve(flags.common, config)
        }
        #[cfg(feature = "http")]
        Command::Http(flags) => serve_http(flags),
    };
    ended.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &io::Error) -> ExitCode {
    say(format_args!("{error}"));
    let bad_arguments = error.kind() == io::ErrorKind::InvalidInput;
    ExitCode::from(if bad_arguments { BAD_ARGUMENTS } else { FAILED })
}

impl Common {
    /// Puts these flags into a configuration.
    fn fill(&self, config: Config) -> Config {
        Config {
            listen: self.listen,
            shards: self.shards,
            pinning: self.pin.clone(),
            accept: self.accept,
            local: self.local,
            stealing: self.stealing,
            max_connections: self.max_connections,
            #[cfg(feature = "observe")]
            observed: self.observe.is_some(),
            notice: |text| say(format_args!("{text}")),
            ..config
        }
    }
}

fn serve(flags: Common, config: Config) -> io::Result<ExitCode> {
    raise_limit();
    let (accept, io) = (flags.accept, config.io);
    let server = Server::start(flags.fill(config))?;
    warn(server.warnings());
    let shards = server.handle().shards().len();
    say(format_args!("{shards} shards, accept {accept}, io {io}"));
    #[cfg(feature = "observe")]
    let _observed = observe(&flags, server.handle(), server.metrics_source())?;
    let show = || server.stats().to_string();
    let signal = until_end(server.handle(), server.local_addr(), show)?;
    ends(signal, server.stats().total().live, flags.drain);
    let summary = server.shutdown(flags.drain);
    let _ = write!(io::stdout(), "{}", summary.stats);
    Ok(code(summary.stuck))
}

#[cfg(feature = "http")]
fn serve_http(flags: Web) -> io::Result<ExitCode> {
    use asyncfd::serve::Stats;
    use server_demo::http;

    fn show(stats: &Stats) -> String {
        let [accepted, live, failed, timed_out, over_limit] = [
            stats.total(|shard| shard.accepted),
            stats.total(|shard| shard.live),
            stats.total(|shard| shard.failed),
            stats.total(|shard| shard.timed_out),
            stats.total(|shard| shard.over_limit),
        ];
        format!(
            "connections: {accepted} accepted, {live} live, {failed} failed, {timed_out} timed out, \
             {over_limit} over the limit\n"
        )
    }

    raise_limit();
    let common = &flags.common;
    let web = http::Web {
        size: flags.size,
        tls: flags.tls,
        idle_timeout: flags.idle_timeout,
        write_timeout: flags.write_timeout,
    };
    let server = http::WebServer::start(&common.fill(Config::default()), &web)?;
    warn(server.warnings());
    let (shards, accept) = (server.handle().shards().len(), common.accept);
    say(format_args!("{shards} shards, accept {accept}"));
    #[cfg(feature = "observe")]
    let _observed = observe(common, server.handle(), server.metrics_source())?;
    let running = server.running();
    let now = || show(&running.stats());
    let signal = until_end(server.handle(), running.local_addr(), now)?;
    ends(
        signal,
        running.stats().total(|shard| shard.live),
        common.drain,
    );
    let (stats, stuck) = server.shutdown(common.drain);
    let _ = write!(io::stdout(), "{}", show(&stats));
    Ok(code(stuck))
}

fn raise_limit() {
    match limits::raise_nofile() {
        Ok(limit) => say(format_args!("{limit}")),
        Err(error) => say(format_args!(
            "the descriptor limit stays at {}: {error}",
            limits::nofile()
        )),
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        say(format_args!("warning: {warning}"));
    }
}

/// Opens the endpoint, if a flag names its address.
#[cfg(feature = "observe")]
fn observe(
    flags: &Common,
    handle: &Handle,
    source: impl Fn() -> Vec<Metric> + Send + Sync + 'static,
) -> io::Result<Option<Observed>> {
    let Some(address) = &flags.observe else {
        return Ok(None);
    };
    let observed = Observe::new(handle).metrics(source).listen(address)?;
    say(format_args!("observe on {}", observed.address()));
    Ok(Some(observed))
}

/// Prints that the server listens, and prints its counters at each SIGUSR1. Returns the signal that
/// ends it.
fn until_end(handle: &Handle, addr: SocketAddr, show: impl Fn() -> String) -> io::Result<Signal> {
    let mut signals = Signals::catch(handle)?;
    // The reader of standard output may have closed it. That is no reason to stop serving.
    let _ = writeln!(io::stdout(), "listening on {addr}");
    loop {
        match handle.block_on(signals.wait())? {
            Request::End(signal) => return Ok(signal),
            _ => {
                let _ = write!(io::stdout(), "{}", show());
            }
        }
    }
}

fn ends(signal: Signal, live: u64, drain: Duration) {
    say(format_args!(
        "{signal}: no longer accepting; {live} connections may take {drain:?} to finish"
    ));
}

fn code(stuck: Option<ShutdownError>) -> ExitCode {
    match stuck {
        None => ExitCode::SUCCESS,
        Some(stuck) => {
            say(format_args!("{stuck}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints a message to the operator on standard error. Standard output is for lines that scripts
/// read.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "server-demo: {text}");
}
