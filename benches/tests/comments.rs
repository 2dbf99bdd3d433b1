//! Reads the comments of the workspace: each fits in 100 columns, and none opens with a question
//! word, which hides the subject of a sentence.
//!
//! Rows of tables are exempt from the width, because Markdown cannot break them.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders that are checked.
const FOLDERS: [&str; 10] = [
    "reactor",
    "reactor-macros",
    "asyncfd",
    "server-demo",
    "loadgen",
    "benches",
    "interop",
    "fuzz",
    "xtask",
    "scripts",
];

/// The widest line, the same as rustfmt's for code.
const WIDTH: usize = 100;

const QUESTION_WORDS: [&str; 4] = ["What", "Who", "Whether", "How"];

/// The start of a comment, in Rust and in the shell.
const RUST: &str = "//";
const SHELL: &str = "#";

/// Returns the text of a line that holds only a comment.
fn comment<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let text = line.trim_start().strip_prefix(marker)?;
    Some(text.trim_start_matches(['/', '!']).trim_start())
}

/// Returns the fault of a line, if it has one. A tab is as wide as four spaces.
fn fault(line: &str, marker: &str) -> Option<&'static str> {
    let text = comment(line, marker)?;
    let first_word = text.split(|c: char| !c.is_alphabetic()).next();
    let width = line.chars().count() + 3 * line.matches('\t').count();
    if width > WIDTH && !text.starts_with('|') {
        Some("a comment wider than 100 columns")
    } else if first_word.is_some_and(|word| QUESTION_WORDS.contains(&word)) {
        Some("a comment that opens with What, Who, Whether or How")
    } else {
        None
    }
}

/// Returns the start of a comment in a file, if the file is a source.
fn marker(file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()? {
        "rs" => Some(RUST),
        "sh" | "bash" => Some(SHELL),
        _ => None,
    }
}

/// Adds all sources below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files);
            }
        } else if marker(&path).is_some() {
            files.push(path);
        }
    }
}

#[test]
fn comments_fit_in_100_columns_and_open_with_their_subject() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files);
    }
    files.push(root.join(".ci/run"));
    assert!(files.len() > 100, "only {} files were found", files.len());
    let mut faults = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        for (number, line) in (1..).zip(source.lines()) {
            if let Some(fault) = fault(line, marker(&file).unwrap_or(SHELL)) {
                let file = file.strip_prefix(root).unwrap().display();
                faults.push(format!("{file}:{number}: {fault}: {}", line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_fault_is_found() {
    let wide = format!("    /// {}", "ä".repeat(93));
    assert_eq!(fault(&wide, RUST), Some("a comment wider than 100 columns"));
    assert_eq!(fault(&wide.replacen("ä", "", 1), RUST), None);
    assert_eq!(fault(&format!("//! | {} |", "a".repeat(200)), RUST), None);
    let tabs = format!("\t# {}", "a".repeat(94));
    assert!(fault(&format!("{tabs}a"), SHELL).is_some());
    assert_eq!(fault(&tabs, SHELL), None);
    for word in QUESTION_WORDS {
        for opening in ["//", "    ///", "//!"] {
            assert!(fault(&format!("{opening} {word} it is."), RUST).is_some());
        }
        assert!(fault(&format!("# {word} it is."), SHELL).is_some());
        assert!(fault(&format!("/// {word}ever it is."), RUST).is_none());
        assert!(fault(&format!("let a = \"// {word}\";"), RUST).is_none());
    }
}
