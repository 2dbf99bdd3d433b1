//! A program that was written for tokio runs on shards after its `use` lines are changed.
//!
//! `program.rs` is the program without these lines. `uses_tokio.rs` and `uses_ours.rs` are the
//! lines before and after. The guide on migration shows both, and a test compares it with them.
#![cfg(target_os = "linux")]

use std::process::ExitCode;

/// The program is written for tokio's streams, which are read from and written to by `&mut`.
macro_rules! program {
    ($name:ident, $uses:literal) => {
        #[allow(unused_mut, reason = "the other library takes `&mut self`")]
        mod $name {
            include!($uses);
            include!("program.rs");
        }
    };
}

program!(on_tokio, "uses_tokio.rs");
program!(on_shards, "uses_ours.rs");

#[test]
fn it_runs_on_tokio() {
    on_tokio::main();
}

#[test]
fn it_runs_on_shards() {
    assert!(on_shards::main() == ExitCode::SUCCESS);
}

#[test]
fn the_guide_shows_the_lines_that_change() {
    let guide = include_str!("../../src/docs/migration.md");
    let marked = |mark: char, uses: &str| {
        uses.lines()
            .map(|line| format!("{mark}{line}\n"))
            .collect::<String>()
    };
    let before = marked('-', include_str!("uses_tokio.rs"));
    let after = marked('+', include_str!("uses_ours.rs"));
    assert!(
        guide.contains(&format!("{before}{after}")),
        "{before}{after}"
    );
}
