//! `--config` through the real program.

mod common;

use std::fs;
use std::path::PathBuf;

use common::run;

/// A config file that is removed after the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("{}-{name}.toml", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn run(&self, args: &str) -> common::Run {
        run(&format!("--config {} {args}", self.0.display()))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("ours");
    }
}

#[test]
fn a_file_and_the_command_line_make_one_run() {
    let file = File::new(
        "one",
        "connections = 7\nrequests = 500\nformat = 'json'\nquiet = true\n",
    );
    let run = file.run("-c 3").expect_code(0);
    assert!(run.stderr.is_empty(), "{run:#?}");
    let settings = run.report().settings;
    assert_eq!((settings.connections, settings.requests), (3, Some(500)));
    let settings = file
        .run("-d 100ms --warmup 0")
        .expect_code(0)
        .report()
        .settings;
    assert_eq!((settings.connections, settings.requests), (7, None));
}

#[test]
fn a_wrong_value_gets_the_message_of_the_flag_and_the_name_of_the_file() {
    for (text, words) in [
        ("duration = '10 parsecs'", "has the unknown unit `parsecs`"),
        ("threads = 'many'", "--threads <COUNT>"),
        ("io = 'magic'", "[possible values: helpers, guards, poll]"),
        ("duration = 1\nrequests = 2", "cannot be used with"),
        ("conections = 5", "did you mean `connections`?"),
        ("slo = 'p99'", "has no operator"),
    ] {
        let file = File::new("wrong", text);
        file.run("")
            .expect_code(2)
            .expect_message(words)
            .expect_message("-wrong.toml:");
    }
}

#[test]
fn what_was_typed_wrong_is_not_blamed_on_the_file() {
    let file = File::new("right", "connections = 7\n");
    let run = file
        .run("--threads none")
        .expect_code(2)
        .expect_message("--threads");
    assert!(!run.stderr.contains("right.toml"), "{run:#?}");
    assert!(file.run("--help").expect_code(0).stdout.contains("Usage"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    run("--config /no/such/file.toml")
        .expect_code(1)
        .expect_message("/no/such/file.toml: No such file");
}
