//! The stall detector: an optional thread that reports polls longer than a threshold. It is enabled
//! by [`Builder::detect_stalls`](crate::Builder::detect_stalls).
//!
//! Each shard publishes the task it polls and the number of its polls, with two plain stores per
//! poll on cache lines of its own. The detector's thread reads them periodically. If the values
//! stay the same for long enough, one poll has lasted that long. It is off by default because its
//! thread has to wake up periodically, while an idle reactor does not. With the feature
//! `stall-backtrace`, a report has a backtrace (`stall/backtrace.rs`). Tests are below and in
//! `tests/stalls.rs`.

#[cfg(feature = "stall-backtrace")]
mod backtrace;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::panics::caught;
use crate::shard::patrol::{Patrol, PollMark};
use crate::shard::{ShardId, ShardRef, ShardShared};
use crate::sys::CpuMask;
#[cfg(feature = "stall-backtrace")]
use crate::sys::Sampler;
#[cfg(test)]
use crate::task::TaskAddress;
use crate::task::TaskMeta;
use crate::trace;

#[cfg(feature = "stall-backtrace")]
pub use self::backtrace::StallBacktrace;

/// A hook that is called with each stall.
pub(crate) type StallHook = Arc<dyn Fn(&Stall) + Send + Sync>;

/// The number of checks per threshold, unless `PERIOD_MIN` allows fewer. A poll that exceeds the
/// threshold by one check period is always found.
const LOOKS: u32 = 4;

/// The minimum time between two checks.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// The builder's settings of the stall detector.
#[derive(Clone, Default)]
pub(crate) struct StallSettings {
    /// The time after which a poll is reported. `None` disables the detector.
    pub(crate) threshold: Option<Duration>,
    pub(crate) hook: Option<StallHook>,
    #[cfg(feature = "stall-backtrace")]
    pub(crate) backtraces: bool,
    #[cfg(feature = "stall-backtrace")]
    pub(crate) signal: Option<i32>,
}

/// A task whose poll blocks its shard, as passed to
/// [`Builder::on_stall`](crate::Builder::on_stall).
#[derive(Clone, Debug)]
pub struct Stall {
    shard: ShardId,
    task: Option<TaskMeta>,
    duration: Duration,
    is_over: bool,
    #[cfg(feature = "stall-backtrace")]
    backtrace: Option<Arc<StallBacktrace>>,
}

impl Stall {
    /// Returns the blocked shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Returns the task, unless it ended before it could be identified.
    pub fn task(&self) -> Option<&TaskMeta> {
        self.task.as_ref()
    }

    /// Returns the time that the poll has lasted so far, or its total time if it [is
    /// over](Self::is_over). The error is at most a quarter of the threshold, or one millisecond if
    /// that is longer.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Returns true if the poll has ended. Each stall is reported twice: when it is detected, and
    /// when it is over.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns the backtrace of the poll at the time when its stall was detected, if
    /// [`Builder::stall_backtraces`](crate::Builder::stall_backtraces) is on and the thread
    /// answered.
    #[cfg(feature = "stall-backtrace")]
    #[cfg_attr(docsrs, doc(cfg(feature = "stall-backtrace")))]
    pub fn backtrace(&self) -> Option<&StallBacktrace> {
        self.backtrace.as_deref()
    }
}

impl fmt::Display for Stall {
    /// Writes one line, for example:
    ///
    /// ```text
    /// shard 3 has been in one poll for 120ms: task 4711 of app::serve::{{closure}}, spawned at
    /// src/main.rs:12:9, on shard 3
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_over { "was" } else { "has been" };
        write!(
            f,
            "shard {} {verb} in one poll for {:?}",
            self.shard, self.duration
        )?;
        match &self.task {
            Some(task) => write!(f, ": {task}"),
            None => Ok(()),
        }
    }
}

/// The watch thread, which reports stalls and finds stuck shards. It ends when this value is
/// dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    thread: Option<thread::JoinHandle<()>>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    /// Disconnected when the thread is about to end.
    ended: Mutex<Receiver<()>>,
}

impl Watch {
    /// Starts the thread if it is needed: to report stalls, or to watch shards that share their
    /// work.
    pub(crate) fn start(
        name: String,
        mask: Option<CpuMask>,
        settings: &StallSettings,
        shards: Vec<ShardRef>,
    ) -> io::Result<Option<Self>> {
        let mut reporter = Reporter::new(settings, shards.len())?;
        // A simulation runs the patrol itself.
        let patrols = shards[0].shares_work() && !cfg!(reactor_sim);
        let mut patrol = patrols.then(|| Patrol::new(shards.len()));
        if reporter.is_none() && patrol.is_none() {
            return Ok(None);
        }
        let (stop, stopped) = channel();
        let (running, ended) = channel::<()>();
        let watch = move || {
            let _running = running;
            if let Some(mask) = mask {
                // Otherwise the thread stays on its starter's CPU, which may be the CPU of a
                // stalled shard.
                let _ = mask.restore();
            }
            loop {
                let mut period = Duration::MAX;
                if let Some(patrol) = &mut patrol {
                    period = patrol.check(&shards);
                }
                if let Some(reporter) = &mut reporter {
                    period = period.min(reporter.check(&shards));
                }
                if stopped.recv_timeout(period) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name(name).spawn(watch)?;
        Ok(Some(Self {
            thread: Some(thread),
            stop: Some(stop),
            ended: Mutex::new(ended),
        }))
    }

    /// Ends the thread, and detaches it if a hook still runs at `deadline`.
    pub(crate) fn end_by(mut self, deadline: Instant) {
        self.stop = None;
        let left = deadline.saturating_duration_since(Instant::now());
        let runs_still = || {
            let ended = self.ended.lock();
            ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
        };
        if !self.is_current() && runs_still() {
            self.detach();
        }
    }

    /// Returns true on the thread itself: a hook may drop the last owner of the reactor.
    fn is_current(&self) -> bool {
        let thread = self.thread.as_ref().map(|thread| thread.thread().id());
        thread == Some(thread::current().id())
    }

    /// Ends the thread without waiting for it.
    pub(crate) fn detach(mut self) {
        self.thread = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if self.is_current() {
            return;
        }
        if let Some(thread) = self.thread.take() {
            // The thread catches panics of the hook, and does not panic elsewhere.
            let _ = thread.join();
        }
    }
}

/// The part of the watch thread that reports stalls.
struct Reporter {
    period: Duration,
    watched: Vec<Watched>,
    hook: Option<StallHook>,
    #[cfg(feature = "stall-backtrace")]
    sampler: Option<Sampler>,
}

impl Reporter {
    /// Creates the reporter, if stalls are to be reported.
    fn new(settings: &StallSettings, shards: usize) -> io::Result<Option<Self>> {
        let Some(threshold) = settings.threshold else {
            return Ok(None);
        };
        Ok(Some(Self {
            period: (threshold / LOOKS).max(PERIOD_MIN),
            watched: vec![Watched::new(threshold); shards],
            hook: settings.hook.clone(),
            #[cfg(feature = "stall-backtrace")]
            sampler: if settings.backtraces {
                Some(Sampler::install(settings.signal)?)
            } else {
                None
            },
        }))
    }

    /// Checks all shards. Returns the time until the next check.
    fn check(&mut self, shards: &[ShardRef]) -> Duration {
        for (index, shard) in shards.iter().enumerate() {
            self.check_shard(index, shard);
        }
        self.period
    }

    fn check_shard(&mut self, index: usize, shard: &ShardShared) {
        let poll = shard.poll_under_way();
        let (duration, is_over) = match self.watched[index].check(poll, Instant::now()) {
            Check::Nothing => return,
            Check::Stalled(duration) => {
                shard.stalls.add_shared(1);
                let found = self.identify(shard, poll);
                self.watched[index].found = found;
                (duration, false)
            }
            Check::Over(duration) => (duration, true),
        };
        let found = self.watched[index].found.clone();
        let stall = Stall {
            shard: shard.id,
            task: found.task,
            duration,
            is_over,
            #[cfg(feature = "stall-backtrace")]
            backtrace: found.backtrace,
        };
        caught(|| trace::stall(&stall));
        if let Some(hook) = &self.hook {
            caught(|| hook(&stall));
            shard.io.process().abort_child();
        }
    }

    /// Finds the task of a stalled poll, and its backtrace. They are the right ones only if the
    /// poll lasts until both are found.
    fn identify(&self, shard: &ShardShared, poll: Option<PollMark>) -> Found {
        let lasts = || shard.poll_under_way() == poll;
        let task = poll.and_then(|(task, _)| shard.live.find(task));
        Found {
            task: task.map(|task| task.meta()).filter(|_| lasts()),
            #[cfg(feature = "stall-backtrace")]
            backtrace: self
                .sampler
                .zip(shard.thread.get())
                .and_then(|(sampler, thread)| StallBacktrace::capture(sampler, thread.number))
                .filter(|_| lasts())
                .map(Arc::new),
        }
    }
}

/// The task and the backtrace of a stalled poll.
#[derive(Clone, Debug, Default)]
struct Found {
    task: Option<TaskMeta>,
    #[cfg(feature = "stall-backtrace")]
    backtrace: Option<Arc<StallBacktrace>>,
}

/// The detector's state for one shard.
#[derive(Clone, Debug)]
struct Watched {
    threshold: Duration,
    /// The poll that the last check found, and the time of the first check that found it.
    poll: Option<(PollMark, Instant)>,
    is_stalled: bool,
    /// The task and the backtrace, as of the detection of the stall.
    found: Found,
}

/// The outcome of a check.
#[derive(Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    /// The poll has lasted this long, and this is the first check that found it stalled.
    Stalled(Duration),
    /// A stalled poll has ended, after about this time.
    Over(Duration),
}

impl Watched {
    fn new(threshold: Duration) -> Self {
        Self {
            threshold,
            poll: None,
            is_stalled: false,
            found: Found::default(),
        }
    }

    fn check(&mut self, found: Option<PollMark>, now: Instant) -> Check {
        let (before, since) = self.poll.unzip();
        let lasted = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if found.is_some() && found == before {
            if self.is_stalled || lasted < self.threshold {
                return Check::Nothing;
            }
            self.is_stalled = true;
            return Check::Stalled(lasted);
        }
        self.poll = found.map(|poll| (poll, now));
        if std::mem::take(&mut self.is_stalled) {
            Check::Over(lasted)
        } else {
            Check::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Duration = Duration::from_millis(40);

    fn poll(task: u64, number: u64) -> Option<PollMark> {
        TaskAddress::from_bits(task).map(|task| (task, number))
    }

    /// Feeds in checks 10 ms apart and returns their outcomes.
    fn checks(found: impl IntoIterator<Item = Option<PollMark>>) -> Vec<Check> {
        let mut watched = Watched::new(THRESHOLD);
        let start = Instant::now();
        let check = |(n, found)| watched.check(found, start + Duration::from_millis(10) * n);
        (0..).zip(found).map(check).collect()
    }

    #[test]
    fn one_poll_that_lasts_is_told_once_and_once_more_when_it_is_over() {
        let ms = Duration::from_millis;
        for after in [None, poll(8, 2), poll(16, 2)] {
            let mut found = vec![None, poll(8, 1)];
            found.extend([poll(8, 1); 6]);
            found.extend([after, after]);
            let mut expected: Vec<_> = (0..10).map(|_| Check::Nothing).collect();
            expected[5] = Check::Stalled(ms(40));
            expected[8] = Check::Over(ms(70));
            assert_eq!(checks(found), expected, "then {after:?}");
        }
    }

    #[test]
    fn a_shard_that_goes_on_is_not_stalled() {
        let nothing = |checks: Vec<Check>| checks.iter().all(|check| *check == Check::Nothing);
        // One task polled again and again; many tasks; no task.
        assert!(nothing(checks((0..20).map(|n| poll(8, n)))));
        assert!(nothing(checks((0..20).map(|n| poll(8 * (n + 1), n)))));
        assert!(nothing(checks((0..20).map(|_| None))));
        // Each poll is just shorter than the threshold.
        assert!(nothing(checks((0..20).map(|n| poll(8, n / 4)))));
        // Polls of the same number with pauses between them do not add up.
        assert!(nothing(checks((0..20).map(|n| if n % 4 == 3 {
            None
        } else {
            poll(8, 1)
        }))));
    }
}
