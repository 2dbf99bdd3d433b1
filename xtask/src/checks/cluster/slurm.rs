//! Slurm on this machine: a controller and a node for each part, on the loopback interface.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::programs::process::{Running, eventually, within};

/// The longest time for the nodes to start.
const START: Duration = Duration::from_secs(30);
/// The longest time for a daemon to end.
const END: Duration = Duration::from_secs(3);

/// The running daemons.
#[derive(Debug)]
pub(super) struct Slurm {
    configuration: PathBuf,
    daemons: Vec<Running>,
}

impl Slurm {
    /// Starts munge, the controller and the nodes, and waits until all nodes are idle.
    ///
    /// # Errors
    /// A daemon does not start.
    pub(super) fn start(folder: &Path, name: &str, nodes: usize) -> Result<Self> {
        let configuration = folder.join("cluster/slurm.conf");
        fs::create_dir_all(folder.join("cluster/state"))?;
        let mut slurm = Self {
            configuration,
            daemons: Vec::new(),
        };
        let text = configuration_text(folder, name, nodes)?;
        fs::write(&slurm.configuration, text)?;
        slurm.daemons.push(start_munge(folder)?);
        let mut controller = slurm.command("slurmctld");
        slurm
            .daemons
            .push(Running::start("controller", folder, controller.arg("-D"))?);
        for number in 0..nodes {
            let node = format!("{name}-node{number}");
            fs::create_dir_all(folder.join("cluster").join(&node))?;
            let mut command = slurm.command("slurmd");
            command.args(["-D", "-N", &node]);
            let daemon = Running::start(&format!("node{number}"), folder, &mut command)?;
            slurm.daemons.push(daemon);
        }
        within(START, "all nodes of Slurm are idle", || {
            let mut command = slurm.command("sinfo");
            command.args(["--noheader", "--Node", "--format=%N %T"]);
            let output = command.output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let idle = text.lines().filter(|line| line.ends_with(" idle"));
            Ok(idle.count() == nodes)
        })?;
        Ok(slurm)
    }

    /// Returns a command of this cluster.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", &self.configuration);
        command
    }

    /// Ends the daemons, which end their own children first.
    ///
    /// # Errors
    /// A daemon has ended before.
    pub(super) fn stop(mut self) -> Result<()> {
        for daemon in &mut self.daemons {
            ensure!(!daemon.has_ended()?, "a daemon of Slurm has ended");
        }
        self.terminate();
        Ok(())
    }

    fn terminate(&mut self) {
        for daemon in &self.daemons {
            let _ = daemon.terminate();
        }
        for daemon in &mut self.daemons {
            let _ = daemon.wait(END);
        }
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.terminate();
    }
}

fn start_munge(folder: &Path) -> Result<Running> {
    let folder_of_munge = folder.join("munge");
    fs::create_dir_all(&folder_of_munge)?;
    let file = |name: &str| folder_of_munge.join(name);
    let mut key = vec![0; 1024];
    fastrand::Rng::new().fill(&mut key);
    fs::write(file("key"), key)?;
    fs::set_permissions(file("key"), fs::Permissions::from_mode(0o400))?;
    let mut command = Command::new("munged");
    command.args(["--foreground", "--force", "--num-threads", "2"]);
    command.arg("--key-file").arg(file("key"));
    command.arg("--socket").arg(file("socket"));
    command.arg("--pid-file").arg(file("pid"));
    command.arg("--seed-file").arg(file("seed"));
    let mut munge = Running::start("munge", folder, &mut command)?;
    eventually("munge has its socket", || {
        ensure!(!munge.has_ended()?, "munge ended: {}", munge.err());
        Ok(file("socket").exists())
    })?;
    Ok(munge)
}

fn configuration_text(folder: &Path, name: &str, nodes: usize) -> Result<String> {
    let output = Command::new("hostname").arg("-s").output();
    let host = String::from_utf8(output.context("hostname")?.stdout)?;
    let (host, folder) = (host.trim(), folder.display());
    let port = fastrand::usize(21_000..28_000);
    let names = format!("{name}-node[0-{}]", nodes - 1);
    let ports = format!("{}-{}", port + 1, port + nodes);
    Ok(format!(
        "ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={port}
StateSaveLocation={folder}/cluster/state
SlurmdSpoolDir={folder}/cluster/%n
SlurmctldPidFile={folder}/cluster/controller.pid
SlurmdPidFile={folder}/cluster/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
NodeName={names} NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports}] CPUs=1 State=UNKNOWN
PartitionName=all Nodes={names} Default=YES MaxTime=5 State=UP OverSubscribe=YES
"
    ))
}
