//! What the program reads from outside and keeps to itself, for the fuzz targets in `fuzz/`. There only with `--cfg fuzzing`.

use clap::{ArgMatches, Command, Parser};

use crate::args::Cli;
use crate::{config, target};

/// `--config FILE` with this text, beside a command line that says nothing: flags, and what they mean together.
pub fn config(text: &str) {
    thread_local! {
        static COMMAND: (Command, ArgMatches) = {
            let command = config::definition();
            let matches = command.clone().get_matches_from(["loadgen"]);
            (command, matches)
        };
    }
    let flags = COMMAND.with(|(command, typed)| config::flags(command, typed, text));
    let Ok(flags) = flags else { return };
    let program = "loadgen".to_owned();
    if let Ok(cli) = Cli::try_parse_from([program].into_iter().chain(flags)) {
        let _ = (cli.run.check(), cli.run.protocol());
        let _ = (cli.run.good(1_000), cli.run.bad(1_000));
    }
}

/// A target of the command line.
pub fn target(text: &str) {
    let _ = target::read(text);
}
