//! The files of `-o`. The extension determines the format. A file is written completely or not at
//! all.
//!
//! A temporary file is created before the run, in the folder of the final path, so a mistyped path
//! fails before the run. At the end the file is filled and renamed. Until then, and after any
//! failure, an older file keeps its content. A symbolic link is followed. A device or a FIFO cannot
//! be replaced, and is refused. `run`, `compare` and `merge` call it; `signals.rs` ends a process
//! that has unfinished files. Tests: at the end of this file, `tests/output.rs` and
//! `tests/signals.rs`.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use parking_lot::{Mutex, MutexGuard};
use tempfile::NamedTempFile;

use crate::exit_error::ExitError;
use crate::report::data::Report;
use crate::report::sweep::Sweep;
use crate::report::{csv, hgrm, hlog, html, json, sweep_table, text};

/// The maximum number of symbolic links in a row, the same as the system's.
const LINKS_MAX: u32 = 40;

/// The temporary files that are not renamed yet. A process that ends at once has to remove them.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text for people; on standard output only.
    Text,
    /// The whole report for programs.
    Json,
    /// The figures and the time series as a table.
    Csv,
    /// The percentiles, in the text form of HdrHistogram.
    Hgrm,
    /// The log of interval histograms.
    Hlog,
    /// A page with plots.
    Html,
}

impl Kind {
    /// All file formats, with their extensions.
    const ALL: [(&'static str, Self); 5] = [
        ("json", Self::Json),
        ("csv", Self::Csv),
        ("hgrm", Self::Hgrm),
        ("hlog", Self::Hlog),
        ("html", Self::Html),
    ];

    /// Returns the format that the extension of a path names, if it is among `allowed`.
    ///
    /// # Errors
    /// The extension names no allowed format. The text lists the allowed extensions.
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
}

/// A result that can be printed and written.
pub trait Output {
    /// The formats of its files.
    const FILES: &'static [Kind];

    /// Writes the result in one of these formats, or as text.
    fn render(&self, kind: Kind) -> Vec<u8>;
}

impl Output for Report {
    const FILES: &'static [Kind] = &[Kind::Json, Kind::Csv, Kind::Hgrm, Kind::Hlog, Kind::Html];

    fn render(&self, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Text => text::render(self).into_bytes(),
            Kind::Json => json::line(self),
            Kind::Csv => csv::render(self).into_bytes(),
            Kind::Hgrm => hgrm::render(self).into_bytes(),
            Kind::Hlog => hlog::render(self).into_bytes(),
            Kind::Html => html::run(self).into_bytes(),
        }
    }
}

impl Output for Sweep {
    const FILES: &'static [Kind] = &[Kind::Json, Kind::Csv, Kind::Html];

    fn render(&self, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Text => sweep_table::text(self).into_bytes(),
            Kind::Csv => sweep_table::csv(self).into_bytes(),
            Kind::Html => html::sweep(self).into_bytes(),
            _ => json::line(self),
        }
    }
}

/// The format of the report on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For scripts: one line per report
    Json,
    /// For spreadsheets: the figures and the time series as a table
    Csv,
}

impl From<Format> for Kind {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
            Format::Csv => Self::Csv,
        }
    }
}

/// The format on standard output of a result without columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// For people
    Text,
    /// For scripts
    Json,
}

/// Unfinished files. Their drop leaves older files as they are.
#[derive(Debug)]
pub struct Files {
    files: Vec<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    /// The requested path.
    path: PathBuf,
    kind: Kind,
    /// The file that it replaces.
    place: PathBuf,
    file: NamedTempFile,
}

impl Files {
    /// Creates the temporary file of each of these paths, which shows that it can be written.
    ///
    /// # Errors
    /// A file cannot be written, or two paths are the same file (exit code 2). The text names them.
    pub fn create(paths: &[PathBuf]) -> Result<Self, ExitError> {
        let mut files: Vec<Unfinished> = Vec::with_capacity(paths.len());
        for path in paths {
            let kind = Kind::of(path, Report::FILES).map_err(ExitError::arguments)?;
            let wrong = |error| ExitError::run(format!("{}: {error}", path.display()));
            let place = place(path).map_err(wrong)?;
            if let Some(other) = files.iter().find(|other| other.place == place) {
                let (one, two) = (other.path.display(), path.display());
                return Err(ExitError::arguments(format!(
                    "-o {one} and -o {two} are one file: name each file once"
                )));
            }
            let file = beside(&place).map_err(wrong)?;
            files.push(Unfinished {
                path: path.clone(),
                kind,
                place,
                file,
            });
        }
        Ok(Self { files })
    }

    /// Writes all of them, even if one fails.
    ///
    /// # Errors
    /// Some could not be written. The text has a line for each.
    pub fn write(self, content: impl Fn(Kind) -> Vec<u8>) -> Result<(), String> {
        let write = |mut one: Unfinished| {
            let written = one
                .file
                .write_all(&content(one.kind))
                .and_then(|()| one.file.persist(&one.place).map_err(|error| error.error));
            written
                .err()
                .map(|error| format!("{}: {error}", one.path.display()))
        };
        let failed: Vec<_> = self.files.into_iter().filter_map(write).collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("\n"))
        }
    }
}

/// Removes the temporary files. The caller holds the returned lock while it ends the process: no
/// new temporary file is created, and a file that is being written is renamed completely or not at
/// all.
pub(crate) fn abandon() -> impl Sized {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        // A file that was already renamed no longer has this name.
        let _ = fs::remove_file(path);
    }
    unfinished
}

/// The list is never half-written, so it is valid even after a panic elsewhere.
fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock()
}

/// Returns the file to write for `path`: the canonical path at the end of its symbolic links.
fn place(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => {
            let advice = "not a file that can be replaced; use --format, and redirect the output";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, advice));
        }
        _ => {}
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        match fs::read_link(&path) {
            Ok(next) => path = folder.join(next),
            Err(_) => {
                let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
                return Ok(fs::canonicalize(folder)?.join(name));
            }
        }
    }
    Err(io::Error::other("too many symbolic links in a row"))
}

/// Creates a temporary file in the folder of this one.
fn beside(place: &Path) -> io::Result<NamedTempFile> {
    let folder = place.parent().unwrap_or_else(|| Path::new("/"));
    let mut unfinished = unfinished();
    // A new file has the usual permissions, minus the umask. The library's default is a private
    // file.
    let file = tempfile::Builder::new()
        .prefix(".loadgen-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    unfinished.push(file.path().to_owned());
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_extension_decides() {
        let of = |path: &str, allowed: &[Kind]| Kind::of(Path::new(path), allowed);
        assert_eq!(of("a/b.c.hlog", Report::FILES), Ok(Kind::Hlog));
        for path in ["json", "x.txt", "x.", "x.JSON", ""] {
            let message = of(path, Report::FILES).expect_err(path);
            assert!(
                message.contains("json, csv, hgrm, hlog or html"),
                "{message}"
            );
        }
        assert!(of("a.hlog", Sweep::FILES).is_err());
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
            let error = Files::create(std::slice::from_ref(&path)).expect_err("no such place");
            let message = error.message;
            assert!(
                message.starts_with(&path.display().to_string()),
                "{message}"
            );
            assert_eq!(error.exit_code, 1);
        }
    }

    #[test]
    fn a_file_that_is_named_twice_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).expect("ours");
        symlink("deep/../a.json", at("link.json")).expect("ours");
        for (one, other) in [
            ("a.json", "a.json"),
            ("a.json", "deep/../a.json"),
            ("link.json", "a.json"),
        ] {
            let error = Files::create(&[at(one), at("b.csv"), at(other)]).expect_err(other);
            assert_eq!(error.exit_code, 2);
            for name in [one, other] {
                let named = format!("-o {}", at(name).display());
                assert!(error.message.contains(&named), "{}", error.message);
            }
        }
        assert!(Files::create(&[at("a.json"), at("deep/a.json")]).is_ok());
        assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 2);
    }

    #[test]
    fn a_link_stays_and_what_it_points_to_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).expect("ours");
        fs::write(at("there.json"), "before").expect("ours");
        for (link, to) in [
            ("deep/one.json", "../two.json"),
            ("two.json", "there.json"),
            ("dangling.json", "deep/new.json"),
            ("round.json", "round.json"),
        ] {
            symlink(to, at(link)).expect("ours");
        }
        for (link, to) in [
            ("deep/one.json", "there.json"),
            ("dangling.json", "deep/new.json"),
        ] {
            let files = Files::create(&[at(link)]).expect("can be made");
            assert_eq!(files.write(|_| link.as_bytes().to_vec()), Ok(()));
            assert!(at(link).is_symlink() && !at(to).is_symlink());
            assert_eq!(fs::read_to_string(at(to)).expect("written"), link);
        }
        assert!(at("two.json").is_symlink());
        let round = Files::create(&[at("round.json")]).expect_err("leads nowhere");
        assert!(
            round.message.contains("symbolic links"),
            "{}",
            round.message
        );
    }

    #[test]
    fn what_is_no_file_is_refused_with_advice() {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, device) = (folder.path().join("a.json"), folder.path().join("b.json"));
        let _socket = UnixListener::bind(&socket).expect("a short path");
        symlink("/dev/null", &device).expect("ours");
        for path in [socket, device] {
            let error = Files::create(std::slice::from_ref(&path)).expect_err("no file");
            assert!(error.message.contains("--format"), "{}", error.message);
        }
    }
}
