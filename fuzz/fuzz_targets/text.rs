//! Text that people type for `loadgen` and `server-demo`: config files, targets, quantities, sizes,
//! thresholds.
//!
//! Nothing panics. A parsed quantity has the value that a calculator gives, and written in its
//! smallest unit it parses as the same value.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use loadgen::report::slo::Slo;
use loadgen::run::bad_kind::BadShare;
use loadgen::run::protocol::escape::unescape;
use loadgen::run::sizes::{SIZE_MAX, Sizes};
use loadgen::tools::sweep::Steps;
use server_demo::units::{parse_count, parse_cpus, parse_duration, parse_size};
use server_demo::{AcceptPolicy, parse_pinning};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match kind % 12 {
        0 => duration(text),
        1 => quantity(
            parse_count(text).ok(),
            parse_count,
            text,
            |unit| match unit {
                "" => 1.0,
                "k" | "K" => 1e3,
                _ => 1e6,
            },
        ),
        2 => quantity(parse_size(text).ok(), parse_size, text, |unit| match unit {
            "" => 1.0,
            "k" | "K" => 1024.0,
            "m" | "M" => 1_048_576.0,
            _ => 1_073_741_824.0,
        }),
        3 => sizes(text),
        4 => drop(text.parse::<Slo>()),
        5 => drop(text.parse::<Steps>()),
        6 => drop(text.parse::<BadShare>()),
        7 => drop((parse_cpus(text), parse_pinning(text))),
        8 => drop(text.parse::<AcceptPolicy>()),
        9 => escaped(text),
        10 => loadgen::fuzzing::target(text),
        _ => loadgen::fuzzing::config(text),
    }
});

fn duration(text: &str) {
    let read = parse_duration(text).ok();
    let nanos = read.map(|read| u64::try_from(read.as_nanos()).expect("at most 584 years"));
    quantity(
        nanos,
        |text| Ok::<_, ()>(parse_nanos(text)),
        text,
        |unit| match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "" | "s" => 1e9,
            "m" => 60e9,
            _ => 3_600e9,
        },
    );
}

fn parse_nanos(digits: &str) -> u64 {
    let read: Duration = parse_duration(&format!("{digits}ns")).expect("it was one");
    u64::try_from(read.as_nanos()).expect("at most 584 years")
}

/// Checks the value that a quantity was parsed as.
fn quantity<E: std::fmt::Debug>(
    read: Option<u64>,
    parse: impl Fn(&str) -> Result<u64, E>,
    text: &str,
    worth: impl Fn(&str) -> f64,
) {
    let Some(read) = read else { return };
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit() && c != '.');
    let number: f64 = digits.parse().expect("it starts with a number");
    let expected = number * worth(text[digits.len()..].trim());
    let difference = (read as f64 - expected).abs();
    assert!(difference <= 1e-9 * expected, "{text:?} is not {read}");
    assert_eq!(parse(&read.to_string()).expect("a plain number"), read);
}

fn sizes(text: &str) {
    let Ok(sizes) = text.parse::<Sizes>() else {
        return;
    };
    let shown = sizes.to_string();
    let again: Sizes = shown.parse().expect("it is shown as it is typed");
    assert_eq!(again.to_string(), shown);
    assert_eq!(again.mean(), sizes.mean());
    for random in [0, 1, u64::MAX / 2, u64::MAX] {
        assert!((1..=SIZE_MAX).contains(&sizes.draw(random)));
    }
}

fn escaped(text: &str) {
    let Ok(bytes) = unescape(text) else { return };
    assert!(bytes.len() <= text.len());
    let hex: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    assert_eq!(unescape(&hex), Ok(bytes));
}
