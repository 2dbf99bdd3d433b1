use super::*;
use crate::report::slo::quantile;
use crate::report::tests::sample;
use crate::report::{Distribution, ErrorCount};

fn slo(text: &str) -> Slo {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Returns true if a report with latencies of 1, 2, … 100 ms and 5,000 answers per second meets the
/// threshold.
fn met(text: &str) -> bool {
    judge(&slo(text), &sample(5_000.0, 100_000))
        .iter()
        .all(|verdict| verdict.met)
}

#[test]
fn each_metric_and_operator_reads_its_part_of_the_report() {
    for (text, expected) in [
        ("p50<51ms", true),
        ("p50<50ms", false),
        ("p99<=99.1ms", true),
        ("p99<98900us", false),
        ("p1<1.1ms", true),
        ("p99.99>=100ms", true),
        ("p100<100ms", false),
        ("mean>50ms,mean<51ms", true),
        ("max>99ms", true),
        ("max>1", false),
        ("raw.p99<1", true),
        ("connect.max<1ms", false),
        ("rate>4.9k", true),
        ("rate>=5001", false),
        ("achieved>=99.5%", true),
        ("kept>100", false),
        ("achieved>100", false),
        ("errors=0", true),
        ("errors>0", false),
        ("unanswered<=0", true),
        ("p50<1s,errors=1", false),
    ] {
        assert_eq!(met(text), expected, "{text}");
    }
}

#[test]
fn a_percentile_is_the_one_that_was_written() {
    assert_eq!(quantile("99.9"), Some(0.999));
    assert_eq!(quantile("99.99"), Some(0.9999));
    assert_eq!(quantile("100"), Some(1.0));
    for wrong in ["", "100.1", "-1", "nan", "1e1", "9.9.9"] {
        assert_eq!(quantile(wrong), None, "{wrong}");
    }
}

#[test]
fn errors_count_failed_connections() {
    let mut report = sample(1.0, 1);
    report.errors = [3, 4]
        .map(|count| ErrorCount {
            kind: String::new(),
            description: String::new(),
            count,
            first: String::new(),
        })
        .to_vec();
    let verdicts = judge(&slo("errors<7"), &report);
    assert_eq!(verdicts[0].measured, Some(7.0));
    assert!(!verdicts[0].met);
    assert_eq!(verdicts[0].to_string(), "errors<7 missed: 7, 0 over (0.0%)");
    assert!(slo("p50<1,errors<7").names_errors() && !slo("p50<1").names_errors());
}

#[test]
fn what_was_not_measured_is_missed() {
    let mut report = sample(1.0, 1);
    assert!(!judge(&slo("lag.p99<1"), &report)[0].met, "a closed loop");
    report.latency.raw = Distribution::default();
    report.requests.scheduled = 0;
    for text in ["p99<1", "max<1", "kept>=0"] {
        let verdict = judge(&slo(text), &report).remove(0);
        assert!(!verdict.met && verdict.measured.is_none(), "{verdict:?}");
        assert!(verdict.to_string().ends_with("nothing was measured"));
    }
}

#[test]
fn a_verdict_says_by_how_much() {
    let verdicts = judge(&slo("errors=0"), &sample(1.0, 1));
    assert_eq!(verdicts[0].to_string(), "errors=0 met: 0");
    let verdicts = judge(
        &slo(" p99 < 50ms , rate>10k,mean<1"),
        &sample(5_000.0, 100_000),
    );
    let texts: Vec<_> = verdicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts[..2],
        [
            "p99<50ms missed: 99.02ms, 49.02ms over (98.0%)",
            "rate>10k missed: 5.00k/s, 5.00k/s short (50.0%)"
        ]
    );
    assert!(texts[2].starts_with("mean<1 met: 50.5"), "{texts:?}");
}

#[test]
fn what_cannot_be_read_says_why() {
    for (text, words) in [
        ("", "no operator"),
        ("p99", "no operator"),
        ("p99<5ms,", "no operator"),
        ("p99<", "empty"),
        ("p99<5 parsecs", "parsecs"),
        ("p999<5ms", "unknown metric `p999`"),
        ("latency<5ms", "there are pN"),
        ("raw.rate<5", "unknown metric `raw.rate`"),
        ("kept>1000%", "not a percentage"),
        ("errors=x", "does not start with a number"),
    ] {
        let error = text.parse::<Slo>().expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
    assert_eq!(slo("p99 <= 5ms").to_string(), "p99<=5ms");
}
