use std::fs;

use super::*;
use crate::report::tests::sample;

/// Returns a report with this value at this path.
fn damaged(path: &[&str], other: Value) -> String {
    let mut report = serde_json::to_value(sample(1_000.0, 100)).expect("plain data");
    let field = path
        .iter()
        .fold(&mut report, |value, name| match name.parse::<usize>() {
            Ok(at) => &mut value[at],
            Err(_) => &mut value[*name],
        });
    assert!(!field.is_null(), "{path:?} is there");
    *field = other;
    report.to_string()
}

#[test]
fn a_report_that_was_cut_off_anywhere_is_refused() {
    let whole = serde_json::to_string(&sample(1_000.0, 100)).expect("plain data");
    assert_eq!(parse(&whole).map(|reports| reports.len()), Ok(1));
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        // Each case reads the first report again.
        if length > 0 && length % 64 == 0 {
            let second = format!("{whole}\n{}", &whole[..length]);
            assert!(parse(&second).is_err(), "a second one of {length} bytes");
        }
    }
}

#[test]
fn what_is_damaged_is_named() {
    let half = {
        let whole = sample(1_000.0, 100).latency.raw.histogram_base64;
        whole[..whole.len() / 8 * 4].to_owned()
    };
    let cases: [(&[&str], Value, &str); 12] = [
        (
            &["latency", "raw", "histogram_base64"],
            half.clone().into(),
            "latency.raw: not a V2 histogram",
        ),
        (
            &["latency", "raw", "histogram_base64"],
            "".into(),
            "latency.raw: not a V2 histogram",
        ),
        (
            &["latency", "raw", "histogram_base64"],
            "~".into(),
            "latency.raw: not base64",
        ),
        (
            &["latency", "raw", "count"],
            99.into(),
            "100 latencies instead of 99",
        ),
        (
            &["connections", "connect_latency", "count"],
            1.into(),
            "connections.connect_latency: ",
        ),
        (
            &["series", "intervals", "0", "histogram_base64"],
            half.into(),
            "series.intervals[0]: not a V2",
        ),
        (
            &["series", "intervals", "0", "start_s"],
            1e300.into(),
            "start_s: 1e+300 is no figure",
        ),
        (
            &["series", "interval_s"],
            0.0.into(),
            "intervals have no length",
        ),
        (
            &["requests", "completed"],
            u64::MAX.into(),
            "completed: 18446744073709551615 is no figure",
        ),
        (
            &["elapsed_s"],
            (-1.0).into(),
            "elapsed_s: -1.0 is no figure",
        ),
        (&["latency"], Value::Null, "report 1: invalid type: null"),
        (
            &["settings", "threads"],
            "one".into(),
            "report 1: invalid type: string",
        ),
    ];
    for (path, other, words) in cases {
        let message = parse(&damaged(path, other)).expect_err(words);
        assert!(message.starts_with("report 1: "), "{message}");
        assert!(message.contains(words), "{words:?} is not in {message:?}");
    }
}

#[test]
fn a_file_that_holds_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.json");
    for (content, words) in [
        (&b""[..], "holds no report"),
        (b"[]", "holds no report"),
        (b"\xff\xfe", "UTF-8"),
        (
            b"{\"format\":\"loadgen-sweep\"}",
            "report 1 is a \"loadgen-sweep\"",
        ),
        (b"7", "entry 1 is not a report"),
        (b"null null", "entry 1 is not a report"),
    ] {
        fs::write(&path, content).expect("ours");
        let message = read(&path).expect_err(words);
        let name = path.display().to_string();
        assert!(
            message.starts_with(&name) && message.contains(words),
            "{message}"
        );
    }
    assert!(
        read(folder.path())
            .expect_err("a folder")
            .contains("directory")
    );
}
