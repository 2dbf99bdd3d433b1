//! Reads the sources of this crate and of `asyncfd`. Every memory ordering stronger than `Relaxed`
//! has a comment `ORDERING [label], partner [label]` above it, and partners name each other. An
//! ordering is an agreement between two places. The labels ensure that neither is changed, moved or
//! deleted without a check of the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The maximum number of lines between a label's comment and its ordering.
const REACH: usize = 8;

/// One `ORDERING` comment.
#[derive(Debug)]
struct Label {
    place: String,
    partners: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Findings {
    labels: BTreeMap<String, Label>,
    faults: Vec<String>,
}

impl Findings {
    /// Collects the labels of one file and records the orderings that have none.
    fn read(&mut self, name: &str, source: &str) {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let mut labelled_until = 0;
        let mut n = 0;
        while n < lines.len() {
            let place = format!("{name}:{}", n + 1);
            let opens_label = lines[n]
                .strip_prefix("// ")
                .is_some_and(|text| text.starts_with("ORDERING"));
            if opens_label {
                let start = n;
                while n < lines.len() && lines[n].starts_with("//") {
                    n += 1;
                }
                let words: Vec<&str> = lines[start..n]
                    .iter()
                    .map(|line| line.trim_start_matches('/').trim())
                    .collect();
                self.add_label(place, &words.join(" "));
                labelled_until = n + REACH;
                continue;
            }
            if has_strong_ordering(lines[n]) && n >= labelled_until {
                self.faults.push(format!(
                    "{place}: no ORDERING label within {REACH} lines above `{}`",
                    lines[n]
                ));
            }
            n += 1;
        }
    }

    fn add_label(&mut self, place: String, comment: &str) {
        // The list of partners ends with its sentence. A dot inside a file's name is followed by a
        // letter.
        let head = comment.split(". ").next().unwrap_or_default();
        let head = head.split(": ").next().unwrap_or_default();
        let (own, partners) = head.split_once("partner").unwrap_or((head, ""));
        let Some(label) = bracketed(own).next() else {
            self.faults
                .push(format!("{place}: ORDERING without a [label]"));
            return;
        };
        let partners: BTreeSet<String> = bracketed(partners).map(str::to_owned).collect();
        if partners.is_empty() {
            self.faults
                .push(format!("{place}: [{label}] names no partner"));
        }
        if let Some(earlier) = self.labels.insert(
            label.to_owned(),
            Label {
                place: place.clone(),
                partners,
            },
        ) {
            self.faults
                .push(format!("{place}: [{label}] is taken by {}", earlier.place));
        }
    }

    /// Returns all faults, after every file was read.
    fn finish(mut self) -> Vec<String> {
        for (label, Label { place, partners }) in &self.labels {
            for partner in partners {
                match self.labels.get(partner) {
                    None => self.faults.push(format!(
                        "{place}: [{label}] names [{partner}], which is nowhere"
                    )),
                    Some(other) if !other.partners.contains(label) => self.faults.push(format!(
                        "{place}: [{label}] names [{partner}], which does not name it back ({})",
                        other.place
                    )),
                    Some(_) => {}
                }
            }
        }
        self.faults
    }
}

/// Returns true if the code of a line, without its comment, names an ordering stronger than
/// `Relaxed`.
fn has_strong_ordering(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let import = code.starts_with("use ") || code.starts_with("pub(crate) use ");
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    !import && words.any(|word| matches!(word, "Acquire" | "Release" | "AcqRel" | "SeqCst"))
}

/// Returns the texts in square brackets that look like a label: `[park-shard]`.
fn bracketed(text: &str) -> impl Iterator<Item = &str> {
    let inside = text
        .split('[')
        .skip(1)
        .filter_map(|rest| rest.split_once(']').map(|(inside, _)| inside));
    inside.filter(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// Returns every source file below `folder`, except tests, models and simulations, which may use
/// any ordering.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the source folder is there") {
        let path = entry.expect("the source folder can be read").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "loom" && name != "sim" {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn faults_of(source: &str) -> Vec<String> {
    let mut findings = Findings::default();
    findings.read("a.rs", source);
    findings.finish()
}

#[test]
fn every_ordering_has_a_label_and_every_label_a_partner() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![package.join("src"), package.join("../asyncfd/src")];
    // The published package has no neighbour.
    folders.retain(|folder| folder.is_dir());
    let mut findings = Findings::default();
    for folder in folders {
        for path in sources(&folder) {
            findings.read(
                &path.display().to_string(),
                &fs::read_to_string(&path).expect("a source file can be read"),
            );
        }
    }
    assert!(
        !findings.labels.is_empty(),
        "no label was found: is the format still the same?"
    );
    let faults = findings.finish();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

const PAIR: &str = "
    // ORDERING [left], partner [right] in b.rs: what is written here
    // is read there, see [3].
    x.store(1, Ordering::Release);
    // ORDERING [right], partner [left].
    x.load(Ordering::Acquire);
";

#[test]
fn a_pair_is_in_order() {
    assert_eq!(faults_of(PAIR), [""; 0]);
}

#[test]
fn faults_are_found() {
    let cases = [
        (
            PAIR.replace("// ORDERING [right], partner [left].", ""),
            "[right], which is nowhere",
        ),
        (
            PAIR.replace("partner [left]", "partner [other]"),
            "does not name it back",
        ),
        (PAIR.replace(", partner [left]", ""), "names no partner"),
        (
            PAIR.replace("[right], partner [left]", "partner [left]"),
            "without a [label]",
        ),
        (PAIR.replace("[right]", "[left]"), "is taken"),
        (
            format!("{PAIR}{}fence(SeqCst);", "\n".repeat(REACH)),
            "no ORDERING label",
        ),
    ];
    for (source, fault) in cases {
        let found = faults_of(&source);
        assert!(
            found.iter().any(|text| text.contains(fault)),
            "{fault}: {found:?}"
        );
    }
}
