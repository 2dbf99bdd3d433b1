//! The files of `-o`: the format by the extension, whole or not at all.
//!
//! A file is made before the run, beside its final place and under another name, so that a mistyped path costs no run; when
//! there is something to write it is filled and takes its place. Until then, and after any failure, what was there before
//! stays. Called by `run`, `compare` and `merge`. Tests: at the end of this file and `tests/output.rs`.

use std::fmt;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::report::{Report, csv, hgrm, hlog, html, json};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The whole report for programs.
    Json,
    /// Its figures and the time series as a table.
    Csv,
    /// The percentiles, in the text form of HdrHistogram.
    Hgrm,
    /// The log of interval histograms.
    Hlog,
    /// A page with plots.
    Html,
}

impl Kind {
    /// All of them, with their extensions.
    const ALL: [(&'static str, Self); 5] = [
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("hgrm", Self::Hgrm),
        ("hlog", Self::Hlog),
        ("html", Self::Html),
    ];

    /// What the extension of a path says, where it is among `allowed`.
    ///
    /// # Errors
    /// It is not; a sentence that names those that are.
    pub fn of(path: &Path, allowed: &[Self]) -> Result<Self, String> {
        let extension = path.extension().unwrap_or_default();
        let known = Self::ALL.iter().filter(|(_, kind)| allowed.contains(kind));
        let found = known.clone().find(|(name, _)| extension == *name);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<_> = known.map(|(name, _)| *name).collect();
            let (last, others) = names.split_last().expect("something is allowed");
            format!(
                "-o {}: the extension must be {} or {last}",
                path.display(),
                others.join(", ")
            )
        })
    }

    /// What a run can be written as.
    pub const OF_RUN: [Self; 5] = [Self::Json, Self::Csv, Self::Hgrm, Self::Hlog, Self::Html];
    /// What a sweep can be written as.
    pub const OF_SWEEP: [Self; 2] = [Self::Json, Self::Csv];
    /// What a comparison can be written as.
    pub const OF_COMPARISON: [Self; 3] = [Self::Json, Self::Csv, Self::Html];
}

/// Files that are about to be written. Dropping them leaves everything as it was.
#[derive(Debug)]
pub struct Files {
    files: Vec<(PathBuf, Kind, NamedTempFile)>,
}

impl Files {
    /// Makes sure that each of these can be written.
    ///
    /// # Errors
    /// One cannot; the sentence begins with its path.
    pub fn create(paths: &[PathBuf]) -> Result<Self, String> {
        let create = |path: &PathBuf| {
            let file = beside(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((path.clone(), Kind::of(path, &Kind::OF_RUN)?, file))
        };
        let files = paths.iter().map(create).collect::<Result<_, String>>()?;
        Ok(Self { files })
    }

    /// Writes all of them, also where one fails.
    ///
    /// # Errors
    /// Some failed; a line for each.
    pub fn write(self, content: impl Fn(Kind) -> Vec<u8>) -> Result<(), String> {
        let write = |(path, kind, mut file): (PathBuf, Kind, NamedTempFile)| {
            let written = file
                .write_all(&content(kind))
                .and_then(|()| file.persist(&path).map_err(|error| error.error));
            written
                .err()
                .map(|error| format!("{}: {error}", path.display()))
        };
        let failed: Vec<_> = self.files.into_iter().filter_map(write).collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("\n"))
        }
    }
}

/// A new file in the folder of this path.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // The permissions of any new file, less the umask; by itself the library makes files private.
    tempfile::Builder::new()
        .prefix(".loadgen-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

/// A run's report in one of the formats.
#[must_use]
pub fn render(report: &Report, kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Json => json::render(report).into_bytes(),
        Kind::Csv => csv::render(report).into_bytes(),
        Kind::Hgrm => hgrm::render(report).into_bytes(),
        Kind::Hlog => hlog::render(report).into_bytes(),
        Kind::Html => html::run(report).into_bytes(),
    }
}

/// Prints on standard output. A reader that has seen enough, as in `loadgen | head`, is no failure.
///
/// # Errors
/// Writing failed.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Says something on standard error. Where nobody hears it the run goes on: its result is not there.
pub(crate) fn remark(what: fmt::Arguments<'_>) {
    // One write, so that lines of two processes do not mix.
    let _ = io::stderr().write_all(format!("{what}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_extension_decides() {
        let of = |path: &str, allowed: &[Kind]| Kind::of(Path::new(path), allowed);
        assert_eq!(of("a/b.c.hlog", &Kind::OF_RUN), Ok(Kind::Hlog));
        for path in ["json", "x.txt", "x.", "x.JSON", ""] {
            let message = of(path, &Kind::OF_RUN).expect_err(path);
            assert!(
                message.contains("json, csv, hgrm, hlog or html"),
                "{message}"
            );
        }
        assert!(of("a.hlog", &Kind::OF_COMPARISON).is_err());
    }

    #[test]
    fn a_file_appears_whole_and_only_when_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        let names = || {
            let entries = fs::read_dir(folder.path()).expect("ours");
            entries.count()
        };
        fs::write(&path, "before").expect("ours");
        drop(Files::create(std::slice::from_ref(&path)).expect("can be made"));
        assert_eq!(fs::read_to_string(&path).expect("there"), "before");
        assert_eq!(names(), 1, "nothing is left behind");

        let files = Files::create(std::slice::from_ref(&path)).expect("can be made");
        assert_eq!(fs::read_to_string(&path).expect("there"), "before");
        assert_eq!(files.write(|_| b"after".to_vec()), Ok(()));
        assert_eq!(fs::read_to_string(&path).expect("there"), "after");
        assert_eq!(names(), 1);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        let plain = folder.path().join("plain");
        fs::write(&plain, "").expect("ours");
        assert_eq!(mode(&path), mode(&plain), "as readable as any other file");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = folder.path().join("folder.json");
        fs::create_dir(&taken).expect("ours");
        for path in [taken, folder.path().join("missing/report.json")] {
            let message = Files::create(std::slice::from_ref(&path)).expect_err("no such place");
            assert!(
                message.starts_with(&path.display().to_string()),
                "{message}"
            );
        }
    }
}
