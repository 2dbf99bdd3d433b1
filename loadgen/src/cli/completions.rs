//! Shell completions and the manual page, from the same definitions as the command line itself.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::args::{Cli, CompletionsFor};

/// Returns the output of `completions`.
#[must_use]
pub fn render(what: CompletionsFor) -> Vec<u8> {
    let shell = match what {
        CompletionsFor::Bash => Shell::Bash,
        CompletionsFor::Elvish => Shell::Elvish,
        CompletionsFor::Fish => Shell::Fish,
        CompletionsFor::Powershell => Shell::PowerShell,
        CompletionsFor::Zsh => Shell::Zsh,
        CompletionsFor::Man => return man(),
    };
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut visible(), "loadgen", &mut out);
    out
}

/// Returns the command line without hidden subcommands. The generators omit hidden flags, but not
/// hidden subcommands.
fn visible() -> Command {
    let all = Cli::command();
    let shown: Vec<_> = all
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .cloned()
        .collect();
    // clap cannot remove a subcommand, so this builds the command again without the hidden ones.
    let empty = Command::new("loadgen")
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .long_about(all.get_long_about().cloned().unwrap_or_default())
        .args_conflicts_with_subcommands(true)
        .args(all.get_arguments().cloned())
        .groups(all.get_groups().cloned());
    empty.subcommands(shown)
}

/// Returns one manual page for the program and its subcommands.
fn man() -> Vec<u8> {
    let write = || -> std::io::Result<Vec<u8>> {
        let mut command = visible();
        command.build();
        let mut out = Vec::new();
        let page = Man::new(command.clone());
        page.render_title(&mut out)?;
        page.render_name_section(&mut out)?;
        page.render_synopsis_section(&mut out)?;
        page.render_description_section(&mut out)?;
        page.render_options_section(&mut out)?;
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            if name == "help" {
                continue;
            }
            let about = subcommand.get_about().map(ToString::to_string);
            let mut roff = Roff::new();
            roff.control("SH", [format!("loadgen {name}").as_str()]);
            roff.text([roman(about.unwrap_or_default())]);
            roff.to_writer(&mut out)?;
            let mut options = Vec::new();
            Man::new(subcommand.clone()).render_options_section(&mut options)?;
            // The options in a subcommand's section need no heading.
            let options = String::from_utf8_lossy(&options);
            out.extend(options.replacen(".SH OPTIONS\n", "", 1).bytes());
        }
        Ok(out)
    };
    write().expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn everything_a_person_can_type_is_in_all_of_them() {
        for what in CompletionsFor::value_variants() {
            let text = String::from_utf8(render(*what)).expect("text");
            // In a manual page, `\-` is a hyphen at which no line is broken.
            let text = text.replace('\\', "");
            for word in [
                "connect-rate",
                "compare",
                "calibrate",
                "server-pid",
                "completions",
            ] {
                assert!(text.contains(word), "{word} is not in {what:?}");
            }
            assert!(
                !text.contains("embedded-server"),
                "{what:?}: not for people"
            );
        }
    }
}
