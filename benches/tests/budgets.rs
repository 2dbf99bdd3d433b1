//! `budgets` on small files: its verdicts, their limits, and its messages about incomplete files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use benches::scenario::{Medians, Ratio, Scenario, Verdict};
use benches::summary::Summary;
use serde_json::{Value, json};

/// The content of the three files, and the other arguments.
struct Inputs {
    instr: Value,
    instr_idle: Value,
    bench: Summary,
    arguments: Vec<String>,
}

/// Turns inputs that meet every budget into a case.
type Change = fn(&mut Inputs);

fn ratio(metric: &str, contender: &str, base: &str, [ratio, low, high]: [f64; 3]) -> Ratio {
    Ratio {
        contender: contender.to_owned(),
        base: base.to_owned(),
        metric: metric.to_owned(),
        ratio,
        low,
        high,
        verdict: Verdict::Inconclusive,
    }
}

/// Returns inputs that meet all budgets, each exactly at its limit or barely within.
fn met() -> Inputs {
    let counted = |contender: &str, instructions: f64| {
        json!({
            "contender": contender, "instructions_per_echo": instructions,
            "syscalls": {"read": 1.0, "write": 1.0, "epoll_wait": 0.5},
        })
    };
    let ratios = |bare: f64| {
        let (echoes, cpu) = ("requests_per_server_cpu_s", "server_cpu_us_per_request");
        let bare = [bare, bare - 0.05, bare + 0.05];
        vec![
            ratio(echoes, "demo-helpers", "tokio-ct", [1.04, 1.01, 1.06]),
            ratio(echoes, "demo-helpers", "tokio-mt", [1.04, 1.01, 1.06]),
            ratio(echoes, "demo-helpers", "tokio-asyncfd", [1.20, 1.11, 1.30]),
            ratio(echoes, "demo-guards", "tokio-asyncfd", [1.20, 1.11, 1.30]),
            ratio(echoes, "tokio-ct", "bare-epoll", bare),
            ratio(echoes, "tokio-mt", "bare-epoll", bare),
            ratio(echoes, "tokio-asyncfd", "bare-epoll", bare),
            ratio(cpu, "demo-helpers", "bare-epoll", [1.0, 0.9, 1.05]),
            ratio(cpu, "tokio-ct", "bare-epoll", [1.1, 1.0, 1.2]),
        ]
    };
    let memory = |(name, bytes): (&str, f64)| Medians {
        name: name.to_owned(),
        bytes_per_connection: Some(bytes),
        ..Medians::default()
    };
    let contenders = [
        ("bare-epoll", 30.0),
        ("tokio-ct", 990.0),
        ("demo-helpers", 400.0),
        ("demo-idle", 500.0),
    ];
    let scenario = |name: &str, bare: f64| Scenario {
        name: name.to_owned(),
        contenders: contenders.map(memory).into(),
        ratios: ratios(bare),
        ..Scenario::default()
    };
    Inputs {
        instr: json!({"rows": [
            counted("bare-epoll", 80.0),
            counted("tokio-ct", 1_000.0),
            counted("tokio-asyncfd", 1_400.0),
            counted("demo-helpers", 400.0),
            counted("demo-guards", 520.0),
        ]}),
        instr_idle: json!({"rows": [counted("demo-helpers", 420.0)]}),
        bench: Summary {
            scenarios: vec![scenario("base", 0.8), scenario("rate-80", 0.9)],
            ..Summary::default()
        },
        arguments: [
            "--register=400,1300,100",
            "--churn-kib=5000,6024",
            "--no-allocations=true",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

/// Runs the program; `content` changes the text of a file, for instance to truncate it.
fn budgets(inputs: &Inputs, content: impl Fn(&str, String) -> String) -> Output {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let thread = std::thread::current();
    // A folder for each test, since they run side by side.
    let folder = folder.join(thread.name().expect("tests have names"));
    fs::create_dir_all(&folder).expect("ours");
    let mut program = Command::new(env!("CARGO_BIN_EXE_budgets"));
    for (flag, value) in [
        ("instr", inputs.instr.clone()),
        ("instr-idle", inputs.instr_idle.clone()),
        ("bench", json!(inputs.bench)),
    ] {
        let file = folder.join(format!("{flag}.json"));
        fs::write(&file, content(flag, value.to_string())).expect("ours");
        program.arg(format!("--{flag}={}", file.display()));
    }
    program.args(&inputs.arguments).output().expect("it starts")
}

/// Returns the rows that are not met, by the beginning of their names. There is none if the exit
/// code is 0.
fn missed(inputs: &Inputs) -> Vec<String> {
    let output = budgets(inputs, |_, text| text);
    let printed = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<&str> = printed.lines().skip(1).collect();
    assert_eq!(rows.len(), 18, "{printed}");
    assert!(
        rows.iter()
            .all(|row| row.ends_with(" met") || row.ends_with(" MISSED")),
        "{printed}"
    );
    let missed: Vec<String> = (rows.iter())
        .filter(|row| row.ends_with(" MISSED"))
        .map(|row| row.split("  ").next().unwrap_or_default().trim().to_owned())
        .collect();
    let expected = if missed.is_empty() { 0 } else { 3 };
    assert_eq!(output.status.code(), Some(expected), "{printed}");
    missed
}

#[test]
fn what_is_at_its_limit_is_met() {
    assert_eq!(missed(&met()), [""; 0]);
}

#[test]
fn each_budget_is_missed_by_what_is_beyond_it() {
    fn row(inputs: &mut Inputs, contender: usize, field: &str, value: Value) {
        inputs.instr["rows"][contender][field] = value;
    }
    let cases: [(&str, Change); 9] = [
        ("instructions per echo, textbook guard loop", |inputs| {
            row(inputs, 4, "instructions_per_echo", json!(520.1))
        }),
        ("CPU time per echo against the bare loop", |inputs| {
            inputs.bench.scenarios[0].ratios[7].high = 1.051
        }),
        (
            "system calls per echo beside epoll_wait, helpers",
            |inputs| row(inputs, 3, "syscalls", json!({"read": 1.0, "write": 1.01})),
        ),
        ("bytes per idle connection", |inputs| {
            inputs.bench.scenarios[0].contenders[2].bytes_per_connection = Some(401.0)
        }),
        ("bytes per idle connection with an idle timeout", |inputs| {
            inputs.bench.scenarios[0].contenders[3].bytes_per_connection = Some(501.0)
        }),
        (
            "instructions per echo, 64 active of 19,000 to 64 of 64",
            |inputs| inputs.instr_idle["rows"][0]["instructions_per_echo"] = json!(421.0),
        ),
        (
            "instructions to register and drop, system calls apart",
            |inputs| inputs.arguments[0] = "--register=501,1300,100".to_owned(),
        ),
        ("memory after a second cycle of churn, KiB more", |inputs| {
            inputs.arguments[1] = "--churn-kib=5000,6025".to_owned()
        }),
        ("allocations per echo, wait, wake, timer re-arm", |inputs| {
            inputs.arguments[2] = "--no-allocations=false".to_owned()
        }),
    ];
    for (name, change) in cases {
        let mut inputs = met();
        change(&mut inputs);
        assert_eq!(missed(&inputs), [name]);
    }
}

#[test]
fn an_interval_that_reaches_the_limit_shows_nothing_and_misses() {
    for (at, name) in [
        "against tokio-ct",
        "against tokio-mt",
        "helpers against tokio's AsyncFd",
        "guard loops of both AsyncFds",
    ]
    .into_iter()
    .enumerate()
    {
        let limit = if at < 2 { 1.0 } else { 1.1 };
        for (scenario, row) in [
            (0, format!("{name}, closed loop")),
            (1, "... at a fixed rate".to_owned()),
        ] {
            let mut inputs = met();
            // The estimate is far ahead, and the interval is too wide to tell.
            let of = &mut inputs.bench.scenarios[scenario].ratios[at];
            (of.ratio, of.low, of.high) = (1.5, limit, 3.0);
            let missed = missed(&inputs);
            assert!(missed.len() == 1 && missed[0].ends_with(&row), "{missed:?}");
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let cases: [(&str, Change); 6] = [
        ("no scenario 'rate-80'", |inputs| {
            drop(inputs.bench.scenarios.pop())
        }),
        ("no scenario 'base'", |inputs| {
            inputs.bench.scenarios[0].name = "other".to_owned()
        }),
        (
            "no requests_per_server_cpu_s of demo-guards to tokio-asyncfd in 'base'",
            |inputs| drop(inputs.bench.scenarios[0].ratios.remove(3)),
        ),
        ("no memory of demo-idle", |inputs| {
            inputs.bench.scenarios[0].contenders[3].bytes_per_connection = None
        }),
        ("no instructions_per_echo of tokio-ct", |inputs| {
            inputs.instr["rows"][1]["instructions_per_echo"] = json!(null)
        }),
        ("--churn-kib takes two figures", |inputs| {
            inputs.arguments[1] = "--churn-kib=5000".to_owned()
        }),
    ];
    for (words, change) in cases {
        let mut inputs = met();
        change(&mut inputs);
        let output = budgets(&inputs, |_, text| text);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{message}"
        );
        assert!(message.contains(words), "{words:?} is not in {message:?}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_named() {
    for cut in ["instr", "instr-idle", "bench"] {
        let output = budgets(&met(), |flag, text| {
            if flag == cut {
                text[..text.len() / 2].to_owned()
            } else {
                text
            }
        });
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(&format!("{cut}.json: ")), "{message}");
    }
}

#[test]
fn beside_each_ratio_stands_what_the_bare_loop_reaches() {
    let output = budgets(&met(), |_, text| text);
    let printed = String::from_utf8(output.stdout).expect("text");
    // The ratios of tokio to the bare loop, inverted.
    assert_eq!(printed.matches("1.250 [1.176, 1.333]").count(), 4);
    assert_eq!(printed.matches("1.111 [1.053, 1.176]").count(), 4);
}
