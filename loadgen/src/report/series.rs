//! The time series of a report: rate and latency by interval.

use serde::{Deserialize, Serialize};

use super::wire::wire;
use crate::measure::clock::{Nanos, nanos_f64, seconds};
use crate::measure::histogram::Recorder;
use crate::measure::series::{Point, Series};
use crate::measure::slices::Slice;
use crate::measure::stats::Running;

/// Intervals of equal length from the beginning of the measured part, without gaps.
///
/// Each latency of the headline distribution is in one interval, the one in which its answer came.
/// So there may be intervals after the measured part, with late answers and with requests that the
/// run gave up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TimeSeries {
    /// Length of an interval in seconds.
    pub interval_s: f64,
    /// The intervals, in order.
    pub intervals: Vec<Interval>,
}

/// One interval. Each latency is `null` if none was recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "WrittenInterval", into = "WrittenInterval")]
pub struct Interval {
    /// Seconds from the beginning of the measured part.
    pub start_s: f64,
    /// Seconds of this interval within the measured part; zero after its end.
    pub measured_s: f64,
    /// Answers that throughput counts.
    pub completed: u64,
    /// Answers per second; absent after the measured part.
    pub requests_per_s: Option<f64>,
    /// Failures.
    pub errors: u64,
    /// Connections that were open when the interval ended.
    pub live: u32,
    /// Latencies recorded.
    pub count: u64,
    /// Their median; zero without latencies, like the next two.
    pub p50_ns: Nanos,
    /// 99%.
    pub p99_ns: Nanos,
    /// The largest.
    pub max_ns: Nanos,
    /// Their histogram, encoded as in a distribution; empty without latencies.
    pub histogram_base64: String,
}

impl TimeSeries {
    /// Returns the series in the form of a report. Rates are those of the measured part, which
    /// lasted `elapsed`.
    pub(crate) fn of(series: &Series, elapsed: Nanos) -> Self {
        let length = series.interval();
        let interval = |(at, point): (usize, &Point)| {
            let start = length * at as u64;
            let measured = elapsed.saturating_sub(start).min(length);
            Interval {
                live: point.live,
                ..Interval::new(
                    seconds(start),
                    seconds(measured),
                    point.completed,
                    point.errors,
                    &point.latencies(),
                )
            }
        };
        Self {
            interval_s: seconds(length),
            intervals: series.points().iter().enumerate().map(interval).collect(),
        }
    }

    /// Adds the series of another run. Each series is shifted by the seconds from the beginning of
    /// the sum to its own. The sum lasts `elapsed_s`, and has the longer of the two intervals.
    pub(crate) fn merge(
        &mut self,
        own_offset_s: f64,
        (other, other_offset_s): (&Self, f64),
        elapsed_s: f64,
    ) -> Result<(), String> {
        let length_s = self.interval_s.max(other.interval_s);
        let mut sum = Series::new(nanos_f64(length_s));
        for (part, offset_s) in [(&*self, own_offset_s), (other, other_offset_s)] {
            for interval in &part.intervals {
                // The middle of an interval decides, because processes do not begin within the same
                // millisecond.
                let middle_s = offset_s + interval.start_s + part.interval_s / 2.0;
                sum.add(Slice {
                    index: sum.index_at(nanos_f64(middle_s)),
                    latency: interval.recorder()?,
                    completed: interval.completed,
                    errors: interval.errors,
                    live: interval.live,
                });
            }
        }
        *self = Self::of(&sum, nanos_f64(elapsed_s));
        Ok(())
    }

    /// Returns the rates of the complete intervals.
    #[must_use]
    pub fn rates(&self) -> Running {
        let mut rates = Running::default();
        let whole = |interval: &&Interval| interval.measured_s >= 0.999 * self.interval_s;
        for interval in self.intervals.iter().filter(whole) {
            interval
                .requests_per_s
                .into_iter()
                .for_each(|rate| rates.add(rate));
        }
        rates
    }
}

impl Interval {
    /// Returns an interval with `measured_s` in the measured part.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a report shows at most nine digits"
    )]
    pub fn new(
        start_s: f64,
        measured_s: f64,
        completed: u64,
        errors: u64,
        latency: &Recorder,
    ) -> Self {
        Self {
            start_s,
            measured_s,
            completed,
            requests_per_s: (measured_s > 0.0).then(|| completed as f64 / measured_s),
            errors,
            live: 0,
            count: latency.count(),
            p50_ns: latency.quantile(0.5),
            p99_ns: latency.quantile(0.99),
            max_ns: latency.max(),
            histogram_base64: if latency.count() == 0 {
                String::new()
            } else {
                latency.to_base64()
            },
        }
    }

    /// Decodes all latencies.
    ///
    /// # Errors
    /// The text is no histogram.
    pub fn recorder(&self) -> Result<Recorder, String> {
        if self.histogram_base64.is_empty() {
            Ok(Recorder::new())
        } else {
            Recorder::from_base64(&self.histogram_base64)
        }
    }
}

wire!(WrittenInterval, Interval,
    plain: {
        start_s: f64, measured_s: f64, completed: u64, requests_per_s: Option<f64>, errors: u64,
        live: u32, count: u64, histogram_base64: String
    },
    figures: { p50_ns: Nanos, p99_ns: Nanos, max_ns: Nanos }
);
