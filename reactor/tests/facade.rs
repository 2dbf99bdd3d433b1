//! The feature `metrics`: a real exporter of the facade has every value of the reactor.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use reactor::{Pinning, Reactor, facade, prometheus};

/// Parses the samples of an exposition. Lines of the two texts differ in order.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let samples = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect(line);
            (name.to_owned(), value.parse().expect(line))
        })
        .collect()
}

#[test]
fn an_exporter_of_the_facade_has_the_values_of_our_own() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let exporter = recorder.handle();
    let reactor = Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .histograms(true)
        .build()
        .unwrap();
    let work = || {
        let task = reactor.spawn(async { thread::sleep(Duration::from_millis(2)) });
        reactor.block_on(task).unwrap();
    };
    // A second publication replaces the first.
    for _ in 0..2 {
        work();
        let metrics = reactor.handle().metrics();
        metrics::with_local_recorder(&recorder, || facade::publish(metrics.iter()));
        let mut own = String::new();
        prometheus::encode(&mut own, metrics.iter());
        let (own, theirs) = (samples(&own), samples(&exporter.render()));
        assert!(own.len() > 100, "{own:?}");
        assert_eq!(theirs.len(), own.len());
        for (name, value) in &own {
            let found = theirs.get(name).unwrap_or_else(|| panic!("no {name}"));
            assert!(
                (found - value).abs() <= 1e-9 * value.abs(),
                "{name}: {found}, {value}"
            );
        }
        assert!(
            own[r#"reactor_task_poll_seconds_count{shard="0"}"#]
                + own[r#"reactor_task_poll_seconds_count{shard="1"}"#]
                >= 1.0
        );
    }
    let text = exporter.render();
    for line in [
        "# TYPE reactor_task_polls_total counter",
        "# TYPE reactor_tasks gauge",
        "# TYPE reactor_busy_seconds_total gauge",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn without_a_recorder_nothing_happens() {
    let reactor = Reactor::builder().shards(1).build().unwrap();
    facade::publish(reactor.handle().metrics().iter());
}
