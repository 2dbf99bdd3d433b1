//! Stopped processes, and clients that misbehave.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{Case, Mode, expect_answer};
use crate::programs::process::Running;

/// The duration of a stop that clients and servers survive.
const STOP: Duration = Duration::from_millis(300);

fn steady_load(case: &Case, address: &str) -> Result<Running> {
    let arguments = "-c 20 -R 500 -d 1s --warmup 0 --slo unanswered=0,errors=0 --quiet";
    Running::start(
        "load",
        case.folder(),
        &mut case.programs.load(address, arguments),
    )
}

/// If the server is stopped for a while, clients see only a delay.
pub(super) fn stopped_server(case: &Case, mode: Mode) -> Result<()> {
    let server = case.server(&mode.arguments())?;
    let mut load = steady_load(case, server.address())?;
    server.expect_counts(&[("live", 20)])?;
    server.signal(Signal::STOP)?;
    thread::sleep(STOP);
    server.signal(Signal::CONT)?;
    load.succeeds(Duration::from_secs(60))?;
    server.expect_counts(&[("accepted", 20), ("closed", 20), ("live", 0), ("failed", 0)])?;
    server.stop()?;
    Ok(())
}

/// A generator that was stopped completes its run.
pub(super) fn stopped_client(case: &Case, mode: Mode) -> Result<()> {
    let server = case.server(&mode.arguments())?;
    let mut load = steady_load(case, server.address())?;
    server.expect_counts(&[("live", 20)])?;
    load.signal(Signal::STOP)?;
    thread::sleep(STOP);
    load.signal(Signal::CONT)?;
    load.succeeds(Duration::from_secs(60))?;
    server.expect_counts(&[("accepted", 20), ("closed", 20), ("live", 0), ("failed", 0)])?;
    server.stop()?;
    Ok(())
}

/// Misbehaving clients beside others: the others are served completely, and timeouts cut off the
/// misbehaving ones.
pub(super) fn bad_clients(case: &Case, mode: Mode) -> Result<()> {
    let timeouts = "--write-timeout 300ms --idle-timeout 5s";
    let server = case.server(&format!("{} {timeouts}", mode.arguments()))?;
    let open = server.descriptors()?;
    let load = "-c 100 -d 1s --warmup 0 --size 4k --slo unanswered=0,errors=0 --bad-clients \
                slow-read:10%,slow-write:10%,never-read:10%,half-close:10%,reset:10%";
    case.load(&server, 0, load)?;
    server.expect_all_closed()?;
    server.expect_descriptors(open)?;
    server.stop()?;
    Ok(())
}

/// Clients open many connections and send nothing on them, or one byte now and then. The idle
/// timeout ends the former, the latter stay, and neither costs CPU time.
pub(super) fn slowloris(case: &Case, mode: Mode) -> Result<()> {
    let server = case.server(&format!("{} --idle-timeout 500ms", mode.arguments()))?;
    let mut client = server.connect()?;
    let silent: Vec<_> = (0..30).map(|_| server.connect()).collect::<Result<_>>()?;
    let ticks = server.cpu_ticks()?;
    for _ in 0..12 {
        client.write_all(b"x")?;
        expect_answer(&client, "x")?;
        thread::sleep(Duration::from_millis(100));
    }
    let ticks = server.cpu_ticks()? - ticks;
    server.expect_counts(&[("live", 1), ("idle", 30), ("accepted", 31)])?;
    ensure!(
        ticks <= 10,
        "{ticks} hundredths of a second of CPU time for 31 quiet connections"
    );
    drop(silent);
    server.stop()?;
    Ok(())
}
