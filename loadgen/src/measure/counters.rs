//! The counters and histograms of one thread, in plain fields. They are merged at the end of the
//! run.
//!
//! A request is measured if its intended time is in the window, even if its answer comes late. So a
//! stall at the end of a run stays in the tail. Throughput counts the answers that arrive within
//! the window instead. Every answer calls it. Tests: `counters/tests.rs`.

use std::collections::BTreeMap;

use crate::measure::clock::{Nanos, Stamp};
use crate::measure::histogram::Recorder;
use crate::measure::slices::Slicer;

/// The measured part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first time in it.
    pub(crate) from: Nanos,
    /// The first time after it.
    pub(crate) until: Nanos,
}

impl Window {
    /// Makes an empty window.
    pub(crate) const NEVER: Self = Self {
        from: Nanos::MAX,
        until: Nanos::MAX,
    };

    /// Returns true if it contains this time.
    #[must_use]
    #[inline]
    pub(crate) fn contains(self, at: Nanos) -> bool {
        self.from <= at && at < self.until
    }
}

/// The reason why a request will not be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Its connection failed, or the run stopped waiting. It counts in the tail.
    Unanswered,
    /// It was due, but no connection was free to send it. It counts in the tail.
    Unsent,
    /// A signal ended the run. It has no latency.
    Interrupted,
}

/// Counters and histograms of one thread.
#[derive(Debug)]
pub(crate) struct Counters {
    /// The measured part.
    pub(crate) window: Window,
    /// True if the run has a number of requests. Each measured answer then counts as completed at
    /// any time.
    by_request: bool,
    /// Latency from the actual send.
    pub(crate) raw: Recorder,
    /// Latency from the intended send; open loop only.
    pub(crate) corrected: Option<Recorder>,
    /// The lag of the generator: the time from the intended to the actual send, if the socket did
    /// not cause it; open loop only.
    pub(crate) lag: Option<Recorder>,
    /// Latency of answers by which the server refused a request, from the intended send if there is
    /// one. No other histogram has them, so a server that refuses at once does not look fast.
    pub(crate) failures: Recorder,
    /// The time from the actual send to the first byte of the answer, if the protocol records it.
    pub(crate) first_byte: Option<Recorder>,
    /// Times to connect, including the TLS handshake.
    pub(crate) connect: Recorder,
    /// Times of TLS handshakes.
    pub(crate) handshake: Option<Recorder>,
    /// Requests that the schedule put into the window.
    pub(crate) scheduled: u64,
    /// Requests of the window that were answered.
    pub(crate) answered: u64,
    /// Requests of the window that were sent and not answered.
    pub(crate) unanswered: u64,
    /// Requests of the window that were never sent, because no connection was free.
    pub(crate) unsent: u64,
    /// Requests of the window in flight when a signal came.
    pub(crate) interrupted: u64,
    /// Answers that throughput counts.
    pub(crate) completed: u64,
    /// Answers within the window to requests that were due before it.
    pub(crate) carried_in: u64,
    /// Answers to requests of the window that came after its end.
    pub(crate) late: u64,
    /// Answers of the window by which the server refused a request, by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// All answers of the window, by status.
    pub(crate) status_codes: BTreeMap<u16, u64>,
    /// Bytes of answers that arrived within the window.
    pub(crate) bytes_read: u64,
    /// Answers of the whole run.
    pub(crate) answers: u64,
    /// The time of the last measured answer.
    pub(crate) last_answer: Nanos,
    /// The headline latencies by interval, which are collected during the run.
    pub(crate) slices: Slicer,
}

impl Counters {
    /// Makes empty counters.
    #[must_use]
    pub(crate) fn new(open: bool, by_request: bool) -> Self {
        Self {
            window: Window::NEVER,
            by_request,
            raw: Recorder::new(),
            corrected: open.then(Recorder::new),
            lag: open.then(Recorder::new),
            failures: Recorder::new(),
            first_byte: None,
            connect: Recorder::new(),
            handshake: None,
            scheduled: 0,
            answered: 0,
            unanswered: 0,
            unsent: 0,
            interrupted: 0,
            completed: 0,
            carried_in: 0,
            late: 0,
            statuses: BTreeMap::new(),
            status_codes: BTreeMap::new(),
            bytes_read: 0,
            answers: 0,
            last_answer: 0,
            slices: Slicer::new(),
        }
    }

    /// Counts received bytes.
    #[inline]
    pub(crate) fn read(&mut self, bytes: usize, now: Nanos) {
        if self.window.contains(now) {
            self.bytes_read += bytes as u64;
        }
    }

    /// Counts a complete and right answer. `refused` is true if the server refused the request.
    #[inline(always)]
    pub(crate) fn answer(&mut self, stamp: Stamp, now: Nanos, refused: bool) {
        self.slices.advance(now);
        self.answers += 1;
        let measured = self.window.contains(stamp.intended);
        if measured {
            self.answered += 1;
            self.last_answer = now;
            if refused {
                self.time_failure(stamp, now);
            } else {
                self.time(stamp, now);
            }
        }
        let counts = if self.by_request {
            measured
        } else {
            self.window.contains(now)
        };
        self.completed += u64::from(counts);
        if counts != measured {
            self.carried_in += u64::from(counts);
            self.late += u64::from(measured);
        }
        self.slices.completed(u64::from(counts));
    }

    /// Counts a request that will not be answered.
    ///
    /// In an open loop its latency lasts at least until the end of the window, so that a server
    /// that fails at once does not look fast.
    pub(crate) fn lose(&mut self, stamp: Stamp, now: Nanos, lost: Lost) {
        if !self.window.contains(stamp.intended) {
            return;
        }
        self.slices.advance(now);
        if lost == Lost::Interrupted {
            self.interrupted += 1;
            return;
        }
        let end = match self.window.until {
            Nanos::MAX => now,
            until => until.max(now),
        };
        let mut waited = end.saturating_sub(stamp.intended);
        if lost == Lost::Unsent {
            // The run's end counts, and not the later time at which the run notices it.
            if self.window.until != Nanos::MAX {
                waited = self.window.until.saturating_sub(stamp.intended);
            }
            self.unsent += 1;
        } else {
            self.unanswered += 1;
            self.raw.record(now.saturating_sub(stamp.sent));
        }
        let headline = match &mut self.corrected {
            Some(corrected) => {
                corrected.record(waited);
                waited
            }
            None => now.saturating_sub(stamp.sent),
        };
        self.slices.record(headline);
    }

    /// Records the lag of the generator for a request that it was free to send.
    #[inline]
    pub(crate) fn lag(&mut self, stamp: Stamp) {
        if let Some(lag) = &mut self.lag
            && self.window.contains(stamp.intended)
        {
            lag.record(stamp.sent.saturating_sub(stamp.intended));
        }
    }

    #[inline(always)]
    fn time(&mut self, stamp: Stamp, now: Nanos) {
        let raw = now.saturating_sub(stamp.sent);
        self.raw.record(raw);
        let headline = match &mut self.corrected {
            Some(corrected) => {
                let corrected_ns = now.saturating_sub(stamp.intended);
                corrected.record(corrected_ns);
                corrected_ns
            }
            None => raw,
        };
        self.slices.record(headline);
    }

    #[cold]
    fn time_failure(&mut self, stamp: Stamp, now: Nanos) {
        let since = if self.corrected.is_some() {
            stamp.intended
        } else {
            stamp.sent
        };
        self.failures.record(now.saturating_sub(since));
    }

    /// Counts the status of an answer, and the time from the send to its first byte.
    pub(crate) fn response(&mut self, stamp: Stamp, status: u16, first_byte: Nanos) {
        if !self.window.contains(stamp.intended) {
            return;
        }
        if status > 0 {
            *self.status_codes.entry(status).or_default() += 1;
        }
        self.first_byte
            .get_or_insert_default()
            .record(first_byte.saturating_sub(stamp.sent));
    }

    /// Adds the counters of another thread, without its slices: `series.rs` joins these.
    pub(crate) fn merge(&mut self, other: &Self) {
        let add = |mine: &mut Option<Recorder>, theirs: &Option<Recorder>| {
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                mine.merge(theirs);
            }
        };
        self.raw.merge(&other.raw);
        add(&mut self.corrected, &other.corrected);
        add(&mut self.lag, &other.lag);
        self.failures.merge(&other.failures);
        if let Some(first_byte) = &other.first_byte {
            self.first_byte.get_or_insert_default().merge(first_byte);
        }
        for (status, count) in &other.status_codes {
            *self.status_codes.entry(*status).or_default() += count;
        }
        self.connect.merge(&other.connect);
        if let Some(handshake) = &other.handshake {
            self.handshake.get_or_insert_default().merge(handshake);
        }
        self.scheduled += other.scheduled;
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
        self.carried_in += other.carried_in;
        self.late += other.late;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.interrupted += other.interrupted;
        self.completed += other.completed;
        self.bytes_read += other.bytes_read;
        self.answers += other.answers;
        self.last_answer = self.last_answer.max(other.last_answer);
    }
}

#[cfg(test)]
mod tests;
