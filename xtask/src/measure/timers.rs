//! `cargo xtask timers`: the cost of a million armed timers, in bytes per timer, and in
//! instructions per busy turn compared with none.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Args;

use crate::measure::callgrind::{count, number};
use crate::programs::cleanup::Folder;
use crate::programs::process;

const BYTES_MAX: f64 = 100.0;
const PERCENT_MAX: f64 = 2.0;

#[derive(Debug, Args)]
pub(crate) struct Timers {
    /// Armed timers
    #[arg(default_value_t = 1_000_000)]
    timers: u32,
}

impl Timers {
    /// # Errors
    /// A timer takes too many bytes, or the timers add too much to a turn.
    pub(crate) fn run(self) -> Result<()> {
        let programs = process::executables(&[
            "bench",
            "--no-run",
            "--package",
            "shard-reactor",
            "--bench",
            "armed_timers",
        ])?;
        let [program] = &programs[..] else {
            anyhow::bail!("cargo built {programs:?}");
        };
        let folder = Folder::new()?;
        let (none, _) = per_turn(folder.path(), program, 0)?;
        println!("instructions_per_turn_no_timer {none:.1}");
        let (one, _) = per_turn(folder.path(), program, 1)?;
        println!("instructions_per_turn_one_timer {one:.1}");
        let (all, bytes) = per_turn(folder.path(), program, self.timers)?;
        println!("instructions_per_turn_all_timers {all:.1}");
        let percent = (all - none) * 100.0 / none;
        println!("percent_more_per_turn {percent:.2}");
        println!("bytes_per_timer {bytes}");
        ensure!(
            bytes > 0.0 && bytes <= BYTES_MAX && percent <= PERCENT_MAX,
            "at most {BYTES_MAX} bytes and {PERCENT_MAX}% were allowed"
        );
        Ok(())
    }
}

/// Returns the instructions of a turn and the bytes of a timer. The difference between two runs is
/// the cost of the additional rounds.
fn per_turn(folder: &Path, program: &Path, timers: u32) -> Result<(f64, f64)> {
    let run = |rounds: &str| {
        count(
            folder,
            program,
            &["--timers", &timers.to_string(), "--rounds", rounds],
        )
    };
    let (few, many) = (run("50")?, run("350")?);
    let turns = number(&many.out, "turns")? - number(&few.out, "turns")?;
    let instructions = many.instructions - few.instructions;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_turn = instructions as f64 / turns;
    let bytes = if timers == 0 {
        0.0
    } else {
        number(&many.out, "bytes_per_timer")?
    };
    Ok((per_turn, bytes))
}
