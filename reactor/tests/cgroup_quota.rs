//! The limit of a real cgroup. It needs the right to make cgroups, as root has it; without it, the
//! test only says so. A program of its own, since a child of it joins the cgroup.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;

use reactor::Reactor;
use rustix::thread::{CpuSet, sched_getaffinity};

/// Set for the child: the file that it writes its process number to.
const JOIN: &str = "REACTOR_TEST_JOIN_CGROUP";

/// A cgroup that goes when this is dropped. Its processes must have ended.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a cgroup with a limit of `time_us` in 100 ms, in either version.
    fn with_limit(time_us: u64) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for line in mounts.lines() {
            let Some((mount, filesystem)) = line.split_once(" - ") else {
                continue;
            };
            let point = Path::new(mount.split(' ').nth(4).expect("a mount has a point"));
            let made = if filesystem.starts_with("cgroup2 ") {
                Self::make(point, |new| {
                    fs::write(new.join("cpu.max"), format!("{time_us} 100000"))
                })
            } else if filesystem.starts_with("cgroup ") {
                Self::make(point, |new| {
                    fs::write(new.join("cpu.cfs_period_us"), "100000")?;
                    fs::write(new.join("cpu.cfs_quota_us"), time_us.to_string())
                })
            } else {
                continue;
            };
            match made {
                Ok(cgroup) => return Ok(cgroup),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn make(point: &Path, limit: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Self> {
        let new = Self(point.join(format!("reactor-test-{}", process::id())));
        fs::create_dir(&new.0)?;
        // Without the CPU controller the files do not exist and cannot be made.
        limit(&new.0)?;
        Ok(new)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel may still count a process that has ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Prints the default reactor of a process inside the cgroup: shards, pinned shards, warnings.
fn report_from_inside(join: &str) {
    fs::write(join, "0").unwrap();
    let reactor = Reactor::new().unwrap();
    let shards = &reactor.handle().metrics().shards;
    let pinned = shards.iter().filter(|shard| shard.cpu.is_some()).count();
    println!(
        "report {} {pinned} {}",
        shards.len(),
        reactor.warnings().join("; ")
    );
}

fn report_under(time_us: u64) -> io::Result<String> {
    let cgroup = Cgroup::with_limit(time_us)?;
    let output = Command::new(env::current_exe()?)
        .args(["--nocapture", "--exact", "a_real_limit_lowers_the_default"])
        .env(JOIN, cgroup.0.join("cgroup.procs"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = text.lines().find_map(|line| {
        line.split_once("report ")
            .map(|(_, report)| report.to_owned())
    });
    Ok(report.unwrap_or_else(|| panic!("no report: {output:?}")))
}

#[test]
fn a_real_limit_lowers_the_default() {
    if let Ok(join) = env::var(JOIN) {
        return report_from_inside(&join);
    }
    let set = sched_getaffinity(None).unwrap();
    let cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).count();
    if cpus < 2 {
        eprintln!("skipped: this process has a single CPU");
        return;
    }
    let half = match report_under(50_000) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("skipped: no cgroup can be made here: {error}");
            return;
        }
    };
    assert_eq!(
        half,
        format!(
            "1 0 a cgroup limits this process to 0.5 of its {cpus} CPUs, so the reactor has 1 shard"
        )
    );
    // Rounded up: as many shards as CPUs on a machine with two. The limit still binds, so no pins.
    let most = report_under(100_000 * cpus as u64 - 50_000).unwrap();
    assert_eq!(most, format!("{cpus} 0 "));
    let all = report_under(100_000 * cpus as u64).unwrap();
    assert_eq!(all, format!("{cpus} {cpus} "));
}
