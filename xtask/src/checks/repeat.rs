//! `cargo xtask repeat`: every test program of a package many times in a row, to find tests that
//! fail rarely.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::programs::cleanup::Folder;
use crate::programs::process;

#[derive(Debug, Args)]
pub(crate) struct Repeat {
    /// The number of times that each test program runs
    #[arg(default_value_t = 200)]
    rounds: u32,
    /// The package of the tests
    #[arg(default_value = "shard-asyncfd")]
    package: String,
}

impl Repeat {
    /// # Errors
    /// A test program failed, or took more than a minute.
    pub(crate) fn run(self) -> Result<()> {
        let build = ["test", "--tests", "--no-run", "--package", &self.package];
        let programs = process::executables(&build)?;
        ensure!(
            !programs.is_empty(),
            "{} has no test programs",
            self.package
        );
        // As with cargo test, tests find their files from the package's own folder.
        let home = Command::new("cargo")
            .args(["pkgid", "--package", &self.package])
            .output()?;
        let home = String::from_utf8(home.stdout)?;
        let home = home
            .trim()
            .split_once("file://")
            .context("a package of this workspace")?
            .1;
        let home = home.split('#').next().unwrap_or(home);
        let folder = Folder::new()?;
        for round in 1..=self.rounds {
            for program in &programs {
                let mut command = Command::new(program);
                command.arg("--quiet").current_dir(Path::new(home));
                process::run(folder.path(), Duration::from_secs(60), &[0], &mut command)
                    .with_context(|| format!("round {round}"))?;
            }
        }
        println!(
            "{} rounds of {} test programs passed",
            self.rounds,
            programs.len()
        );
        Ok(())
    }
}
