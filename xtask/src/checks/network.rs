//! `cargo xtask network`: a load over a network that loses packets, is slow, breaks, and resets
//! half of the connections.
//!
//! Both programs run in a network namespace of their own, over its loopback device, so nothing else
//! is affected. The fault begins in the middle of a load. Afterwards the server has no connection
//! left, and serves as before.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::programs::cleanup::Folder;
use crate::programs::demo::{self, Programs, Server};
use crate::programs::process;

#[derive(Debug, Args)]
pub(crate) struct Network {
    /// Seconds of each load
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(3..=40))]
    seconds: u64,
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..))]
    connections: u32,
    /// Use the existing build
    #[arg(long)]
    no_build: bool,
    /// Run in this network namespace
    #[arg(long, hide = true)]
    inside: bool,
    /// Run the cases whose names contain this
    filter: Option<String>,
}

/// A fault of the network, under one load.
struct Case {
    name: &'static str,
    /// Makes the fault. The argument is the server's port.
    fault: fn(&str) -> Result<()>,
    /// Options of loadgen.
    load: &'static str,
    /// The server's idle timeout. It is longer than the seconds after which lost packets are sent
    /// again.
    idle_timeout: &'static str,
    /// The exit codes of loadgen that pass.
    codes: &'static [i32],
}

const CASES: [Case; 6] = [
    Case {
        name: "loss-2%",
        fault: |_| lose("0.02"),
        load: "--slo errors=0",
        idle_timeout: "30s",
        codes: &[0],
    },
    Case {
        name: "loss-20%",
        fault: |_| lose("0.2"),
        load: "--slo errors=0",
        idle_timeout: "30s",
        codes: &[0],
    },
    Case {
        name: "slow-link",
        fault: |_| limit("20mbit", "100ms"),
        load: "--slo errors=0 --size 4k",
        idle_timeout: "30s",
        codes: &[0],
    },
    Case {
        name: "full-queue",
        fault: |_| limit("50mbit", "1ms"),
        load: "--slo errors=0 --size 16k",
        idle_timeout: "30s",
        codes: &[0],
    },
    Case {
        name: "outage",
        fault: |_| {
            lose("1")?;
            thread::sleep(Duration::from_secs(2));
            mend()
        },
        load: "--slo errors=0",
        idle_timeout: "30s",
        codes: &[0],
    },
    Case {
        name: RESETS,
        fault: |port| {
            reset_half(port)?;
            thread::sleep(Duration::from_secs(1));
            mend()
        },
        load: "--size 256",
        // A client learns of a reset, and the server may not. It has to end its half by itself.
        idle_timeout: "5s",
        codes: &[0, 1],
    },
];

const RESETS: &str = "reset-half";

impl Network {
    /// # Errors
    /// A tool is missing, a case failed, or no case has such a name.
    pub(crate) fn run(&self) -> Result<()> {
        process::need("ip", "iproute2")?;
        process::need("iptables-legacy", "iptables")?;
        let programs = Programs::get(!self.no_build)?;
        if !self.inside {
            return self.run_inside();
        }
        tool("ip link set lo mtu 1500 up")?;
        let mut cases = 0;
        for case in &CASES {
            if self
                .filter
                .as_ref()
                .is_none_or(|filter| case.name.contains(filter))
            {
                self.run_case(&programs, case).context(case.name)?;
                cases += 1;
            }
        }
        ensure!(cases > 0, "no case has such a name");
        println!("{cases} cases");
        Ok(())
    }

    /// Runs this command again in a new network namespace.
    fn run_inside(&self) -> Result<()> {
        let mut command = Command::new("unshare");
        command.arg("--net").arg(env::current_exe()?);
        command.args(["network", "--inside", "--no-build"]);
        command.args(["--seconds", &self.seconds.to_string()]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(&self.filter);
        let status = command.status()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    fn run_case(&self, programs: &Programs, case: &Case) -> Result<()> {
        let begun = Instant::now();
        let folder = Folder::new()?;
        let command = Command::new(&programs.server);
        let flags = format!(
            "--shards 2 --idle-timeout {} --write-timeout 30s",
            case.idle_timeout
        );
        let server = Server::start(folder.path(), command, &flags)?;
        let open = server.descriptors()?;
        let port = server.address().rsplit(':').next().unwrap_or_default();
        let load = format!(
            "-c {} -d {}s --warmup 0 --timeout 20s --quiet {}",
            self.connections, self.seconds, case.load
        );
        let mut load = programs.load(server.address(), &load);
        let (loaded, broken) = thread::scope(|scope| {
            let breaks = scope.spawn(|| {
                thread::sleep(Duration::from_secs(1));
                (case.fault)(port)
            });
            let loaded = demo::run_load(folder.path(), case.codes, &mut load);
            let broken = breaks.join().expect("a fault does not panic");
            (loaded, broken)
        });
        mend()?;
        broken?;
        loaded?;
        let counts = server.expect_all_closed()?;
        server.expect_descriptors(open)?;
        let failed = counts.get("failed");
        let accepted = counts.get("accepted");
        let has_reconnected = accepted > u64::from(self.connections);
        ensure!(
            case.name != RESETS || has_reconnected,
            "no connection was reset"
        );
        let mut again = programs.load(
            server.address(),
            "-c 20 -n 2000 --warmup 0 --quiet --slo errors=0",
        );
        demo::run_load(folder.path(), &[0], &mut again)?;
        server.stop()?;
        println!(
            "{:<12} {accepted} connections, {failed} failed at the server, {} idle; {:.0?}",
            case.name,
            counts.get("idle"),
            begun.elapsed()
        );
        Ok(())
    }
}

/// Runs a command line, which must succeed.
///
/// # Errors
/// It fails.
pub(crate) fn tool(line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().context("a program")?;
    let output = Command::new(program).args(words).output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {message}");
    Ok(())
}

/// Loses this share of all packets.
fn lose(share: &str) -> Result<()> {
    tool(&format!(
        "iptables-legacy -A INPUT -i lo -m statistic --mode random --probability {share} -j DROP"
    ))
}

/// Limits the rate, with a queue of this duration.
fn limit(rate: &str, queue: &str) -> Result<()> {
    tool(&format!(
        "tc qdisc add dev lo root tbf rate {rate} burst 32k latency {queue}"
    ))
}

/// Answers each packet of half of the connections with a reset. Linux gives clients even ports, so
/// the second bit of a client's port decides. The resets themselves have to pass.
fn reset_half(port: &str) -> Result<()> {
    for (side, client) in [("--dport", "0>>16&2=2"), ("--sport", "0&2=2")] {
        tool(&format!(
            "iptables-legacy -A INPUT -i lo -p tcp {side} {port} ! --tcp-flags RST RST \
             -m u32 --u32 0>>22&0x3C@{client} -j REJECT --reject-with tcp-reset"
        ))?;
    }
    Ok(())
}

/// Ends all faults.
fn mend() -> Result<()> {
    tool("iptables-legacy -F INPUT")?;
    // The command fails if there is no limit to remove.
    let _ = tool("tc qdisc del dev lo root");
    Ok(())
}
