//! Virtual environments with packages of Python, made once, in the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::programs::process;

/// The longest time for a download.
const LIMIT: Duration = Duration::from_secs(300);

/// A lock: cases that need the same environment wait for each other.
static MAKING: Mutex<()> = Mutex::new(());

/// Returns the programs of an environment with these packages, such as `websockets==17.4`.
///
/// # Errors
/// Python or the packages are missing.
pub(crate) fn environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    process::need("python3", "python3")?;
    let folder = std::path::absolute(process::target_folder().join("readers").join(name))?;
    let (programs, complete) = (folder.join("bin"), folder.join("complete"));
    let packages_line = packages.join(" ");
    if fs::read_to_string(&complete).is_ok_and(|made| made == packages_line) {
        return Ok(programs);
    }
    need_venv()?;
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let run = |command: &mut Command| process::run(&folder, LIMIT, &[0], command);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut install = Command::new(programs.join("pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    run(install.args(packages)).with_context(|| format!("pip install {packages_line}"))?;
    fs::write(complete, packages_line)?;
    Ok(programs)
}

fn need_venv() -> Result<()> {
    let mut command = Command::new("python3");
    command.args(["-c", "import ensurepip, venv"]);
    ensure!(
        command.stderr(Stdio::null()).status()?.success(),
        "python3 has no venv: install the package 'python3-venv'"
    );
    Ok(())
}

/// Returns a command that runs a Python file of this package, with a Python of these programs.
pub(crate) fn script(programs: &Path, file: &str) -> Command {
    let mut command = Command::new(programs.join("python"));
    command.arg(process::source(file));
    command
}

/// The package that speaks WebSocket.
pub(crate) const WEBSOCKETS: &str = "websockets==17.4";
