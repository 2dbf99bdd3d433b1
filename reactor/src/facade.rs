//! The facade of the crate `metrics`: reports the reactor's metrics to the recorder that the
//! program has installed, whichever that is. It needs the feature `metrics`.
//!
//! A recorder receives the values of one snapshot when the program calls [`publish`], for example
//! from a task:
//!
//! ```
//! use std::time::Duration;
//! use reactor::{Reactor, facade, time};
//!
//! let reactor = Reactor::new()?;
//! let watched = reactor.handle().clone();
//! reactor.spawn(async move {
//!     let mut ticks = time::interval(Duration::from_secs(10));
//!     loop {
//!         ticks.tick().await;
//!         facade::publish(watched.metrics().iter());
//!     }
//! });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Names and labels are those of [`prometheus`](crate::prometheus). The facade has no counters with
//! fractions and no histograms that were counted elsewhere, so:
//!
//! - A counter of seconds is published as a gauge.
//! - A histogram is published as Prometheus writes it: a counter `NAME_bucket` for each upper bound
//!   (label `le`), which includes all smaller values, a counter `NAME_count`, and a gauge
//!   `NAME_sum`. No value is lost or rounded by it, and functions such as Prometheus'
//!   `histogram_quantile` work.
//!
//! The test is `tests/facade.rs`.

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString, Unit};

use crate::metrics::{Metric, MetricKind, MetricUnit, MetricValue};
use crate::prometheus::bound_label;

static METADATA: Metadata<'static> = Metadata::new("reactor", Level::INFO, Some("reactor::facade"));

/// Passes metrics to the current recorder of the crate `metrics`.
///
/// All values of a metric have to follow each other, as those of
/// [`ReactorMetrics::iter`](crate::ReactorMetrics::iter) do. Without a recorder, nothing happens.
pub fn publish(metrics: impl IntoIterator<Item = Metric>) {
    metrics::with_recorder(|recorder| {
        let mut described = None;
        for metric in metrics {
            if described != Some(metric.name) {
                described = Some(metric.name);
                describe(recorder, &metric);
            }
            publish_value(recorder, &metric);
        }
    });
}

fn describe(recorder: &dyn Recorder, metric: &Metric) {
    let unit = metric.unit.map(|unit| match unit {
        MetricUnit::Seconds => Unit::Seconds,
    });
    let help = || SharedString::const_str(metric.help);
    let name = metric.name;
    match (&metric.value, metric.kind) {
        (MetricValue::Integer(_), MetricKind::Counter) => {
            recorder.describe_counter(name.into(), unit, help());
        }
        (MetricValue::Integer(_) | MetricValue::Float(_), _) => {
            recorder.describe_gauge(name.into(), unit, help());
        }
        (MetricValue::Histogram(_), _) => {
            recorder.describe_counter(format!("{name}_bucket").into(), None, help());
            recorder.describe_counter(format!("{name}_count").into(), None, help());
            recorder.describe_gauge(format!("{name}_sum").into(), unit, help());
        }
    }
}

fn publish_value(recorder: &dyn Recorder, metric: &Metric) {
    let shard = metric
        .shard
        .map(|shard| Label::new("shard", shard.to_string()));
    let labels: Vec<Label> = shard.into_iter().collect();
    let name = metric.name;
    match &metric.value {
        MetricValue::Integer(value) if metric.kind == MetricKind::Counter => {
            set_counter(recorder, &Key::from_parts(name, labels), *value);
        }
        MetricValue::Integer(value) => {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a gauge of the facade is a float"
            )]
            set_gauge(recorder, &Key::from_parts(name, labels), *value as f64);
        }
        MetricValue::Float(value) => set_gauge(recorder, &Key::from_parts(name, labels), *value),
        MetricValue::Histogram(histogram) => {
            let mut so_far = 0;
            for (bound, count) in histogram.buckets() {
                so_far += count;
                let mut labels = labels.clone();
                labels.push(Label::new("le", bound_label(bound)));
                let key = Key::from_parts(format!("{name}_bucket"), labels);
                set_counter(recorder, &key, so_far);
            }
            let key = Key::from_parts(format!("{name}_count"), labels.clone());
            set_counter(recorder, &key, so_far);
            let key = Key::from_parts(format!("{name}_sum"), labels);
            set_gauge(recorder, &key, histogram.sum());
        }
    }
}

fn set_counter(recorder: &dyn Recorder, key: &Key, value: u64) {
    recorder.register_counter(key, &METADATA).absolute(value);
}

fn set_gauge(recorder: &dyn Recorder, key: &Key, value: f64) {
    recorder.register_gauge(key, &METADATA).set(value);
}
