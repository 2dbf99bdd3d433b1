//! `--config FILE`: flags from a TOML file, under the same names. The command line wins.
//!
//! A key is a long flag without its dashes (or `target`). Its value becomes the text that a user
//! would type after the flag, so one parser reads both, with the same checks and messages. `true`
//! means a flag without a value, or `on`. A list repeats a flag that may be repeated; for any other
//! flag it is joined with commas. A key is ignored if the command line has its flag, or a flag that
//! contradicts it. Called by `cli.rs`. Tests: `config/tests.rs` and `tests/config.rs`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, Parser};
use toml::de::{DeTable, DeValue};

use crate::cli::args::Cli;
use crate::exit_error::ExitError;

/// The least similarity of a suggested name, by the measure that clap uses for flags.
const ALIKE: f64 = 0.7;

/// Returns the arguments of this process, with those of its config file.
///
/// Ends the process as clap does: after `--help`, and with code 2 if the command line cannot be
/// read.
///
/// # Errors
/// The file cannot be read, is not TOML, or names something that is not a flag.
pub(crate) fn parse() -> Result<Cli, ExitError> {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let command = definition();
    let Some((file, matches)) = config_of(&command, &typed) else {
        return Ok(Cli::parse_from(typed));
    };
    let name = file.display();
    let text =
        fs::read_to_string(&file).map_err(|error| ExitError::run(format!("{name}: {error}")))?;
    let flags = flags(&command, &matches, &text)
        .map_err(|problem| ExitError::arguments(format!("{}:{problem}", name)))?;
    let mut all = typed.clone();
    all.splice(1..1, flags.into_iter().map(OsString::from));
    Cli::try_parse_from(all).map_err(|error| {
        // The command line itself is wrong, or asks for help. clap prints the message and ends the
        // process.
        if let Err(typed) = Cli::try_parse_from(&typed) {
            typed.exit();
        }
        let rendered = error.render().to_string();
        let problem = rendered.trim_start_matches("error: ").trim_end();
        ExitError::arguments(format!("{name}: {problem}"))
    })
}

/// Returns the command with its groups built. Before that, clap does not know which flags exclude
/// each other.
pub(crate) fn definition() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// Returns the config file that the command line names, and the other arguments, even if they are
/// incomplete.
fn config_of(command: &Command, typed: &[OsString]) -> Option<(PathBuf, ArgMatches)> {
    // The file may provide a flag that another flag requires. A request for help is not ignored: it
    // comes first.
    let lenient = command.clone().ignore_errors(true);
    let matches = lenient.try_get_matches_from(typed).ok()?;
    let file = matches.get_one::<PathBuf>("config")?.clone();
    Some((file, matches))
}

/// Returns the file's text as flags, without those that the command line overrides. An error begins
/// with its line number.
pub(crate) fn flags(
    command: &Command,
    typed: &ArgMatches,
    text: &str,
) -> Result<Vec<String>, String> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        format!("{line}: {}", error.message())
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut flags = Vec::new();
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let at = |problem: String| format!("{}: {problem}", line_of(text, key.span().start));
        let Some(arg) = find(command, name) else {
            return Err(at(unknown(command, name)));
        };
        if gives_way(command, typed, arg) {
            continue;
        }
        let values = values(arg, value.get_ref()).map_err(|what| at(format!("{name}: {what}")))?;
        for value in values {
            flags.push(match (arg.get_long(), value) {
                (None, value) => value.unwrap_or_default(),
                (Some(flag), None) => format!("--{flag}"),
                (Some(flag), Some(value)) => format!("--{flag}={value}"),
            });
        }
    }
    Ok(flags)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Returns the key of an argument: its long flag, or the name of the positional argument.
fn key(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_else(|| arg.get_id().as_str())
}

/// Returns the arguments that a file may set.
fn settable(command: &Command) -> impl Iterator<Item = &Arg> {
    let ours = |arg: &&Arg| !["config", "help", "version"].contains(&arg.get_id().as_str());
    command.get_arguments().filter(ours)
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    settable(command).find(|arg| key(arg) == name)
}

fn unknown(command: &Command, name: &str) -> String {
    let alike = |arg: &Arg| strsim::jaro_winkler(key(arg), &name.replace('_', "-"));
    let nearest = settable(command)
        .map(|arg| (alike(arg), key(arg)))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, key)) if likeness > ALIKE => {
            format!("unknown key `{name}`; did you mean `{key}`?")
        }
        _ => format!("unknown key `{name}`; the keys are the long flags of `loadgen --help`"),
    }
}

/// Returns true if the command line has this argument, or one that excludes it.
fn gives_way(command: &Command, typed: &ArgMatches, arg: &Arg) -> bool {
    let conflicts = |a: &Arg, b: &Arg| {
        let named = command.get_arg_conflicts_with(a);
        let one_of_a_group = command.get_groups().any(|group| {
            let members: Vec<_> = group.get_args().collect();
            !group.clone().is_multiple()
                && members.contains(&a.get_id())
                && members.contains(&b.get_id())
        });
        named.iter().any(|one| one.get_id() == b.get_id()) || one_of_a_group
    };
    settable(command)
        .filter(|one| typed.value_source(one.get_id().as_str()) == Some(ValueSource::CommandLine))
        .any(|one| one.get_id() == arg.get_id() || conflicts(one, arg) || conflicts(arg, one))
}

/// Returns the values to type after the flag, one for each time the flag is repeated, or `None` if
/// the value has no such text.
fn values(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<Option<String>>, String> {
    let takes_values = arg.get_action().takes_values();
    let text = match value {
        DeValue::Boolean(on) if !takes_values => {
            return Ok(if *on { vec![None] } else { Vec::new() });
        }
        DeValue::Array(list) => {
            let list = list
                .iter()
                .map(|value| plain(arg, value.get_ref()))
                .collect::<Result<Vec<_>, _>>()?;
            if matches!(arg.get_action(), ArgAction::Append) {
                return Ok(list.into_iter().map(Some).collect());
            }
            list.join(",")
        }
        value => plain(arg, value)?,
    };
    if !takes_values {
        return Err(format!("{text:?} is neither true nor false"));
    }
    Ok(vec![Some(text)])
}

fn plain(arg: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    let has = |name| {
        arg.get_possible_values()
            .iter()
            .any(|one: &PossibleValue| one.matches(name, false))
    };
    Ok(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(true) if has("on") => "on".to_owned(),
        DeValue::Boolean(false) if has("off") => "off".to_owned(),
        DeValue::Boolean(other) => other.to_string(),
        other => return Err(format!("a flag takes no {}", other.type_str())),
    })
}

#[cfg(test)]
mod tests;
