//! `loadgen calibrate` through the real program.
//!
//! The verdict depends on the load of the machine. These facts hold on any machine: the generator
//! measures each request as at least as long as the server held it, the exit code is the verdict,
//! and a stall shows in the open loop but not in the closed loop.

mod common;

use common::run;
use loadgen::tools::calibrate::{Calibration, Case, Quantile};

fn quantile<'a>(case: &'a Case, series: &str, name: &str) -> &'a Quantile {
    let series = case.series.iter().find(|one| one.name == series);
    let quantiles = &series.expect("measured").quantiles;
    quantiles
        .iter()
        .find(|one| one.name == name)
        .expect("named")
}

#[test]
fn the_record_of_the_server_is_never_above_what_was_measured() {
    let run = run("calibrate --quick --format json");
    let calibration: Calibration = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(run.code, Some(i32::from(!calibration.passed)));
    assert_eq!(
        calibration.passed,
        calibration.cases.iter().all(|case| case.passed)
    );
    assert_eq!(calibration.cases.len(), 11);
    for case in &calibration.cases {
        let interrupted = ["an outage", "a restart", "a reload"];
        let interrupted = interrupted.iter().any(|name| case.name.ends_with(name));
        let series = if case.open && !interrupted { 2 } else { 1 };
        assert_eq!(case.series.len(), series, "{}", case.name);
        for series in &case.series {
            for quantile in &series.quantiles {
                assert_eq!(quantile.rounds.len(), 3);
                for pair in &quantile.rounds {
                    let named = || format!("{}, {}: {quantile:?}", case.name, series.name);
                    assert!(pair.server_ns >= 10_000_000, "{}", named());
                    // The difference is only the rounding of the histogram and of the clocks.
                    assert!(pair.difference() > -0.002, "{}", named());
                }
            }
        }
    }
    let stalled = |open: bool| {
        let of = |case: &&Case| case.open == open && case.name.contains("stall");
        calibration.cases.iter().find(of).expect("a case")
    };
    // The stall of 150 ms is a quarter of the round. So in the open loop, a tenth of all requests
    // wait for 90 ms or more.
    for pair in &quantile(stalled(true), "corrected", "p90").rounds {
        assert!(pair.server_ns > 60_000_000, "{pair:?}");
    }
    let mut closed: Vec<_> = quantile(stalled(false), "raw", "p90").rounds.clone();
    closed.sort_by_key(|pair| pair.measured_ns);
    assert!(closed[0].measured_ns < 60_000_000, "{closed:?}");
}
