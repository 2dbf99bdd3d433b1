//! A thread's part of the time series: its counts per interval, in plain fields.
//!
//! A value belongs to the interval in which its answer came. So the intervals add up to the
//! thread's histogram, and a stall shows in the interval in which it ends. `counters.rs` records,
//! the supervisor collects complete intervals, and `series.rs` joins the threads. It holds the open
//! interval and those that were not collected yet. Tests: at the end of this file.

use std::mem;

use crate::measure::clock::Nanos;
use crate::measure::histogram::Recorder;

/// The record of one thread in one interval.
#[derive(Debug)]
pub(crate) struct Slice {
    /// The number of the interval, from the beginning of the measured part.
    pub(crate) index: u64,
    /// The headline latencies.
    pub(crate) latency: Recorder,
    /// The answers that throughput counts.
    pub(crate) completed: u64,
    /// Connections that failed.
    pub(crate) errors: u64,
    /// Connections that were open when it ended.
    pub(crate) live: u32,
}

impl Slice {
    pub(crate) fn new(index: u64) -> Self {
        Self {
            index,
            latency: Recorder::new(),
            completed: 0,
            errors: 0,
            live: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.completed == 0 && self.errors == 0 && self.live == 0 && self.latency.count() == 0
    }
}

/// Divides a thread's values into slices.
#[derive(Debug)]
pub(crate) struct Slicer {
    from: Nanos,
    length: Nanos,
    /// The end of the open slice; `Nanos::MAX` until the run begins.
    until: Nanos,
    open: Slice,
    complete: Vec<Slice>,
    /// The number of failures so far.
    errors: u64,
    /// The number of open connections.
    live: u32,
}

impl Slicer {
    /// Makes slices. All values go into one slice until [`begin`](Self::begin).
    pub(crate) fn new() -> Self {
        Self {
            from: 0,
            length: Nanos::MAX,
            until: Nanos::MAX,
            open: Slice::new(0),
            complete: Vec::new(),
            errors: 0,
            live: 0,
        }
    }

    /// Begins intervals of this length now.
    pub(crate) fn begin(&mut self, from: Nanos, length: Nanos) {
        self.from = from;
        self.length = length.max(1);
        self.until = from.saturating_add(self.length);
    }

    /// Advances to the interval that contains this time.
    #[inline]
    pub(crate) fn advance(&mut self, now: Nanos) {
        if now >= self.until {
            self.next(now);
        }
    }

    #[cold]
    fn next(&mut self, now: Nanos) {
        let index = (now - self.from) / self.length;
        let beyond = (index + 1).saturating_mul(self.length);
        self.until = self.from.saturating_add(beyond);
        self.open.live = self.live;
        if self.open.is_empty() {
            self.open.index = index;
        } else {
            let complete = mem::replace(&mut self.open, Slice::new(index));
            self.complete.push(complete);
        }
    }

    /// Adds a latency to the open slice.
    #[inline]
    pub(crate) fn record(&mut self, ns: Nanos) {
        self.open.latency.record(ns);
    }

    /// Adds answers to the open slice.
    #[inline]
    pub(crate) fn completed(&mut self, answers: u64) {
        self.open.completed += answers;
    }

    /// Adds the failures since the last call; `total` is their number so far. Failures before the
    /// run are in no slice.
    pub(crate) fn failed(&mut self, total: u64, now: Nanos) {
        let more = total - mem::replace(&mut self.errors, total);
        if now >= self.from && self.until != Nanos::MAX {
            self.advance(now);
            self.open.errors += more;
        }
    }

    /// Sets the number of connections that are open.
    pub(crate) fn live(&mut self, live: u32) {
        self.live = live;
    }

    /// Returns the slices that are complete.
    pub(crate) fn take_complete(&mut self, now: Nanos) -> Vec<Slice> {
        self.advance(now);
        mem::take(&mut self.complete)
    }

    /// Returns the remaining slices.
    pub(crate) fn take_all(&mut self) -> Vec<Slice> {
        let mut all = mem::take(&mut self.complete);
        self.open.live = self.live;
        if !self.open.is_empty() {
            let next = Slice::new(self.open.index);
            all.push(mem::replace(&mut self.open, next));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(slices: &[Slice]) -> Vec<(u64, u64, u64, u64)> {
        let shape = |slice: &Slice| {
            let count = slice.latency.count();
            (slice.index, count, slice.completed, slice.errors)
        };
        slices.iter().map(shape).collect()
    }

    #[test]
    fn values_fall_into_the_interval_of_their_moment() {
        let mut slicer = Slicer::new();
        slicer.begin(1_000, 100);
        for now in [1_000, 1_099, 1_100, 1_350] {
            slicer.advance(now);
            slicer.record(5);
            slicer.completed(1);
        }
        assert_eq!(
            shape(&slicer.take_complete(1_399)),
            [(0, 2, 2, 0), (1, 1, 1, 0)],
            "the third interval had nothing, the fourth is still open"
        );
        assert_eq!(shape(&slicer.take_complete(1_400)), [(3, 1, 1, 0)]);
        assert!(slicer.take_all().is_empty());
    }

    #[test]
    fn failures_count_from_the_beginning_of_the_run() {
        let mut slicer = Slicer::new();
        slicer.failed(2, 5);
        slicer.begin(1_000, 100);
        slicer.failed(3, 999);
        slicer.failed(7, 1_050);
        slicer.failed(7, 1_150);
        slicer.failed(8, 1_250);
        assert_eq!(shape(&slicer.take_all()), [(0, 0, 0, 4), (2, 0, 0, 1)]);
    }
}
