//! `cargo xtask cluster`: one load divided among several processes, by GNU parallel and by Slurm,
//! whose reports are merged. The manifest of the Kubernetes Job is checked against the schema of
//! its kind (kubernetes-validate, PyPI).
//!
//! Each part has a network namespace of its own, joined to the server's by a pair of virtual
//! interfaces, and may open fewer connections than the server sees.

mod net;
mod slurm;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Arguments;

use crate::checks::report::{Count, Report};
use crate::checks::trial;
use crate::programs::demo::Programs;
use crate::programs::process::{self, eventually};
use crate::programs::python;
use crate::programs::server::Server;
use net::{Networks, SERVER};
use slurm::Slurm;

const PARTS: usize = 4;
const CONNECTIONS: u64 = 2_000;
const RATE: u64 = 2_000;
const SECONDS: u64 = 2;
/// The descriptor limit: enough for the 500 connections of a part, but too few for all of them.
const DESCRIPTORS: u32 = 700;
/// The longest time for all parts together.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the cases that the arguments of a test program choose.
///
/// # Errors
/// A program is missing, the user is not root, or the build fails.
pub(crate) fn run(build: bool, mut arguments: Arguments) -> Result<ExitCode> {
    // The parts begin at the same second, so no other case may take CPU time from them.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    if !arguments.list {
        ensure!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root"
        );
        for (program, package) in [
            ("ip", "iproute2"),
            ("parallel", "parallel"),
            ("slurmctld", "slurm-wlm"),
            ("slurmd", "slurmd"),
            ("srun", "slurm-client"),
            ("munged", "munge"),
        ] {
            process::need(program, package)?;
        }
    }
    let programs = Programs::get(build && !arguments.list)?;
    let divided: [(&str, Body); 3] = [
        ("one process alone", one_process_alone),
        ("GNU parallel", gnu_parallel),
        ("Slurm", slurm),
    ];
    let mut trials = vec![
        trial::new("Kubernetes: the manifest is a Job", the_manifest_is_a_job),
        trial::new("Kubernetes: a misspelt field", a_field_that_no_job_has),
    ];
    trials.extend(divided.into_iter().map(|(name, body)| {
        let programs = programs.clone();
        trial::new(name, move |folder| body(&Site::new(folder, programs)?))
    }));
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

type Body = fn(&Site) -> Result<()>;

const MANIFEST: &str = "loadgen/docs/kubernetes-job.yaml";

/// Runs kubernetes-validate on a manifest, which must end with this code.
fn validate(folder: &Path, manifest: &Path, code: i32) -> Result<()> {
    let programs = python::environment("kubernetes", &["kubernetes-validate==1.37.0"])?;
    let mut command = Command::new(programs.join("kubernetes-validate"));
    command.args(["--strict", "--quiet"]).arg(manifest);
    process::run(folder, LIMIT, &[code], &mut command)?;
    Ok(())
}

fn the_manifest_is_a_job(folder: &Path) -> Result<()> {
    validate(folder, Path::new(MANIFEST), 0)
}

/// The schema rejects it.
fn a_field_that_no_job_has(folder: &Path) -> Result<()> {
    let manifest = fs::read_to_string(MANIFEST)?;
    let wrong = manifest.replace("completionMode", "completionMood");
    ensure!(wrong != manifest, "the manifest has no completionMode");
    let file = folder.join("wrong.yaml");
    fs::write(&file, wrong)?;
    validate(folder, &file, 1)
}

/// A running server with the networks of its parts.
#[derive(Debug)]
struct Site {
    folder: PathBuf,
    programs: Programs,
    _server: Server,
    networks: Networks,
}

impl Site {
    fn new(folder: &Path, programs: Programs) -> Result<Self> {
        // Slurm's daemons drop some of their privileges.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let networks = Networks::new(PARTS)?;
        let mut command = networks.in_server();
        let (_, port) = SERVER.split_once(':').context("a port")?;
        command.arg(&programs.server).arg("echo");
        command.args(["--listen", &format!("0.0.0.0:{port}")]);
        let server = Server::start("server", folder, &mut command)?;
        let folder = folder.to_owned();
        Ok(Self {
            folder,
            programs,
            _server: server,
            networks,
        })
    }

    /// Writes the command of a part, which runs in the namespace of its number. Its arguments are
    /// this number, the second at which all parts start, the part for loadgen, and the folder for
    /// reports.
    fn part_command(&self) -> Result<PathBuf> {
        let file = self.folder.join("part");
        let (prefix, loadgen) = (self.networks.prefix(), self.programs.loadgen.display());
        let text = format!(
            "#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec ip netns exec {prefix}-$1 {loadgen} {SERVER} \
             -c {CONNECTIONS} -R {RATE} -d {SECONDS}s --warmup 0 --timeout 20s \
             --start-at $2 --part $3 -o $4 -q\n"
        );
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        Ok(file)
    }

    /// Makes the folder for the reports of the parts.
    fn reports(&self) -> Result<PathBuf> {
        let folder = self.folder.join("reports");
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Runs all parts by this command, and checks their sum and the connections of the server.
    fn divide(&self, name: &str, command: &mut Command) -> Result<()> {
        let done = AtomicBool::new(false);
        let most = thread::scope(|scope| {
            let watcher = scope.spawn(|| -> Result<usize> {
                let mut most = 0;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(self.networks.count_served()?);
                    thread::sleep(Duration::from_millis(100));
                }
                Ok(most)
            });
            let ended = process::run(&self.folder, LIMIT, &[0], command);
            done.store(true, Ordering::Relaxed);
            let most = watcher.join().ok().context("the watcher panicked")?;
            ended.with_context(|| name.to_owned())?;
            most
        })?;
        eventually("the server has no connection", || {
            Ok(self.networks.count_served()? == 0)
        })?;
        self.check_sum()?;
        ensure!(
            most as u64 == CONNECTIONS,
            "the server's kernel saw {most} connections instead of {CONNECTIONS}"
        );
        self.check_missing_part()
    }

    fn merge(&self, codes: &[i32], options: &[&Path]) -> Result<process::Ended> {
        let mut merge = Command::new(&self.programs.loadgen);
        merge.arg("merge").arg(self.folder.join("reports"));
        merge.args(options);
        process::run(&self.folder, LIMIT, codes, &mut merge)
    }

    /// The merged reports are those of the whole load.
    fn check_sum(&self) -> Result<()> {
        let sum = self.folder.join("sum.json");
        self.merge(&[0], &[Path::new("-o"), &sum])?;
        let sum = Report::read(&sum)?;
        sum.is(Count::Requested, CONNECTIONS)?;
        sum.is(Count::Served, CONNECTIONS)?;
        sum.is(Count::Scheduled, RATE * SECONDS)?;
        sum.is(Count::Answered, RATE * SECONDS)?;
        let errors = sum.errors()?;
        ensure!(errors.is_empty(), "the sum has errors: {errors:?}");
        Ok(())
    }

    /// Without one part, merging fails and names it.
    fn check_missing_part(&self) -> Result<()> {
        let reports = fs::read_dir(self.folder.join("reports"))?.flatten();
        let is_second = |name: &str| name.starts_with("part-2-of-") && name.ends_with(".json");
        let mut second = reports.filter(|entry| entry.file_name().to_str().is_some_and(is_second));
        let second = second.next().context("no file of part 2")?.path();
        fs::remove_file(second)?;
        let merged = self.merge(&[1, 2], &[])?;
        let said = merged.out + &merged.err;
        ensure!(
            said.contains(&format!("2/{PARTS}")),
            "merge does not name part 2: {said}"
        );
        Ok(())
    }
}

/// Returns the time that is this many seconds ahead, in seconds since 1970.
fn second_after(seconds: u64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok((now + seconds).to_string())
}

/// A single process has too few descriptors for the whole load.
fn one_process_alone(site: &Site) -> Result<()> {
    let line = format!(
        "ulimit -n {DESCRIPTORS}; exec ip netns exec {}-0 {} {SERVER} -c {CONNECTIONS} -n 1 -q",
        site.networks.prefix(),
        site.programs.loadgen.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line]);
    let said = process::run(&site.folder, LIMIT, &[1, 2], &mut command)?.err;
    ensure!(
        said.contains("descriptors"),
        "it failed for another reason: {said}"
    );
    Ok(())
}

fn gnu_parallel(site: &Site) -> Result<()> {
    let part = site.part_command()?;
    let mut command = Command::new("parallel");
    command.args(["--will-cite", "--jobs", &PARTS.to_string()]);
    command.arg(part).args(["{}", &second_after(4)?]);
    command.arg(format!("{{= $_ += 1 =}}/{PARTS}"));
    command.arg(site.reports()?).arg(":::");
    command.args((0..PARTS).map(|part| part.to_string()));
    site.divide("GNU parallel", &mut command)
}

fn slurm(site: &Site) -> Result<()> {
    let slurm = Slurm::start(&site.folder, site.networks.prefix(), PARTS)?;
    let parts = PARTS.to_string();
    let mut command = slurm.command("srun");
    command.args(["--nodes", &parts, "--ntasks", &parts, "--chdir", "/"]);
    command.args(["sh", "-c", r#""$0" "$SLURM_PROCID" "$1" auto "$2""#]);
    command.arg(site.part_command()?);
    command.arg(second_after(5)?).arg(site.reports()?);
    site.divide("Slurm", &mut command)?;
    slurm.stop()
}
