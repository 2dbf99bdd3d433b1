//! The warning about a blocking descriptor: once per process, in debug builds, and never a panic.
//!
//! The warning concerns a whole process, so the test runs itself in child processes.

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use asyncfd::AsyncFd;
use reactor::Reactor;

/// The variable that selects a child's role.
const ROLE: &str = "ASYNCFD_TEST_ROLE";

/// Runs this program again for the test below, and returns its standard error.
fn child(role: &str) -> String {
    let output = command(role).output().unwrap();
    assert!(output.status.success(), "{role}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["as_a_child", "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::null());
    command
}

#[test]
fn as_a_child() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let reactor = Reactor::builder().shards(1).build().unwrap();
    let _entered = reactor.enter();
    for _ in 0..3 {
        let (a, _b) = UnixStream::pair().unwrap();
        a.set_nonblocking(role == "fine").unwrap();
        match &*role {
            "fine" => {
                let number = AsyncFd::new(a.as_raw_fd()).unwrap();
                drop(number);
                drop(AsyncFd::from_fd(a).unwrap());
            }
            "from_fd" => drop(AsyncFd::from_fd(a).unwrap()),
            "new" => drop(AsyncFd::new(a).unwrap()),
            "new_on" => drop(AsyncFd::new_on(
                reactor.handle(),
                reactor.handle().placement(),
                a,
            )),
            "all" => {
                drop(AsyncFd::new(a.as_raw_fd()).unwrap());
                drop(AsyncFd::from_fd(a).unwrap());
            }
            role => panic!("no such role: {role}"),
        }
    }
}

#[test]
fn a_blocking_descriptor_is_named_once_per_process() {
    let expected = usize::from(cfg!(debug_assertions));
    for role in ["from_fd", "new", "new_on", "all"] {
        if role != "from_fd" && !cfg!(target_os = "linux") {
            continue;
        }
        let text = child(role);
        assert_eq!(
            text.matches("without O_NONBLOCK").count(),
            expected,
            "{role}: {text}"
        );
    }
}

#[test]
fn a_non_blocking_descriptor_is_not_mentioned() {
    let text = child("fine");
    assert!(!text.contains("O_NONBLOCK"), "{text}");
}

#[test]
fn a_warning_that_cannot_be_written_is_no_panic() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let output = command("all").stderr(writer).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
