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
use asyncfd::observe::{Address, Observe};
use clap::{Parser, Subcommand};
use reactor::Pinning;
use server_demo::shutdown::{Request, Signals};
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
    /// A request has the size of --size and starts with a little-endian 32-bit number, the time in
    /// microseconds. The load generator sends such requests with --work. It starts and ends as echo
    /// does.
    Work(Work),

    /// Shows a running server in the terminal: shards, the slowest tasks, stalls.
    ///
    /// It reads the endpoint of a server that runs with --observe, or of any program with
    /// asyncfd's `observe`.
    #[cfg(feature = "observe")]
    Top(top::Top),
}

#[derive(Debug, clap::Args)]
struct Echo {
    #[command(flatten)]
    common: Common,

    /// Surface of AsyncFd that serves connections: helpers, guards or poll
    #[arg(long, value_name = "SURFACE", default_value_t)]
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

/// The flags of every service.
#[derive(Debug, clap::Args)]
struct Common {
    /// Address to listen on; port 0 takes a free one
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

    /// Maximum number of open connections; more are closed at once [default: no limit]
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
    let (common, config) = match Cli::parse().command {
        Command::Echo(flags) => {
            let config = Config {
                io: flags.io,
                idle_timeout: flags.idle_timeout,
                write_timeout: flags.write_timeout,
                ..Config::default()
            };
            (flags.common, config)
        }
        #[cfg(feature = "observe")]
        Command::Top(flags) => {
            return match top::run(&flags) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            };
        }
        Command::Work(flags) => {
            let config = Config {
                service: Service::Work { size: flags.size },
                ..Config::default()
            };
            (flags.common, config)
        }
    };
    serve(common, config).unwrap_or_else(|error| fail(&error))
}

fn fail(error: &io::Error) -> ExitCode {
    say(format_args!("{error}"));
    let bad_arguments = error.kind() == io::ErrorKind::InvalidInput;
    ExitCode::from(if bad_arguments { BAD_ARGUMENTS } else { FAILED })
}

fn serve(flags: Common, config: Config) -> io::Result<ExitCode> {
    match limits::raise_nofile() {
        Ok(limit) => say(format_args!("{limit}")),
        Err(error) => say(format_args!(
            "the descriptor limit stays at {}: {error}",
            limits::nofile()
        )),
    }
    let (accept, io) = (flags.accept, config.io);
    let server = Server::start(Config {
        listen: flags.listen,
        shards: flags.shards,
        pinning: flags.pin,
        accept,
        local: flags.local,
        stealing: flags.stealing,
        max_connections: flags.max_connections,
        #[cfg(feature = "observe")]
        observed: flags.observe.is_some(),
        notice: |text| say(format_args!("{text}")),
        ..config
    })?;
    for warning in server.warnings() {
        say(format_args!("warning: {warning}"));
    }
    let signals = Signals::catch(server.handle())?;
    say(format_args!(
        "{} shards, accept {accept}, io {io}",
        server.handle().shards().len()
    ));
    #[cfg(feature = "observe")]
    let _observed = match &flags.observe {
        None => None,
        Some(address) => {
            let observe = Observe::new(server.handle()).metrics(server.metrics_source());
            let observed = observe.listen(address)?;
            say(format_args!("observe on {}", observed.address()));
            Some(observed)
        }
    };
    // The reader of standard output may have closed it. That is no reason to stop serving.
    let _ = writeln!(io::stdout(), "listening on {}", server.local_addr());

    let signal = loop {
        match server.handle().block_on(signals.wait())? {
            Request::End(signal) => break signal,
            _ => {
                let _ = write!(io::stdout(), "{}", server.stats());
            }
        }
    };
    let live = server.stats().total().live;
    say(format_args!(
        "{signal}: no longer accepting; {live} connections may take {:?} to finish",
        flags.drain
    ));
    let summary = server.shutdown(flags.drain);
    let _ = write!(io::stdout(), "{}", summary.stats);
    match summary.stuck {
        None => Ok(ExitCode::SUCCESS),
        Some(stuck) => {
            say(format_args!("{stuck}"));
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// Prints a message to the operator on standard error. Standard output is for lines that scripts
/// read.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "server-demo: {text}");
}
