//! A look from outside at polls that do not end: one thread, where [`Builder::detect_stalls`](crate::Builder::detect_stalls) asks for it.
//!
//! Each shard says which task it polls and how many polls that makes, in two plain stores a poll on lines of its own. The thread here
//! reads them from time to time; where it reads the same for long enough, one poll has lasted that long. It is off by default because a
//! thread that looks has to wake, while an idle reactor does not. Tests: below, and `tests/stalls.rs`.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::panics::caught;
use crate::shard::{ShardId, ShardRef, ShardShared};
use crate::sys::CpuMask;
use crate::task::{TaskId, TaskMeta};

/// Called with each stall.
pub(crate) type StallHook = Arc<dyn Fn(&Stall) + Send + Sync>;

/// How many looks are taken in the time that makes a stall: a poll that lasts a part longer than that is never missed.
const LOOKS: u32 = 4;

/// The shortest time between two looks.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// A task whose poll holds its shard up, as [`Builder::on_stall`](crate::Builder::on_stall) is told of it.
#[derive(Clone, Debug)]
pub struct Stall {
    shard: ShardId,
    task: Option<TaskMeta>,
    duration: Duration,
    is_over: bool,
}

impl Stall {
    /// The shard that is held up.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The task, unless it ended as it was about to be named.
    pub fn task(&self) -> Option<&TaskMeta> {
        self.task.as_ref()
    }

    /// How long the poll lasts by now, or has lasted where it [is over](Self::is_over), within a quarter of the threshold.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Whether the poll has ended. Each stall is told twice: when it is noticed, and when it is over.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl fmt::Display for Stall {
    /// For example `shard 3 has been in one poll for 120ms: task 5581a0 of app::serve::{{closure}}, spawned at src/main.rs:12:9, on shard 3`.
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

/// The thread that looks. It ends with this value.
#[derive(Debug)]
pub(crate) struct Watch {
    thread: Option<thread::JoinHandle<()>>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
}

impl Watch {
    /// Starts the thread.
    pub(crate) fn start(
        name: String,
        mask: Option<CpuMask>,
        threshold: Duration,
        hook: Option<StallHook>,
        shards: Vec<ShardRef>,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let period = (threshold / LOOKS).max(PERIOD_MIN);
        let watch = move || {
            if let Some(mask) = mask {
                // Else it stays where its starter runs, which may be a stalled shard's CPU.
                let _ = mask.restore();
            }
            let mut watched = vec![Watched::new(threshold); shards.len()];
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                for (shard, watched) in shards.iter().zip(&mut watched) {
                    look_at(shard, watched, hook.as_ref());
                }
            }
        };
        let thread = thread::Builder::new().name(name).spawn(watch)?;
        Ok(Self {
            thread: Some(thread),
            stop: Some(stop),
        })
    }

    /// Ends the thread without waiting for it.
    pub(crate) fn detach(mut self) {
        self.thread = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        // A hook may drop the last owner of the reactor.
        if thread.thread().id() != thread::current().id() {
            // It catches what the hook panics with, and panics nowhere else.
            let _ = thread.join();
        }
    }
}

fn look_at(shard: &ShardShared, watched: &mut Watched, hook: Option<&StallHook>) {
    let poll = Poll::of(shard);
    let (duration, is_over) = match watched.look(poll, Instant::now()) {
        Look::Nothing => return,
        Look::Stalled(duration) => {
            shard.stalls.add_shared(1);
            // What is found is that task only if the poll has gone on until here.
            watched.task = poll
                .and_then(|poll| shard.live.find(poll.task))
                .map(|task| task.meta())
                .filter(|_| Poll::of(shard) == poll);
            (duration, false)
        }
        Look::Over(duration) => (duration, true),
    };
    let stall = Stall {
        shard: shard.id,
        task: watched.task,
        duration,
        is_over,
    };
    if let Some(hook) = hook {
        caught(|| hook(&stall));
        shard.io.process().abort_child();
    }
}

/// One poll of one task, told from all others of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Poll {
    task: TaskId,
    number: u64,
}

impl Poll {
    /// The poll that the shard is in. Where it goes on to the next just now, the two numbers may be of neighbours; such a pair is
    /// read once only.
    fn of(shard: &ShardShared) -> Option<Self> {
        let task = TaskId::from_bits(shard.counters.polling.get())?;
        let number = shard.counters.polls.get();
        Some(Self { task, number })
    }
}

/// What is known of a shard from looks at it.
#[derive(Clone, Debug)]
struct Watched {
    threshold: Duration,
    /// The poll that the last look found, and the first look that did.
    poll: Option<(Poll, Instant)>,
    is_stalled: bool,
    /// Who was named when the stall was noticed.
    task: Option<TaskMeta>,
}

/// What a look comes to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Nothing,
    /// The poll has lasted for that long, and this is the first look to find that.
    Stalled(Duration),
    /// A poll that was stalled has ended, after about that long.
    Over(Duration),
}

impl Watched {
    fn new(threshold: Duration) -> Self {
        Self {
            threshold,
            poll: None,
            is_stalled: false,
            task: None,
        }
    }

    fn look(&mut self, found: Option<Poll>, now: Instant) -> Look {
        let (before, since) = self.poll.unzip();
        let lasted = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if found.is_some() && found == before {
            if self.is_stalled || lasted < self.threshold {
                return Look::Nothing;
            }
            self.is_stalled = true;
            return Look::Stalled(lasted);
        }
        self.poll = found.map(|poll| (poll, now));
        if std::mem::take(&mut self.is_stalled) {
            Look::Over(lasted)
        } else {
            Look::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: Duration = Duration::from_millis(40);

    fn poll(task: u64, number: u64) -> Option<Poll> {
        TaskId::from_bits(task).map(|task| Poll { task, number })
    }

    /// Feeds looks 10 ms apart, and gives what each came to.
    fn looks(found: impl IntoIterator<Item = Option<Poll>>) -> Vec<Look> {
        let mut watched = Watched::new(THRESHOLD);
        let start = Instant::now();
        let look = |(n, found)| watched.look(found, start + Duration::from_millis(10) * n);
        (0..).zip(found).map(look).collect()
    }

    #[test]
    fn one_poll_that_lasts_is_told_once_and_once_more_when_it_is_over() {
        let ms = Duration::from_millis;
        for after in [None, poll(8, 2), poll(16, 2)] {
            let mut found = vec![None, poll(8, 1)];
            found.extend([poll(8, 1); 6]);
            found.extend([after, after]);
            let mut expected: Vec<_> = (0..10).map(|_| Look::Nothing).collect();
            expected[5] = Look::Stalled(ms(40));
            expected[8] = Look::Over(ms(70));
            assert_eq!(looks(found), expected, "then {after:?}");
        }
    }

    #[test]
    fn a_shard_that_goes_on_is_not_stalled() {
        let nothing = |looks: Vec<Look>| looks.iter().all(|look| *look == Look::Nothing);
        // One task polled again and again; many tasks; none.
        assert!(nothing(looks((0..20).map(|n| poll(8, n)))));
        assert!(nothing(looks((0..20).map(|n| poll(8 * (n + 1), n)))));
        assert!(nothing(looks((0..20).map(|_| None))));
        // Each for just less than the threshold.
        assert!(nothing(looks((0..20).map(|n| poll(8, n / 4)))));
        // Pauses between polls of one number do not add up.
        assert!(nothing(looks((0..20).map(|n| if n % 4 == 3 {
            None
        } else {
            poll(8, 1)
        }))));
    }
}
