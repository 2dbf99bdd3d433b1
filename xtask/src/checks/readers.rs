//! `cargo xtask readers`: independent programs read loadgen's .hlog and .hgrm files, and find the
//! values of its JSON in them. hdrhistogram (PyPI) and HistogramLogProcessor (Debian) read the log,
//! hdr-plot (PyPI) the percentiles.
//!
//! `readers/readers.py` compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rustix::process::Signal;

use crate::Cases;
use crate::checks::trial;
use crate::programs::demo::Programs;
use crate::programs::process::{self, PATIENCE, Running};
use crate::programs::python;
use crate::programs::server::Server;

const JAR: &str = "/usr/share/java/hdrhistogram.jar";
/// The longest time for one program.
const LIMIT: Duration = Duration::from_secs(300);
const COMPARES: &str = "checks/readers/readers.py";

#[derive(Debug, Args)]
pub(crate) struct Readers {
    /// Length of a load
    #[arg(long, value_name = "D", default_value = "1s")]
    duration: String,
    #[command(flatten)]
    cases: Cases,
}

/// Writes reports of this name.
type Body = fn(&Case, &str) -> Result<()>;

struct Case {
    programs: Programs,
    duration: String,
    folder: PathBuf,
}

impl Readers {
    /// # Errors
    /// A program is missing, or the build fails.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let arguments = self.cases.arguments();
        if !arguments.list {
            process::need("java", "default-jre-headless")?;
            ensure!(
                Path::new(JAR).exists(),
                "{JAR} is needed: install the package 'libhdrhistogram-java'"
            );
        }
        let programs = Programs::get(!self.cases.no_build && !arguments.list)?;
        let cases: [(&str, Body); 3] = [("closed", closed), ("open", open), ("merged", merged)];
        let trials = cases.into_iter().map(|(name, body)| {
            let (programs, duration) = (programs.clone(), self.duration.clone());
            trial::new(name, move |folder| {
                let folder = folder.to_owned();
                let case = Case {
                    programs,
                    duration,
                    folder,
                };
                body(&case, name)?;
                case.check(name)
            })
        });
        Ok(libtest_mimic::run(&arguments, trials.collect()).exit_code())
    }
}

impl Case {
    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{name}.{extension}"))
    }

    fn run(&self, command: &mut Command) -> Result<String> {
        Ok(process::run(&self.folder, LIMIT, &[0], command)?.out)
    }

    /// Adds the options that write all three files.
    fn outputs(&self, name: &str, command: &mut Command) {
        for extension in ["json", "hgrm", "hlog"] {
            command.arg("-o").arg(self.file(name, extension));
        }
    }

    /// Runs a load against loadgen's own server.
    fn load(&self, name: &str, options: &str) -> Result<()> {
        let mut load = Command::new(&self.programs.loadgen);
        load.args(["-c", "50", "-d", &self.duration, "--warmup", "100ms", "-q"]);
        load.args(options.split_whitespace());
        self.outputs(name, &mut load);
        self.run(&mut load)?;
        Ok(())
    }

    /// Compares the results of the three readers on the files of this name with its JSON.
    fn check(&self, name: &str) -> Result<()> {
        let hdrhistogram = python::environment("hdrhistogram", &["hdrhistogram==0.10.8"])?;
        // hdr-plot imports pkg_resources, which newer versions of setuptools no longer have.
        let hdr_plot = python::environment("hdr-plot", &["setuptools==65.5.0", "hdr-plot==0.6.2"])?;
        let file = |extension: &str| self.file(name, extension);
        let (hgrm, png) = (file("hgrm"), file("png"));
        let mut plot = Command::new(hdr_plot.join("python"));
        plot.arg(hdr_plot.join("hdr-plot"))
            .arg("--output")
            .arg(&png);
        self.run(plot.arg(&hgrm))
            .context("hdr-plot does not read the .hgrm")?;
        ensure!(fs::metadata(png)?.len() > 0, "hdr-plot drew nothing");
        let mut rows = python::script(&hdr_plot, COMPARES);
        fs::write(file("rows"), self.run(rows.arg("hgrm").arg(hgrm))?)?;
        let mut java = Command::new("java");
        java.args(["-cp", JAR, "org.HdrHistogram.HistogramLogProcessor", "-i"]);
        fs::write(file("java"), self.run(java.arg(file("hlog")))?)?;
        let mut check = python::script(&hdrhistogram, COMPARES);
        check.arg("check");
        check.args(["json", "hlog", "rows", "java"].map(file));
        let said = self.run(&mut check).context("a reader disagrees")?;
        ensure!(said.contains("figures of"), "nothing was compared: {said}");
        println!("{name}: {}", said.trim());
        Ok(())
    }
}

fn closed(case: &Case, name: &str) -> Result<()> {
    case.load(name, "")
}

fn open(case: &Case, name: &str) -> Result<()> {
    case.load(name, "-R 5k --arrivals poisson")
}

/// Two processes load one server at once.
fn merged(case: &Case, name: &str) -> Result<()> {
    let mut command = Command::new(&case.programs.server);
    command.args(["echo", "--listen", "127.0.0.1:0"]);
    let server = Server::start("server", &case.folder, &mut command)?;
    let parts = ["a", "b"];
    let start = |part: &str| {
        let line = format!("-c 20 -d {} -R 1k -q -o", case.duration);
        let mut load = case.programs.load(server.address(), &line);
        load.arg(case.file(part, "json"));
        Running::start(part, &case.folder, &mut load)
    };
    let loads: Vec<_> = parts.into_iter().map(start).collect::<Result<_>>()?;
    for mut load in loads {
        load.succeeds(LIMIT)?;
    }
    server.stop(Signal::TERM, PATIENCE)?;
    let mut merge = Command::new(&case.programs.loadgen);
    merge
        .arg("merge")
        .args(parts.map(|part| case.file(part, "json")));
    case.outputs(name, &mut merge);
    case.run(&mut merge)?;
    Ok(())
}
