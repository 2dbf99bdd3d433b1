//! Cases that run whole programs. Each has its own folder, and a failure shows the ends of the
//! files in it.

use std::fs;
use std::path::Path;

use anyhow::Result;
use libtest_mimic::{Completion, Trial};

use crate::programs::cleanup::Folder;

/// The maximum number of lines of a file, and of characters in a line, that a failure shows.
const LINES_MAX: usize = 20;
const LINE_MAX: usize = 200;

/// Returns a case that runs `body` with an empty folder.
pub(crate) fn new(
    name: impl Into<String>,
    body: impl FnOnce(&Path) -> Result<()> + Send + 'static,
) -> Trial {
    if_possible(name, move |folder| {
        body(folder).map(|()| Completion::Completed)
    })
}

/// Returns a case that may not be able to run here.
pub(crate) fn if_possible(
    name: impl Into<String>,
    body: impl FnOnce(&Path) -> Result<Completion> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let folder = Folder::new()?;
        body(folder.path()).map_err(|error| {
            let text = format!("{error:#}\n{}", ends_of_files(folder.path()));
            text.into()
        })
    })
}

fn ends_of_files(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let content = fs::read(entry.path()).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<_> = content.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES_MAX)..] {
            let line: String = line.chars().take(LINE_MAX).collect();
            text += &format!("  {}: {line}\n", entry.file_name().to_string_lossy());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use libtest_mimic::Arguments;

    use super::*;

    #[test]
    fn a_failed_case_fails_the_command() {
        let run = |body: fn(&Path) -> Result<()>| {
            let arguments = Arguments::from_iter(["xtask", "--quiet"]);
            libtest_mimic::run(&arguments, vec![new("case", body)]).has_failed()
        };
        assert!(!run(|_| Ok(())));
        assert!(run(|folder| {
            fs::write(folder.join("server.err"), "words")?;
            anyhow::bail!("it failed")
        }));
    }

    #[test]
    fn a_failure_shows_the_last_lines_of_files() {
        let folder = Folder::new().unwrap();
        let lines: String = (0..30).map(|number| format!("line {number}\n")).collect();
        fs::write(folder.path().join("server.err"), lines).unwrap();
        let text = ends_of_files(folder.path());
        assert_eq!(text.lines().count(), LINES_MAX);
        assert!(text.ends_with("  server.err: line 29\n"), "{text}");
    }
}
