//! Arguments, files and `compare`, through the real program.

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::{echo, run, serve};

fn scratch_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

/// The message about TLS, which some builds do not have.
const NO_TLS: &str = if cfg!(feature = "tls") {
    "TLS excludes --bad-clients"
} else {
    "this build has no TLS"
};

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run("-h").expect_code(0);
    // The line breaks do not matter.
    let text = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "Usage: loadgen",
        "--connect-rate",
        "[default: 5s]",
        "compare",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{}", help.stdout);
    }
    assert!(
        !help.stdout.contains("embedded-server"),
        "it is not for people"
    );
    assert!(
        run("--version")
            .expect_code(0)
            .stdout
            .starts_with("loadgen ")
    );
}

#[test]
fn bad_arguments_end_with_two() {
    for (args, words) in [
        ("--no-such-flag", "--no-such-flag"),
        ("-c none", "none"),
        ("-c 5 --active 6", "--active 6"),
        ("nowhere", "HOST:PORT"),
        ("https://127.0.0.1/ --bad-clients reset:5%", NO_TLS),
        ("127.0.0.1:9 --protocol raw", "needs --send and --expect"),
        ("127.0.0.1:9 --path /", "--path is for --protocol http"),
        ("http://127.0.0.1:9/ --verify off", "--verify is for"),
        ("--protocol http", "name a TARGET"),
        ("127.0.0.1:9 --send \\q --expect x", "\\q is not one of"),
        ("--size 64,128", "has no weight"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("-o report.txt", "json, csv, hgrm"),
    ] {
        run(args).expect_code(2).expect_message(words);
    }
}

#[test]
fn what_the_machine_does_not_have_ends_with_one() {
    for (args, words) in [
        (
            "no-such-host.invalid:80 -c 1",
            "check the name, or give an address",
        ),
        (
            "127.0.0.1:9 -c 1 --server-pid 2147483647",
            "no such process",
        ),
        (
            "-c 1 -o /no/such/folder/report.json",
            "/no/such/folder/report.json: ",
        ),
    ] {
        run(args).expect_code(1).expect_message(words);
    }
}

#[test]
fn a_server_gets_the_requests_asked_for_and_one_more_per_connection() {
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    let server = serve(move |_, mut stream| {
        loop {
            echo(&mut stream, 64)?;
            counter.fetch_add(1, Relaxed);
        }
    });
    run(&format!("{server} -c 7 -n 1000")).expect_code(0);
    assert_eq!(received.swap(0, Relaxed), 1_007);
    run(&format!("{server} -c 7 -n 1000 -R 20k")).expect_code(0);
    assert_eq!(received.load(Relaxed), 1_007);
}

#[test]
fn two_files_of_rounds_compare() {
    let (a, b) = (scratch_file("a.json"), scratch_file("b.json"));
    let mut rounds = (String::new(), String::new());
    for _ in 0..3 {
        rounds.0 += &run("-c 4 -n 2000 --format json").expect_code(0).stdout;
        rounds.1 += &run("-c 4 -n 2000 -P 16 --format json")
            .expect_code(0)
            .stdout;
    }
    fs::write(&a, &rounds.0).expect("a file");
    fs::write(&b, &rounds.1).expect("a file");
    let compare = |a: &PathBuf, b: &PathBuf, rest: &str| {
        run(&format!("compare {} {} {rest}", a.display(), b.display()))
    };

    let text = compare(&a, &b, "").expect_code(0).stdout;
    assert!(
        text.contains("3 paired rounds") && text.contains("requests_per_s"),
        "{text}"
    );
    assert!(text.contains("not all run with the same load"), "{text}");
    let same = compare(&a, &a, "").expect_code(0).stdout;
    assert_eq!(
        same.matches("no difference shown").count(),
        same.matches("[1.000, 1.000]").count(),
        "{same}"
    );

    let json = compare(&a, &b, "--format json").expect_code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (json["format"].as_str(), json["rounds"].as_u64()),
        (Some("loadgen-compare"), Some(3))
    );
    let names: Vec<_> = json["metrics"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|metric| metric["name"].as_str())
        .collect();
    for name in ["requests_per_s", "latency_p50", "latency_p99_99"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }

    fs::write(&b, rounds.1.lines().next().expect("a round")).expect("a file");
    compare(&a, &b, "")
        .expect_code(1)
        .expect_message("cannot be paired");
    fs::write(&b, "no report").expect("a file");
    compare(&a, &b, "")
        .expect_code(1)
        .expect_message("not JSON");
    for file in [a, b] {
        fs::remove_file(file).expect("ours");
    }
}

/// Runs a checker, if this machine has it.
fn check(program: &str, args: &[&str]) -> Option<std::process::Output> {
    match std::process::Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn completions_and_manual_are_what_their_readers_take() {
    for (what, program, args) in [
        ("bash", "bash", &["-n"][..]),
        ("zsh", "zsh", &["-n"]),
        ("fish", "fish", &["--no-execute"]),
        ("man", "man", &["--warnings", "-E", "UTF-8", "-l", "-Tutf8"]),
    ] {
        let text = run(&format!("completions {what}")).expect_code(0).stdout;
        let file = scratch_file(&format!("completions-{what}"));
        fs::write(&file, text).expect("a file");
        let path = file.to_str().expect("text");
        if let Some(output) = check(program, &[args, &[path]].concat()) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.is_empty(), "{what}: {said}");
            let read = String::from_utf8_lossy(&output.stdout).into_owned();
            // A bold letter is written twice, with a backspace in between.
            let plain: String = read
                .split('\u{8}')
                .map(|part| {
                    let mut part = part.chars();
                    part.next_back();
                    part.as_str()
                })
                .collect();
            assert!(
                what != "man" || plain.contains("loadgen compare"),
                "{plain}"
            );
        }
        fs::remove_file(file).expect("ours");
    }
    run("completions tcsh")
        .expect_code(2)
        .expect_message("[possible values: bash");
}

/// Runs the program with these host names; returns `None` if this machine does not allow that.
#[cfg(target_os = "linux")]
fn with_hosts(hosts: &str, args: &str) -> Option<common::Run> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("hosts");
    fs::write(&file, hosts).expect("ours");
    let isolated = |script: &str| {
        let mut shell = std::process::Command::new("unshare");
        shell.args(["--mount", "--map-root-user", "sh", "-c", script]);
        shell
    };
    let prepare = format!("mount --bind {} /etc/hosts", file.display());
    if !isolated(&prepare)
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("not seen: this needs unshare(1) and the right to mounts of one's own");
        return None;
    }
    let program = common::command(args);
    let mut shell = isolated(&format!("{prepare} && exec \"$0\" \"$@\""));
    shell.arg(program.get_program()).args(program.get_args());
    Some(common::start_command(shell).finish())
}

#[cfg(target_os = "linux")]
#[test]
fn every_address_of_a_name_is_tried_in_order() {
    let server = serve(|_, mut stream| common::echo_all(&mut stream));
    let port = server.port();
    let hosts = "127.0.0.9 two\n127.0.0.1 two\n::1 six\n127.0.0.1 six\n";
    for (name, flag) in [("two", ""), ("six", ""), ("two", "-4"), ("six", "-4")] {
        let args = format!("{name}:{port} -c 1 -n 5 {flag} --format json");
        let Some(run) = with_hosts(hosts, &args) else {
            return;
        };
        let report = run.expect_code(0).report();
        assert_eq!(report.target.address, server.to_string(), "{name} {flag}");
    }
    let six = with_hosts(hosts, &format!("six:{port} -c 1 -n 5 -6")).expect("as before");
    six.expect_code(1).expect_message("[::1]");
    let two = with_hosts(hosts, &format!("two:{port} -c 1 -n 5 -6")).expect("as before");
    two.expect_code(1).expect_message("no IPv6 address (-6)");
}
