use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;
use crate::run::setup::Load;

const SECOND: crate::measure::clock::Nanos = 1_000_000_000;

fn run(args: &str) -> RunArgs {
    let words = std::iter::once("loadgen").chain(args.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{args}: {error}"));
    assert!(cli.command.is_none(), "{args}");
    cli.run
}

fn load(args: &str) -> Load {
    run(args)
        .job()
        .unwrap_or_else(|error| panic!("{args}: {error}"))
        .load
}

fn refused(args: &str) -> ErrorKind {
    let words = std::iter::once("loadgen").chain(args.split_whitespace());
    let error = Cli::try_parse_from(words).map(|_| ()).expect_err(args);
    assert_eq!(error.exit_code(), 2, "{args}");
    error.kind()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn without_arguments_the_defaults_hold() {
    let args = run("");
    assert_eq!(args.target, None);
    assert_eq!(
        (args.connections, args.threads, args.pipeline),
        (None, 1, None)
    );
    assert_eq!(
        (args.duration, args.requests, args.rate),
        (None, None, None)
    );
    assert_eq!(args.timeout, Duration::from_secs(5));
    assert_eq!(load("").warmup, SECOND);
    assert_eq!(
        (args.io, args.verify, args.pin.clone()),
        (IoSurface::Helpers, None, Pinning::None)
    );
    assert!(args.job().is_ok());
}

#[test]
fn units_are_understood() {
    let args = run(
        "localhost:7 -c 19k -d 1.5s -R 200k --arrivals poisson --size 4k --active 64 --warmup 250ms",
    );
    assert_eq!(args.target.as_deref(), Some("localhost:7"));
    assert_eq!((args.connections, args.active), (Some(19_000), Some(64)));
    assert_eq!(
        (args.duration, args.warmup),
        (
            Some(Duration::from_millis(1_500)),
            Some(Duration::from_millis(250))
        )
    );
    assert_eq!(
        (args.rate, args.arrivals, args.size),
        (
            Some(Rate::whole(200_000)),
            Arrivals::Poisson,
            Some(4_096.into())
        )
    );
}

#[test]
fn a_number_of_requests_needs_no_warmup() {
    assert_eq!(load("-n 10").warmup, 0);
    assert_eq!(load("-n 10 --warmup 2").warmup, 2 * SECOND);
}

#[test]
fn verification_can_be_switched_off() {
    assert_eq!(run("--verify off").verify, Some(Switch::Off));
    assert_eq!(run("--verify").verify, Some(Switch::On));
}

#[test]
fn cpus_are_lists_or_words() {
    assert_eq!(run("--pin auto").pin, Pinning::Auto);
    assert_eq!(run("--pin 0,2-3").pin, Pinning::Cpus(vec![0, 2, 3]));
    assert_eq!(refused("--pin x"), ErrorKind::ValueValidation);
}

#[test]
fn nonsense_is_refused_with_code_two() {
    for args in [
        "-c 0",
        "-t 0",
        "-d 0",
        "-n 0",
        "-R 0",
        "-P 0",
        "--size 0",
        "--size 65m",
        "--timeout 0",
        "--server-pid 0",
    ] {
        assert_eq!(refused(args), ErrorKind::ValueValidation, "{args}");
    }
    assert_eq!(refused("--format xml"), ErrorKind::InvalidValue);
    assert_eq!(refused("--nope"), ErrorKind::UnknownArgument);
    for args in ["-d 1 -n 1", "--no-reconnect --fail-fast"] {
        assert_eq!(refused(args), ErrorKind::ArgumentConflict, "{args}");
    }
    assert_eq!(
        refused("--arrivals poisson"),
        ErrorKind::MissingRequiredArgument
    );
}

#[test]
fn contradictions_are_named() {
    for (args, words) in [
        ("-c 10 --active 11", "--active 11"),
        ("-c 2 -t 3", "-t 3"),
        ("-t 2 --pin 1", "--pin"),
        ("-o report.txt", "report.txt"),
        ("-o report", "report"),
        ("--slo p99<5ms,lag.p99<1ms", "--slo lag.p99<1ms"),
    ] {
        let message = run(args).job().map(|_| ()).expect_err(args);
        assert!(message.contains(words), "{args}: {message}");
    }
    for open in ["-R 5", "--sweep 1..2:1"] {
        assert!(run(&format!("{open} --slo lag.max<1s")).job().is_ok());
    }
}

#[test]
fn compare_takes_two_files() {
    let cli = Cli::try_parse_from(["loadgen", "compare", "a.json", "b.json", "--format", "json"])
        .expect("valid");
    let Some(Command::Compare(args)) = cli.command else {
        panic!("{:?}", cli.command)
    };
    assert_eq!(
        (args.a, args.b, args.format),
        ("a.json".into(), "b.json".into(), Format::Json)
    );
    assert_eq!(
        refused("compare a.json"),
        ErrorKind::MissingRequiredArgument
    );
}

#[test]
fn every_flag_shows_its_default() {
    let mut command = Cli::command();
    let help = command.render_help().to_string();
    for arg in command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some() && arg.get_action().takes_values())
    {
        let name = format!("--{}", arg.get_long().expect("filtered"));
        // A switch is off by default, so its help needs no default.
        if [
            "--requests",
            "--rate",
            "--output",
            "--slo",
            "--sweep",
            "--config",
        ]
        .contains(&name.as_str())
        {
            continue;
        }
        let begins_entry = |&(at, _): &(usize, &str)| {
            let line = help[..at].rsplit('\n').next().expect("a line");
            line.trim_start().is_empty()
                || line.trim_start().starts_with('-') && line.ends_with(", ")
        };
        let (at, _) = help
            .match_indices(&format!("{name} "))
            .find(begins_entry)
            .unwrap_or_else(|| panic!("{name} is not in the help"));
        let entry = help[at..].split("\n  -").next().expect("the first part");
        let entry = entry.split("\n      --").next().expect("the first part");
        assert!(
            entry.contains("[default:"),
            "{name} names no default:\n{entry}"
        );
    }
}

#[test]
fn durations_may_have_parts() {
    for (text, millis) in [
        ("1m30s", 90_000),
        ("1h2m3s4ms", 3_723_004),
        ("1.5s", 1_500),
        ("2", 2_000),
    ] {
        let read = run(&format!("-d {text}")).duration;
        assert_eq!(read, Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["1m30", "m30s", "1m-30s", "1mm30s"] {
        assert_eq!(
            refused(&format!("-d={text}")),
            ErrorKind::ValueValidation,
            "{text}"
        );
    }
}
