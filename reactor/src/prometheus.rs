//! The text format of Prometheus, version 0.0.4.
//!
//! An endpoint answers `GET /metrics` with [`encode`]'s text and the header
//! `content-type:` [`CONTENT_TYPE`]. `asyncfd::observe` is such an endpoint.

use std::fmt::Write;

use crate::metrics::{Metric, MetricKind, MetricValue};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends metrics to `text` in the text format.
///
/// All values of a metric have to follow each other, as those of
/// [`ReactorMetrics::iter`](crate::ReactorMetrics::iter) do.
///
/// # Examples
///
/// ```
/// let reactor = reactor::Reactor::builder().shards(1).build()?;
/// let mut text = String::new();
/// reactor::prometheus::encode(&mut text, reactor.handle().metrics().iter());
/// assert!(text.contains("# TYPE reactor_tasks gauge\nreactor_tasks{shard=\"0\"} 0\n"), "{text}");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn encode(text: &mut String, metrics: impl IntoIterator<Item = Metric>) {
    let mut described = None;
    for metric in metrics {
        if described != Some(metric.name) {
            described = Some(metric.name);
            describe(text, &metric);
        }
        write_value(text, &metric);
    }
}

/// Returns the label `le` of a bucket with this upper bound.
pub(crate) fn bound_label(bound: f64) -> String {
    if bound.is_infinite() {
        "+Inf".to_owned()
    } else {
        bound.to_string()
    }
}

fn describe(text: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    let name = metric.name;
    let help = metric.help.replace('\\', r"\\").replace('\n', r"\n");
    put(
        text,
        format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
    );
}

fn write_value(text: &mut String, metric: &Metric) {
    let name = metric.name;
    let shard = metric.shard.map(|shard| format!("shard=\"{shard}\""));
    let labels = shard
        .as_ref()
        .map_or(String::new(), |shard| format!("{{{shard}}}"));
    match &metric.value {
        MetricValue::Integer(value) => put(text, format_args!("{name}{labels} {value}\n")),
        MetricValue::Float(value) => put(text, format_args!("{name}{labels} {value}\n")),
        MetricValue::Histogram(histogram) => {
            let shard = shard.map_or(String::new(), |shard| shard + ",");
            let mut so_far = 0;
            for (bound, count) in histogram.buckets() {
                so_far += count;
                let bound = bound_label(bound);
                put(
                    text,
                    format_args!("{name}_bucket{{{shard}le=\"{bound}\"}} {so_far}\n"),
                );
            }
            let sum = histogram.sum();
            put(
                text,
                format_args!("{name}_sum{labels} {sum}\n{name}_count{labels} {so_far}\n"),
            );
        }
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::histogram::{Recorder, Scale};
    use crate::shard::ShardId;

    #[test]
    fn a_name_is_described_once_and_its_help_is_escaped() {
        let mut text = String::new();
        let shards = [0, 1].map(|index| Some(ShardId::from_index(index)));
        encode(
            &mut text,
            shards
                .map(|shard| Metric::counter("x_total", "A \\ and a\nnew line.", shard, 7))
                .into_iter()
                .chain([Metric::gauge("y", "Y.", None, 1)]),
        );
        let expected = "# HELP x_total A \\\\ and a\\nnew line.\n# TYPE x_total counter\n\
                        x_total{shard=\"0\"} 7\nx_total{shard=\"1\"} 7\n\
                        # HELP y Y.\n# TYPE y gauge\ny 1\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn buckets_of_a_histogram_are_cumulative() {
        let recorder = Recorder::new(Scale::Time);
        recorder.record(200);
        recorder.record(300);
        recorder.record(u64::MAX / 2);
        let mut metric = Metric::gauge("t_seconds", "T.", Some(ShardId::from_index(3)), 0);
        metric.kind = MetricKind::Histogram;
        metric.value = MetricValue::Histogram(Box::new(recorder.read()));
        let mut text = String::new();
        encode(&mut text, [metric]);
        for line in [
            "# TYPE t_seconds histogram",
            "t_seconds_bucket{shard=\"3\",le=\"0.000000256\"} 1",
            "t_seconds_bucket{shard=\"3\",le=\"0.000000512\"} 2",
            "t_seconds_bucket{shard=\"3\",le=\"8.589934592\"} 2",
            "t_seconds_bucket{shard=\"3\",le=\"+Inf\"} 3",
            "t_seconds_count{shard=\"3\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
