//! System calls of a server that fail, are interrupted, come late or return wrong results.

use std::io::Write as _;

use anyhow::{Result, ensure};

use super::{Case, Mode, expect_answer};
use crate::programs::process::eventually;
use crate::programs::strace::Strace;

const FIVE_BAD: &str =
    "--bad-clients slow-read:10%,slow-write:10%,never-read:10%,half-close:10%,reset:10%";

/// Checks that clients are served as usual under a fault, and that nothing is left behind.
pub(super) fn unnoticed(case: &Case, fault: &str, mode: Mode) -> Result<()> {
    serves_as_usual(case, &case.strace(&[fault]), mode, &[])
}

/// The same for faults that strike only calls on descriptors of this path.
pub(super) fn unnoticed_on_path(case: &Case, fault: &str, mode: Mode, path: &str) -> Result<()> {
    serves_as_usual(case, &case.strace(&[fault]).on_path(path), mode, &[])
}

/// Accepting pauses and resumes by itself, the operator gets a message, and clients notice nothing.
pub(super) fn pauses(case: &Case, fault: &str, mode: Mode) -> Result<()> {
    let reports = ["accepting pauses and will be tried again"];
    serves_as_usual(case, &case.strace(&[fault]), mode, &reports)
}

fn serves_as_usual(case: &Case, faults: &Strace, mode: Mode, reports: &[&str]) -> Result<()> {
    let server = case.struck_server(faults, &mode.arguments())?;
    let open = server.descriptors()?;
    case.load(&server, 0, "-c 20 -n 600")?;
    server.expect_counts(&[
        ("accepted", 20),
        ("closed", 20),
        ("live", 0),
        ("failed", 0),
        ("cut off", 0),
    ])?;
    server.expect_descriptors(open)?;
    for report in reports {
        server.reports(report)?;
    }
    server.stop()?;
    faults.struck()?;
    Ok(())
}

/// Each failed call costs its connection and no other. `counted` tells if the server counts it as a
/// failure.
pub(super) fn costs_connections(case: &Case, fault: &str, mode: Mode, counted: bool) -> Result<()> {
    let faults = case.strace(&[fault]);
    let server = case.struck_server(&faults, &mode.arguments())?;
    let open = server.descriptors()?;
    let load = "-c 20 -d 300ms --warmup 0 --no-reconnect --format json";
    let report = case.load(&server, 1, load)?.out;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let kinds = ["errors", "errors_outside"].map(|when| report[when].as_array());
    let kinds = kinds.into_iter().flatten().flatten();
    let lost: u64 = kinds.filter_map(|kind| kind["count"].as_u64()).sum();
    let struck = faults.struck()? as u64;
    ensure!(
        lost == struck,
        "{struck} calls were struck, and {lost} connections lost"
    );
    // The faults are over.
    case.load(&server, 0, "-c 20 -n 200")?;
    server.expect_counts(&[
        ("accepted", 40),
        ("closed", 40),
        ("live", 0),
        ("failed", if counted { struck } else { 0 }),
        ("cut off", 0),
    ])?;
    server.expect_descriptors(open)?;
    server.stop()?;
    Ok(())
}

/// A socket that cannot be registered is closed and counted, and leaves nothing behind. A loadgen
/// that loses connections before it has opened all of them gives up.
pub(super) fn refuses_connections(case: &Case, fault: &str, mode: Mode) -> Result<()> {
    let faults = case.strace(&[fault]);
    let server = case.struck_server(&faults, &mode.arguments())?;
    let open = server.descriptors()?;
    // Each shard counts its own faults. This many connections use them up in both shards.
    case.load(&server, 1, "-c 60 -d 300ms --warmup 0 --no-reconnect")?;
    let failed = server.expect_counts(&[("live", 0)])?.get("failed");
    let refused = faults.struck_with("EPOLL_CTL_ADD")? as u64;
    ensure!(refused > 0, "no socket was refused");
    ensure!(
        failed == refused,
        "{refused} sockets were refused, and {failed} connections failed"
    );
    server.expect_descriptors(open)?;
    // The faults are over.
    case.load(&server, 0, "-c 20 -n 200")?;
    server.expect_counts(&[("live", 0), ("failed", refused)])?;
    server.expect_all_closed()?;
    server.expect_descriptors(open)?;
    server.stop()?;
    Ok(())
}

/// No new event follows an injected EAGAIN. The client's next bytes bring one, and with it all owed
/// answers. The first call gets no fault, because the main thread makes one when it has to end.
pub(super) fn forged_eagain(case: &Case, call: &str, io: &str) -> Result<()> {
    let faults = case.strace(&[&format!("{call}:error=EAGAIN:when=2")]);
    let server = case.struck_server(&faults, &format!("--shards 1 --io {io}"))?;
    let mut client = server.connect()?;
    client.write_all(b"zero")?;
    expect_answer(&client, "zero")?;
    client.write_all(b"one")?;
    await_strike(&faults, "")?;
    client.write_all(b"+two")?;
    expect_answer(&client, "one+two")?;
    drop(client);
    server.stop_with(&[("accepted", 1), ("closed", 1), ("live", 0), ("failed", 0)])
}

/// Waits until a call with this text in it was struck.
fn await_strike(faults: &Strace, text: &str) -> Result<()> {
    eventually("the call is made", || Ok(faults.struck_with(text)? > 0))
}

/// A connection that a false error of accept leaves in the queue is accepted with the next one.
pub(super) fn forged_eagain_of_accept(case: &Case, accept: &str) -> Result<()> {
    let faults = case.strace(&["accept4:error=EAGAIN:when=1"]);
    let server = case.struck_server(&faults, &format!("--shards 1 --accept {accept}"))?;
    let mut first = server.connect()?;
    await_strike(&faults, "")?;
    let mut second = server.connect()?;
    second.write_all(b"second")?;
    expect_answer(&second, "second")?;
    first.write_all(b"first")?;
    expect_answer(&first, "first")?;
    server.stop()?;
    Ok(())
}

/// A call reports 10 sent bytes, but sent none. The server sends the rest, complete and in order.
pub(super) fn short_write(case: &Case, io: &str) -> Result<()> {
    let faults = case.strace(&["sendto:retval=10:when=1"]);
    let server = case.struck_server(&faults, &format!("--shards 1 --io {io}"))?;
    let mut client = server.connect()?;
    client.write_all(b"0123456789abcdefghijklmnopqrstuvwxyz")?;
    // The main thread's first call is struck too, long before.
    await_strike(&faults, "0123")?;
    // After a short send, the server treats the socket as full and waits for its next event. This
    // causes one.
    client.write_all(b"+")?;
    expect_answer(&client, "abcdefghijklmnopqrstuvwxyz+")?;
    server.stop()?;
    Ok(())
}

/// A socket takes nothing, without an error: the server tries again.
pub(super) fn write_of_nothing(case: &Case, io: &str) -> Result<()> {
    let faults = case.strace(&["sendto:retval=0:when=1"]);
    let server = case.struck_server(&faults, &format!("--shards 1 --io {io}"))?;
    let mut client = server.connect()?;
    client.write_all(b"kept")?;
    expect_answer(&client, "kept")?;
    drop(client);
    server.stop_with(&[("accepted", 1), ("closed", 1), ("live", 0), ("failed", 0)])?;
    faults.struck()?;
    Ok(())
}

/// All faults at once, and misbehaving clients.
pub(super) fn storm(case: &Case, mode: Mode) -> Result<()> {
    let faults = case.strace(&[
        "accept4:error=EMFILE:when=3+7",
        "recvfrom:error=EINTR:when=1+5",
        "epoll_wait:error=EINTR:when=1+3",
        "setsockopt:error=EINVAL:when=9+3",
        "futex:delay_enter=500:when=1+2",
        "close:delay_exit=300:when=1+5",
    ]);
    let arguments = format!("{} --write-timeout 500ms", mode.arguments());
    let server = case.struck_server(&faults, &arguments)?;
    let open = server.descriptors()?;
    let load = format!("-c 40 -d 1s --warmup 0 --requests-per-conn 50 {FIVE_BAD}");
    case.load(&server, 0, &load)?;
    server.expect_all_closed()?;
    server.expect_descriptors(open)?;
    server.stop()?;
    faults.struck()?;
    Ok(())
}

/// A shard can no longer wait for events. The server reports it, the shard's connections end, and
/// the process still ends on request.
pub(super) fn lost_epoll(case: &Case) -> Result<()> {
    let faults = case.strace(&["epoll_wait:error=EBADF:when=20+1"]);
    let server = case.struck_server(&faults, "--shards 1 --accept hash")?;
    case.load(
        &server,
        1,
        "-c 5 -d 500ms --warmup 0 --timeout 1s --no-reconnect",
    )?;
    server.reports("cannot wait for events any more")?;
    let (status, _) = server.end()?;
    ensure!(!status.success(), "the server ended as if all was well");
    faults.struck()?;
    Ok(())
}
