//! The time series of a run: joins the slices of all threads, interval by interval.
//!
//! The main thread fills it during the run (`coordinator.rs`), and `merge` does too. The report
//! reads it at the end. Its memory is bounded: above [`POINTS_MAX`] intervals, pairs of neighbours
//! are joined and the length doubles. Only the last few histograms are unpacked. Tests: at the end
//! of this file.

use crate::measure::clock::Nanos;
use crate::measure::histogram::Recorder;
use crate::measure::slices::Slice;

/// The default length of an interval. In a long run it doubles.
pub(crate) const INTERVAL_DEFAULT: Nanos = 100_000_000;
/// The maximum number of intervals. More are too many to read or draw.
const POINTS_MAX: usize = 512;
/// The number of intervals that stay unpacked. Threads hand over an interval within a few ticks of
/// their supervisors.
const UNPACKED: usize = 2;

/// The intervals so far.
#[derive(Debug)]
pub(crate) struct Series {
    /// Length of a slice.
    base: Nanos,
    /// Slices per interval.
    factor: u64,
    points: Vec<Point>,
}

impl Default for Series {
    fn default() -> Self {
        Self::new(INTERVAL_DEFAULT)
    }
}

/// One interval.
#[derive(Debug, Default)]
pub(crate) struct Point {
    latency: Held,
    pub(crate) completed: u64,
    pub(crate) errors: u64,
    pub(crate) live: u32,
}

impl Point {
    /// All latencies of the interval.
    pub(crate) fn latencies(&self) -> Recorder {
        self.latency.recorder().unwrap_or_default()
    }
}

/// A histogram, which is unpacked while more values may come.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    Open(Box<Recorder>),
    Packed(Vec<u8>),
}

impl Held {
    fn recorder(&self) -> Option<Recorder> {
        match self {
            Self::Nothing => None,
            Self::Open(recorder) => Some(recorder.as_ref().clone()),
            Self::Packed(bytes) => Some(unpack(bytes)),
        }
    }

    fn add(&mut self, more: Recorder) {
        if more.count() == 0 {
            return;
        }
        let sum = match std::mem::take(self) {
            Self::Nothing => Box::new(more),
            Self::Open(mut sum) => {
                sum.merge(&more);
                sum
            }
            Self::Packed(bytes) => {
                let mut sum = Box::new(unpack(&bytes));
                sum.merge(&more);
                sum
            }
        };
        *self = Self::Open(sum);
    }

    fn pack(&mut self) {
        if let Self::Open(recorder) = self {
            *self = Self::Packed(recorder.to_bytes());
        }
    }
}

fn unpack(bytes: &[u8]) -> Recorder {
    Recorder::from_bytes(bytes).expect("what a recorder packed")
}

impl Series {
    /// Makes an empty series with slices of this length.
    pub(crate) fn new(base: Nanos) -> Self {
        Self {
            base: base.max(1),
            factor: 1,
            points: Vec::new(),
        }
    }

    /// Returns the slice that contains this time.
    pub(crate) fn index_at(&self, since_begin: Nanos) -> u64 {
        since_begin / self.base
    }

    /// Adds a slice of a thread.
    pub(crate) fn add(&mut self, slice: Slice) {
        while slice.index / self.factor >= POINTS_MAX as u64 {
            self.coarsen();
        }
        let at = usize::try_from(slice.index / self.factor).expect("below the maximum");
        while self.points.len() <= at {
            if let Some(settled) = self.points.len().checked_sub(UNPACKED) {
                self.points[settled].latency.pack();
            }
            self.points.push(Point::default());
        }
        let settled = at + UNPACKED < self.points.len();
        let point = &mut self.points[at];
        point.completed += slice.completed;
        point.errors += slice.errors;
        point.live += slice.live;
        point.latency.add(slice.latency);
        if settled {
            point.latency.pack();
        }
    }

    /// Joins pairs of neighbours.
    fn coarsen(&mut self) {
        let mut fine = std::mem::take(&mut self.points).into_iter();
        while let Some(mut first) = fine.next() {
            if let Some(second) = fine.next() {
                first.completed += second.completed;
                first.errors += second.errors;
                first.live = second.live;
                if let Some(more) = second.latency.recorder() {
                    first.latency.add(more);
                }
            }
            first.latency.pack();
            self.points.push(first);
        }
        self.factor *= 2;
    }

    /// Length of an interval.
    pub(crate) fn interval(&self) -> Nanos {
        self.base * self.factor
    }

    /// Returns the intervals in order, without gaps.
    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::TimeSeries;

    const BASE: Nanos = 1_000_000_000;

    fn slice(index: u64, latency: Nanos) -> Slice {
        let mut slice = Slice::new(index);
        slice.latency.record(latency);
        slice.completed = 1;
        slice
    }

    #[test]
    fn threads_are_put_together_by_interval_whatever_the_order() {
        let mut series = Series::new(BASE);
        for (index, latency) in [(0, 10), (1, 20), (5, 50), (0, 30), (1, 40), (6, 60)] {
            series.add(slice(index, latency));
        }
        let report = TimeSeries::of(&series, 6 * BASE);
        let counts: Vec<_> = report
            .intervals
            .iter()
            .map(|interval| (interval.completed, interval.count, interval.max_ns))
            .collect();
        assert_eq!(
            counts,
            [
                (2, 2, 30),
                (2, 2, 40),
                (0, 0, 0),
                (0, 0, 0),
                (0, 0, 0),
                (1, 1, 50),
                (1, 1, 60)
            ]
        );
        let unpacked = |point: &&Point| matches!(point.latency, Held::Open(_));
        assert!(series.points.iter().filter(unpacked).count() <= UNPACKED);
        let rates: Vec<_> = report
            .intervals
            .iter()
            .map(|interval| interval.requests_per_s)
            .collect();
        assert_eq!(rates[0], Some(2.0));
        assert_eq!(rates[6], None, "after the measured part there is no rate");
    }

    #[test]
    fn an_interval_cut_short_has_the_rate_of_its_part() {
        let mut series = Series::new(BASE);
        series.add(slice(0, 10));
        let interval = &TimeSeries::of(&series, BASE / 4).intervals[0];
        assert_eq!(interval.requests_per_s, Some(4.0));
        assert!((interval.measured_s - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_long_run_has_longer_intervals_and_loses_nothing() {
        let mut series = Series::new(BASE);
        let slices = 3 * POINTS_MAX as u64;
        for index in 0..slices {
            series.add(slice(index, index + 1));
        }
        let report = TimeSeries::of(&series, slices * BASE);
        assert!((report.interval_s - 4.0).abs() < 1e-9, "doubled twice");
        assert_eq!(report.intervals.len() as u64, slices.div_ceil(4));
        assert!(report.intervals.iter().all(|interval| interval.count == 4));
        let last = report.intervals.last().expect("some");
        assert!((last.start_s - 4.0 * (report.intervals.len() - 1) as f64).abs() < 1e-9);
        let mut all = Recorder::new();
        for interval in &report.intervals {
            all.merge(&interval.recorder().expect("a histogram"));
        }
        assert_eq!(all.count(), slices);
    }
}
