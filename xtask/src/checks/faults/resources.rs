//! Descriptors and memory that run out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Case, Mode};
use crate::programs::demo::Server;
use crate::programs::process::Running;

const LIMIT: Duration = Duration::from_secs(60);

/// The descriptor limit of a running server drops to its number of open descriptors. Existing
/// connections are served, no thread spins, and accepting resumes afterwards.
pub(super) fn no_descriptors(case: &Case, mode: Mode) -> Result<()> {
    let server = case.server(&mode.arguments())?;
    let open = server.descriptors()?;
    let start = |name: &str, arguments: &str| {
        let mut command = case.programs.load(server.address(), arguments);
        Running::start(name, case.folder(), command.arg("--quiet"))
    };
    let inside = "-c 20 -R 200 -d 2500ms --warmup 0 --slo unanswered=0,errors=0,kept=100";
    let mut inside = start("inside", inside)?;
    server.expect_counts(&[("live", 20)])?;
    limit_descriptors(&server, lowest_free_descriptor(&server))?;
    let mut waiting = start("waiting", "-c 10 -n 10 --timeout 20s")?;
    server.reports("accepting pauses")?;
    let ticks = server.cpu_ticks()?;
    thread::sleep(Duration::from_secs(1));
    let ticks = server.cpu_ticks()? - ticks;
    ensure!(
        ticks <= 15,
        "{ticks} hundredths of a second of CPU time in a second of want"
    );
    let live = server.counts()?.get("live");
    ensure!(live == 20, "{live} connections where 20 had descriptors");
    limit_descriptors(&server, 1000)?;
    waiting.succeeds(LIMIT)?;
    inside.succeeds(LIMIT)?;
    server.expect_counts(&[("accepted", 30), ("closed", 30), ("live", 0), ("failed", 0)])?;
    server.expect_descriptors(open)?;
    server.stop()?;
    Ok(())
}

/// A server with this limit can open nothing more.
fn lowest_free_descriptor(server: &Server) -> u64 {
    let folder = PathBuf::from(format!("/proc/{}/fd", server.id()));
    let is_free = |number: &u64| fs::symlink_metadata(folder.join(number.to_string())).is_err();
    (0..).find(is_free).unwrap_or_default()
}

fn limit_descriptors(server: &Server, soft: u64) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(server.id())?);
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: Some(soft),
        maximum,
    };
    prlimit(pid, Resource::Nofile, limit)?;
    Ok(())
}

/// Many clients that never read cost one buffer each. They fit into a memory limit that would kill
/// an unbounded server.
pub(super) fn no_memory(case: &Case, io: &str) -> Result<Option<&'static str>> {
    let Some(group) = MemoryGroup::new("16M") else {
        return Ok(Some("the memory of a cgroup cannot be limited here"));
    };
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ >"$0/cgroup.procs"; exec "$@""#]);
    command.arg(&group.0).arg(&case.programs.server);
    let server = Server::start(case.folder(), command, &format!("--shards 1 --io {io}"))?;
    let load = "-c 220 --size 16k -d 1500ms --warmup 0 --bad-clients never-read:90%";
    case.load(&server, 0, load)?;
    server.expect_counts(&[("live", 0), ("accepted", 220)])?;
    server.stop()?;
    Ok(None)
}

/// A control group with a limit of memory. Dropping it removes the group.
#[derive(Debug)]
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(limit: &str) -> Option<Self> {
        let mut roots = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ]
        .into_iter();
        let (root, file) = roots
            .find(|(root, file)| *file == "memory.max" || Path::new(root).join(file).exists())?;
        let name = format!("xtask-faults-{}-{}", std::process::id(), fastrand::u32(..));
        let group = Self(Path::new(root).join(name));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(file), limit).ok()?;
        Some(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The group may have a process for a moment after its end.
        for _ in 0..20 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
