//! The main thread of a run. It starts the shards, takes them through ramp, load and end, and
//! samples the resource usage of the processes. It handles no request.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reactor::Reactor;

use crate::measure::clock::{Clock, Nanos, nanos};
use crate::measure::series::Series;
use crate::measure::server_side::{CpuReading, CpuUsed, Probe};
use crate::measure::slices::Slice;
use crate::run::control::{Command, Control, Live, ShardEvent, ShardResult};
use crate::run::exposition::Exposition;
use crate::run::interval_log::IntervalLog;
use crate::run::plan::{Plan, Timeline};
use crate::run::progress::{Extent, Progress};
use crate::run::setup::Amount;
use crate::run::supervisor::supervise;

/// The time between the start command and the first request: more than a supervisor's tick.
const LEAD: Duration = Duration::from_millis(25);
/// The time between two samples of the shards' counters.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// The longest time for shards to stop. A shard that takes longer counts as stuck.
const STOP_MAX: Duration = Duration::from_secs(10);

/// The main thread's record of a run.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// The results of the shards, without lost shards.
    pub(crate) results: Vec<ShardResult>,
    /// Shards whose supervisor panicked or is stuck.
    pub(crate) lost: u32,
    /// The signal that ended the run.
    pub(crate) signal: Option<i32>,
    /// The most connections that were open at one time.
    pub(crate) peak_live: u32,
    /// The time from the first connect until all connections were served.
    pub(crate) ramp: Nanos,
    /// The run's timeline, if it began.
    pub(crate) timeline: Option<Timeline>,
    /// The time at which the shards got the command to stop early.
    pub(crate) aborted_at: Option<Nanos>,
    /// The time at which the last shard had nothing more to do.
    pub(crate) quiet_at: Option<Nanos>,
    /// True if a failure ended the run (`--fail-fast`).
    pub(crate) failed_fast: bool,
    /// The delay of the first request after `--start-at`, if the run missed that time.
    pub(crate) began_late: Nanos,
    /// The error that stopped the log of intervals.
    pub(crate) log_error: Option<String>,
    /// Rate and latency over time.
    pub(crate) series: Series,
    /// Resource usage of the server.
    pub(crate) server: ResourceUsage,
    /// Resource usage of this process.
    pub(crate) generator: ResourceUsage,
}

/// Resource usage of a process during a run.
#[derive(Debug, Default)]
pub(crate) struct ResourceUsage {
    before: Option<CpuReading>,
    /// CPU time of the measured part.
    pub(crate) cpu: Option<CpuUsed>,
    /// Resident memory before the first connection.
    pub(crate) resident_before: u64,
    /// Resident memory with all connections served once.
    pub(crate) resident_connected: u64,
    /// The largest value observed.
    pub(crate) resident_peak: u64,
    /// The last error of observing the process.
    pub(crate) error: Option<String>,
}

impl ResourceUsage {
    fn memory(&mut self, probe: &Probe) -> u64 {
        match probe.resident() {
            Ok(resident) => {
                self.resident_peak = self.resident_peak.max(resident);
                resident
            }
            Err(error) => {
                self.error = Some(error.to_string());
                0
            }
        }
    }

    fn cpu_begins(&mut self, probe: &Probe) {
        match probe.cpu() {
            Ok(reading) => self.before = Some(reading),
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    fn cpu_ends(&mut self, probe: &Probe) {
        match (probe.cpu(), &self.before) {
            (Ok(after), Some(before)) => self.cpu = Some(after.since(before)),
            (Ok(_), None) => {}
            (Err(error), _) => self.error = Some(error.to_string()),
        }
    }
}

/// Runs a plan to its end, whether it succeeds, fails or is interrupted.
pub(crate) fn coordinate(
    plan: &Arc<Plan>,
    clock: Clock,
    reactor: &Reactor,
    (sender, events): (&Sender<ShardEvent>, &Receiver<ShardEvent>),
    probes: Probes,
    watchers: Watchers,
) -> Observations {
    let control = Arc::new(Control::new(plan.setup.threads));
    let mut coordinator = Coordinator {
        plan,
        clock,
        control,
        events,
        probes,
        watchers,
        observations: Observations {
            series: Series::new(plan.setup.interval),
            ..Observations::default()
        },
        ramped: 0,
        ramp_failed: false,
        quiet: 0,
    };
    coordinator.look_before();
    let began = clock.now();
    for (index, shard) in (0..plan.setup.threads).zip(reactor.handle().shards()) {
        let (plan, control, sender) = (
            Arc::clone(plan),
            Arc::clone(&coordinator.control),
            sender.clone(),
        );
        // An event reports its end, so the handle is not needed.
        drop(reactor.handle().spawn_on(shard, move || {
            supervise(index, plan, clock, control, sender)
        }));
    }
    coordinator.ramp(began);
    if coordinator.observations.aborted_at.is_none() {
        coordinator.load();
    }
    coordinator.close();
    coordinator.watchers.progress.end();
    coordinator.observations.log_error = coordinator.watchers.log.take().and_then(IntervalLog::end);
    coordinator.observations
}

/// The observed processes.
#[derive(Debug)]
pub(crate) struct Probes {
    pub(crate) server: Option<Probe>,
    pub(crate) generator: Option<Probe>,
}

/// Outputs that are written during a run.
#[derive(Debug)]
pub(crate) struct Watchers {
    pub(crate) progress: Progress,
    pub(crate) exposition: Option<Exposition>,
    pub(crate) log: Option<IntervalLog>,
}

struct Coordinator<'a> {
    plan: &'a Plan,
    clock: Clock,
    control: Arc<Control>,
    events: &'a Receiver<ShardEvent>,
    probes: Probes,
    watchers: Watchers,
    observations: Observations,
    ramped: u32,
    ramp_failed: bool,
    quiet: u32,
}

impl Coordinator<'_> {
    fn look_before(&mut self) {
        self.for_each_probe(|usage, probe| usage.resident_before = usage.memory(probe));
    }

    /// Waits until every connection is open and served.
    fn ramp(&mut self, began: Nanos) {
        while self.ramped + self.observations.lost < self.plan.setup.threads {
            self.next_event(SAMPLE_INTERVAL);
            let live = self.sample_live();
            self.watchers
                .progress
                .ramp(self.clock.now(), &live, self.plan.connections);
            if self.ramp_failed || self.observations.lost > 0 || self.observations.signal.is_some()
            {
                self.abort();
                return;
            }
        }
        self.observations.ramp = self.clock.now() - began;
        self.sample_live();
    }

    /// Runs the load, from the first request to the last answer.
    fn load(&mut self) {
        self.for_each_probe(|usage, probe| usage.resident_connected = usage.memory(probe));
        let now = self.clock.now();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix = unix.unwrap_or_default();
        let soonest = now + nanos(LEAD);
        let start = match self.plan.setup.start_at {
            Some(at) => {
                let start = now + nanos(at.saturating_sub(unix));
                self.observations.began_late = nanos((unix + LEAD).saturating_sub(at));
                start.max(soonest)
            }
            None => soonest,
        };
        let from = start.saturating_add(self.plan.load.warmup);
        let until = match self.plan.load.amount {
            Amount::Time(time) => from.saturating_add(time),
            Amount::Requests(_) => Nanos::MAX,
        };
        let timeline = Timeline { start, from, until };
        self.observations.timeline = Some(timeline);
        if let Some(log) = &mut self.watchers.log {
            let from = unix + Duration::from_nanos(from - now);
            log.begin(u64::try_from(from.as_millis()).unwrap_or(0));
        }
        self.control.give(Command::Go(timeline));
        let (mut began, mut ended) = (false, false);
        while self.quiet + self.observations.lost < self.plan.setup.threads {
            let now = self.clock.now();
            if !began && now >= from {
                began = true;
                self.for_each_probe(ResourceUsage::cpu_begins);
            }
            if !ended && now >= until {
                ended = true;
                self.for_each_probe(ResourceUsage::cpu_ends);
            }
            // Wait for the first of three: an event, the next sample, the next reading of CPU time.
            let moment = if began { until } else { from };
            let wait = nanos(SAMPLE_INTERVAL).min(if ended {
                Nanos::MAX
            } else {
                moment.saturating_sub(now).max(1)
            });
            self.next_event(Duration::from_nanos(wait));
            self.sample(timeline);
            // Shards stop waiting for servers on their own. A shard that does not is stuck.
            let patience = self.plan.setup.timeout.saturating_mul(2);
            let last = until
                .saturating_add(patience)
                .saturating_add(nanos(STOP_MAX));
            let overdue = now > last;
            let failed_fast = self.observations.failed_fast;
            if self.observations.signal.is_some()
                || self.observations.lost > 0
                || failed_fast
                || overdue
            {
                self.abort();
                break;
            }
        }
        self.observations.quiet_at = Some(self.clock.now());
        if !ended {
            self.for_each_probe(ResourceUsage::cpu_ends);
        }
        if let Some(probe) = &self.probes.server {
            self.observations.server.memory(probe);
        }
    }

    fn for_each_probe(&mut self, look: fn(&mut ResourceUsage, &Probe)) {
        if let Some(probe) = &self.probes.server {
            look(&mut self.observations.server, probe);
        }
        if let Some(probe) = &self.probes.generator {
            look(&mut self.observations.generator, probe);
        }
    }

    /// Stops all shards and waits until they have stopped.
    fn abort(&mut self) {
        let now = self.clock.now();
        self.observations.aborted_at = Some(now);
        self.control.give(Command::Abort);
        let deadline = now + nanos(STOP_MAX);
        while self.quiet + self.observations.lost < self.plan.setup.threads
            && self.clock.now() < deadline
        {
            self.next_event(SAMPLE_INTERVAL);
        }
    }

    /// Collects the results and tells the shards to close their connections.
    fn close(&mut self) {
        if let Some(probe) = &self.probes.generator {
            self.observations.generator.memory(probe);
        }
        self.control.give(Command::Close);
        let deadline = self.clock.now() + nanos(STOP_MAX);
        let missing = |observations: &Observations| {
            observations.results.len() + (observations.lost as usize)
                < self.plan.setup.threads as usize
        };
        while missing(&self.observations) && self.clock.now() < deadline {
            match self.events.recv_timeout(SAMPLE_INTERVAL) {
                Ok(ShardEvent::Result(result)) => self.observations.results.push(*result),
                Ok(ShardEvent::Slices(slices)) => self.take(slices),
                Ok(ShardEvent::Lost) => self.observations.lost += 1,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if missing(&self.observations) {
            self.observations.lost = self.plan.setup.threads
                - u32::try_from(self.observations.results.len()).unwrap_or(self.plan.setup.threads);
        }
    }

    fn next_event(&mut self, wait: Duration) {
        match self.events.recv_timeout(wait) {
            Ok(ShardEvent::Ramped { failed }) => {
                self.ramped += 1;
                self.ramp_failed |= failed;
            }
            Ok(ShardEvent::Slices(slices)) => self.take(slices),
            Ok(ShardEvent::Quiet) => self.quiet += 1,
            Ok(ShardEvent::FailedFast) => self.observations.failed_fast = true,
            Ok(ShardEvent::Lost) => self.observations.lost += 1,
            Ok(ShardEvent::Signal(signal)) => {
                self.observations.signal = self.observations.signal.or(Some(signal))
            }
            Ok(ShardEvent::Result(result)) => self.observations.results.push(*result),
            Err(RecvTimeoutError::Timeout) => {}
            // The session holds a sender during the whole run.
            Err(RecvTimeoutError::Disconnected) => self.observations.lost = self.plan.setup.threads,
        }
    }

    fn take(&mut self, slices: Vec<Slice>) {
        for slice in slices {
            self.watchers.progress.latencies(&slice.latency);
            if let Some(exposition) = &self.watchers.exposition {
                exposition.latencies(&slice.latency);
            }
            if let Some(log) = &mut self.watchers.log {
                log.add(slice.index, &slice.latency);
            }
            self.observations.series.add(slice);
        }
    }

    fn sample_live(&mut self) -> Vec<Live> {
        let live = self.control.live();
        let now: u32 = live.iter().map(|shard| shard.live).sum();
        self.observations.peak_live = self.observations.peak_live.max(now);
        if let Some(exposition) = &self.watchers.exposition {
            exposition.counters(&live);
        }
        live
    }

    /// Reads the shards' counters and shows them.
    fn sample(&mut self, timeline: Timeline) {
        let live = self.sample_live();
        let now = self.clock.now();
        let (done, total) = match self.plan.load.amount {
            Amount::Time(_) => (
                now.min(timeline.until).saturating_sub(timeline.start),
                timeline.until - timeline.start,
            ),
            Amount::Requests(total) => (live.iter().map(|shard| shard.answers).sum(), total),
        };
        let extent = Extent {
            warming: now < timeline.from,
            done,
            total,
        };
        self.watchers.progress.run(now, &live, extent);
    }
}
