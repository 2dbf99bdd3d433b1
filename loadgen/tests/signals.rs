//! Signals to a run with an embedded server: the first one leaves a partial report, the second one
//! ends the run at once, and no child outlives its parent.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Running, command, start, start_command, wait_until};
use loadgen::report::Status;

/// The embedded server of a running program.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended, even if its parent has not collected it.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(status.expect("kill is there").success());
}

/// Waits until a newly started program has this many descriptors, and returns its embedded server.
fn wait_for_load(pid: u32, more_than: usize) -> u32 {
    // Before its child exists, the process may still be a copy of this one, with all our
    // descriptors.
    wait_until("the embedded server", || child_of(pid).is_some());
    wait_until("the load", || descriptors(pid) > more_than);
    child_of(pid).expect("it was there")
}

#[test]
fn the_first_signal_gives_the_partial_report() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let running = start("-c 100 -d 50 --warmup 0 --format json");
        let pid = running.pid();
        let child = wait_for_load(pid, 100);
        signal(pid, name);
        let run = running.finish().expect_code(code);
        let report = run.report();
        assert_eq!(report.outcome.status, Status::Interrupted);
        assert!(report.elapsed_s < 50.0);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        wait_until("the child's end", || !is_alive(child));
    }
}

#[test]
fn a_signal_during_the_ramp_ends_it() {
    let running = start("-c 1000 --connect-rate 50 -d 50");
    let pid = running.pid();
    // Without connections, there are about a dozen.
    wait_for_load(pid, 25);
    signal(pid, "INT");
    let run = running.finish().expect_code(130);
    assert!(run.stdout.contains("Interrupted"), "{run:#?}");
}

#[test]
fn the_server_ends_when_its_parent_is_killed() {
    let running = start("-c 100 -d 50");
    let pid = running.pid();
    let child = wait_for_load(pid, 60);
    signal(pid, "KILL");
    let run = running.finish();
    assert_eq!(run.code, None);
    wait_until("the child's end", || !is_alive(child));
}

#[test]
fn a_server_that_dies_fails_the_run() {
    let running = start("-c 100 -d 50 --format json");
    let pid = running.pid();
    let child = wait_for_load(pid, 60);
    signal(child, "KILL");
    let run = running
        .finish()
        .expect_code(1)
        .expect_message("the embedded server ended with signal");
    assert_eq!(run.report().outcome.status, Status::Failed);
}

/// Returns the number of descriptors of a process.
fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A stopped server, as an example of a process that hangs. Its drop kills it, because it holds the
/// other end of a pipe that the test reads.
struct Stopped(u32);

impl Stopped {
    fn new(server: u32) -> Self {
        signal(server, "STOP");
        Self(server)
    }

    fn go_on(self) {
        signal(self.0, "CONT");
        std::mem::forget(self);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = Command::new("kill")
            .args(["-KILL", &self.0.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

/// Starts a run that writes a file, and signals it twice while it waits for the end of its stopped
/// server.
fn signal_twice(path: &Path, name: &str) -> (Running, Stopped) {
    let path = path.display();
    let running = start(&format!("-c 100 -d 50 --warmup 0 --format json -o {path}"));
    let pid = running.pid();
    let server = Stopped::new(wait_for_load(pid, 100));
    signal(pid, name);
    wait_until("the end of the load", || descriptors(pid) < 60);
    signal(pid, name);
    (running, server)
}

#[test]
fn another_ctrl_c_ends_at_once_and_leaves_no_file() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        fs::write(&path, "before").expect("ours");
        let (running, server) = signal_twice(&path, name);
        wait_until("the end", || !is_alive(running.pid()));
        drop(server);
        let run = running.finish().expect_code(code);
        assert_eq!(run.stdout, "", "there was no time for a report");
        // The run waits up to 20 seconds for a server that does not end.
        assert!(run.took < Duration::from_secs(15), "{:?}", run.took);
        assert_eq!(fs::read_to_string(&path).expect("ours"), "before");
        assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 1);
    }
}

#[test]
fn a_terminal_that_closes_may_say_so_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let (running, server) = signal_twice(&path, "HUP");
    server.go_on();
    let run = running.finish().expect_code(129);
    assert_eq!(run.report().outcome.status, Status::Interrupted);
    assert_eq!(fs::read_to_string(&path).expect("written"), run.stdout);
}

#[test]
fn a_run_under_nohup_goes_on_without_its_terminal() {
    let program = command("-c 100 -d 1 --warmup 0 --format json");
    let mut deaf = Command::new("sh");
    deaf.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]);
    deaf.arg(program.get_program()).args(program.get_args());
    let running = start_command(deaf);
    wait_for_load(running.pid(), 100);
    signal(running.pid(), "HUP");
    let report = running.finish().expect_code(0).report();
    assert_eq!(report.outcome.status, Status::Ok);
}
