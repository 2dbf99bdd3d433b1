//! The supervisor: one task per shard that keeps time. It follows the main thread's commands, finds
//! connections that wait for a silent server, ends the run on time, and reports.
//!
//! It checks everything once per tick, so no request needs a timer of its own. Tests: every
//! integration test.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use reactor::time::{sleep, sleep_until};
use reactor::{JoinHandle, spawn_local};

use crate::measure::clock::{Clock, Nanos, nanos};
use crate::measure::counters::Counters;
use crate::measure::cpu::ThreadCpu;
use crate::report::Connections;
use crate::run::churn::end_lifetimes;
use crate::run::connection_slot::Directive;
use crate::run::control::{Command, Control, Live, ShardEvent, ShardResult};
use crate::run::dispatch::dispatch;
use crate::run::plan::{Plan, Timeline};
use crate::run::ramp::keep_open;
use crate::run::setup::Amount;
use crate::run::shard::Shard;

/// The supervisor's interval.
const TICK: Duration = Duration::from_millis(10);
/// The limits of the time between two searches for silent connections.
const SEARCH_MIN: Duration = Duration::from_millis(10);
const SEARCH_MAX: Duration = Duration::from_millis(250);
/// The number of ticks in which closing connections may end by themselves.
const CLOSE_TICKS: u32 = 100;

/// Runs a shard, from its first connection to its last.
pub(crate) async fn supervise(
    index: u32,
    plan: Arc<Plan>,
    clock: Clock,
    control: Arc<Control>,
    events: Sender<ShardEvent>,
) {
    let report = Reporter {
        events,
        done: false,
    };
    let shard = Rc::new(Shard::new(index, plan, clock));
    Supervisor::new(shard, control, report).run().await;
}

/// Reports the shard as lost if its supervisor ends without a result.
struct Reporter {
    events: Sender<ShardEvent>,
    done: bool,
}

impl Reporter {
    /// If the main thread has ended, the report is not needed.
    fn say(&self, event: ShardEvent) {
        let _ = self.events.send(event);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.done {
            self.say(ShardEvent::Lost);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ramping,
    Ready,
    Running,
    Quiet,
}

struct Supervisor {
    shard: Rc<Shard>,
    control: Arc<Control>,
    report: Reporter,
    phase: Phase,
    next_search: Nanos,
    /// The time from which no more requests begin.
    all_begun_at: Option<Nanos>,
    /// The time since which all sending connections have been lost.
    cut_off_since: Option<Nanos>,
    /// True if the main thread knows that a failure ends the run.
    failed_fast: bool,
    timeline: Option<Timeline>,
    /// The task that starts the load and dispatches requests.
    load: Option<JoinHandle<()>>,
    cpu: CpuShare,
}

impl Supervisor {
    fn new(shard: Rc<Shard>, control: Arc<Control>, report: Reporter) -> Self {
        Self {
            shard,
            control,
            report,
            phase: Phase::Ramping,
            next_search: 0,
            all_begun_at: None,
            cut_off_since: None,
            failed_fast: false,
            timeline: None,
            load: None,
            cpu: CpuShare::default(),
        }
    }

    async fn run(mut self) {
        let pacer = spawn_local(keep_open(Rc::clone(&self.shard)));
        loop {
            sleep(TICK).await;
            let now = self.shard.clock.now();
            if self.has_lost_a_task(&pacer) {
                // The reporter reports the shard as lost.
                return;
            }
            if self.phase == Phase::Ramping && (self.shard.ramped.get() || pacer.is_finished()) {
                self.ramped(now);
            }
            match self.control.command() {
                Command::Ramp => {}
                Command::Go(timeline) if self.phase == Phase::Ready => self.begin(timeline),
                Command::Go(_) => {}
                Command::Abort => self.abort(now),
                Command::Close => break,
            }
            self.search_silent(now);
            self.measure_cpu(now);
            self.finish_when_quiet(now);
            self.publish(now);
        }
        pacer.abort();
        self.close().await;
    }

    /// Returns true if the pacer or the dispatcher panicked. Without this check, the run would go
    /// on, and its figures would look right.
    fn has_lost_a_task(&self, pacer: &JoinHandle<()>) -> bool {
        let load = self.load.as_ref();
        let dispatcher = load.is_some_and(JoinHandle::is_finished) && !self.shard.dispatched.get();
        dispatcher || (pacer.is_finished() && !self.shard.ramp_stopped.get())
    }

    fn ramped(&mut self, now: Nanos) {
        self.phase = Phase::Ready;
        self.publish(now);
        let failed = self.shard.ramp_stopped.get();
        self.report.say(ShardEvent::Ramped { failed });
    }

    fn begin(&mut self, timeline: Timeline) {
        self.phase = Phase::Running;
        self.timeline = Some(timeline);
        self.load = Some(spawn_local(start(Rc::clone(&self.shard), timeline)));
    }

    fn abort(&mut self, now: Nanos) {
        if self.phase == Phase::Quiet {
            return;
        }
        self.shard.cut(now);
        self.shard.direct_all(Directive::Abort);
        // Tasks that have just started see the directive at the next tick.
        if self.shard.live.get() == 0 && self.shard.opening.get() == 0 {
            self.finish(now);
        }
    }

    /// Fails connections whose server has owed an answer for too long.
    fn search_silent(&mut self, now: Nanos) {
        if now < self.next_search {
            return;
        }
        let timeout = self.shard.plan.setup.timeout;
        self.next_search = now + search_interval(timeout);
        for slot in self.shard.slots.borrow().iter() {
            if slot.is_late(now, timeout) {
                slot.give(Directive::TimedOut);
            }
        }
    }

    /// Reads the thread's CPU time at the first tick of the measured part, and at the first tick
    /// after it.
    fn measure_cpu(&mut self, now: Nanos) {
        let Some(timeline) = self.timeline else {
            return;
        };
        if now >= timeline.from && self.cpu.before.is_none() {
            self.cpu.before = Some((now, ThreadCpu::now()));
        }
        if now >= timeline.until && self.cpu.after.is_none() {
            self.cpu.after = Some((now, ThreadCpu::now()));
        }
    }

    fn finish_when_quiet(&mut self, now: Nanos) {
        if self.phase != Phase::Running || !self.shard.begun.get() {
            return;
        }
        if self.shard.failed_fast.get() && !self.failed_fast {
            self.failed_fast = true;
            self.report.say(ShardEvent::FailedFast);
        }
        let shard = &self.shard;
        let sends = shard.plan.sending_share(shard.index).is_some();
        if !shard.plan.is_open() && shard.active_slots.get() == 0 && sends {
            // No connection is left that could send. A schedule goes on regardless.
            return self.finish(now);
        }
        let cut_off = sends && shard.is_cut_off();
        if !shard.all_begun(now) {
            return self.end_without_server(now, cut_off);
        }
        let begun_at = *self.all_begun_at.get_or_insert(now);
        if shard.in_flight.get() == 0 {
            return self.finish(now);
        }
        // A silent connection fails by itself before this. This ends connections whose answers come
        // too slowly, and the wait for lost connections.
        let beside = 2 * search_interval(shard.plan.setup.timeout) + nanos(TICK);
        let patience = shard.plan.setup.timeout.saturating_add(beside);
        if cut_off || now.saturating_sub(begun_at) > patience {
            shard.direct_all(Directive::GiveUp);
        }
    }

    /// Ends a closed loop with a number of requests if all connections have been lost for the
    /// timeout. It would never end otherwise.
    fn end_without_server(&mut self, now: Nanos, cut_off: bool) {
        let shard = &self.shard;
        if !cut_off
            || shard.plan.is_open()
            || !matches!(shard.plan.load.amount, Amount::Requests(_))
        {
            self.cut_off_since = None;
            return;
        }
        let since = *self.cut_off_since.get_or_insert(now);
        if now.saturating_sub(since) > shard.plan.setup.timeout {
            shard.cut(now);
            shard.direct_all(Directive::GiveUp);
        }
    }

    fn finish(&mut self, now: Nanos) {
        self.phase = Phase::Quiet;
        if self.cpu.before.is_some() && self.cpu.after.is_none() {
            self.cpu.after = Some((now, ThreadCpu::now()));
        }
        self.publish(now);
        self.report.say(ShardEvent::Quiet);
    }

    fn publish(&self, now: Nanos) {
        let shard = &self.shard;
        let slices = {
            let slicer = &mut shard.counters.borrow_mut().slices;
            slicer.failed(shard.errors.borrow().total(), now);
            slicer.live(shard.live.get());
            slicer.take_complete(now)
        };
        if !slices.is_empty() {
            self.report.say(ShardEvent::Slices(slices));
        }
        let live = Live {
            connected: shard.connected.get(),
            live: shard.live.get(),
            answers: shard.counters.borrow().answers,
            errors: shard.errors.borrow().total() + shard.errors_outside.borrow().total(),
        };
        self.control.publish(shard.index, live);
    }

    /// Sends the results, then lets every connection end by itself, so that sockets close in order.
    async fn close(mut self) {
        let shard = &self.shard;
        let slices = shard.counters.borrow_mut().slices.take_all();
        self.report.say(ShardEvent::Slices(slices));
        let (busy, waited) = self.cpu.share();
        let result = ShardResult {
            counters: shard
                .counters
                .replace(Counters::new(shard.plan.is_open(), false)),
            errors: shard.errors.borrow().clone(),
            errors_outside: shard.errors_outside.borrow().clone(),
            connections: Connections {
                connected: shard.connected.get(),
                served: shard.served.get(),
                established: shard.established.get(),
                retired: shard.retired.get(),
                closed_by_server: shard.left.get(),
                broken: shard.broken.get(),
                reconnected: shard.reconnected.get(),
                ..Connections::default()
            },
            sources: shard.sources.used(),
            found_none_free: shard.balancer.borrow().found_none_free(),
            schedule_end: shard.schedule_end.get(),
            bad: *shard.bad.borrow(),
            busy,
            waited,
        };
        shard.direct_all(Directive::Abort);
        self.report.done = true;
        self.report.say(ShardEvent::Result(Box::new(result)));
        for _ in 0..CLOSE_TICKS {
            if self.shard.live.get() == 0 && self.shard.opening.get() == 0 {
                return;
            }
            sleep(TICK).await;
        }
    }
}

/// Begins the run at its start time, which is the same on all shards.
async fn start(shard: Rc<Shard>, timeline: Timeline) {
    sleep_until(shard.clock.instant(timeline.start)).await;
    shard.begin(timeline);
    if let Some(lifetime) = shard.plan.setup.lifetime {
        drop(spawn_local(end_lifetimes(Rc::clone(&shard), lifetime)));
    }
    dispatch(&shard, timeline).await;
}

fn search_interval(timeout: Nanos) -> Nanos {
    (timeout / 10).clamp(nanos(SEARCH_MIN), nanos(SEARCH_MAX))
}

/// The measurement of the time that a thread was busy.
#[derive(Default)]
struct CpuShare {
    before: Option<(Nanos, ThreadCpu)>,
    after: Option<(Nanos, ThreadCpu)>,
}

impl CpuShare {
    /// Returns the shares of time on a CPU and in wait for one.
    #[expect(clippy::cast_precision_loss, reason = "a share of two digits")]
    fn share(&self) -> (f64, f64) {
        match (self.before, self.after) {
            (Some((began, before)), Some((ended, after))) if ended > began => {
                let elapsed = (ended - began) as f64;
                let share =
                    |after: Nanos, before: Nanos| after.saturating_sub(before) as f64 / elapsed;
                (
                    share(after.ran, before.ran),
                    share(after.waited, before.waited),
                )
            }
            _ => (0.0, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use reactor::Reactor;

    use super::*;
    use crate::report::rate::Rate;
    use crate::report::settings::Arrivals;
    use crate::run::coordinator::{Probes, Watchers, coordinate};
    use crate::run::plan::tests::plan;
    use crate::run::progress::Progress;
    use crate::run::setup::Pace;
    use crate::run::sources::Address;

    #[test]
    fn a_run_whose_load_task_panics_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 64];
            while stream.read_exact(&mut request).is_ok() && stream.write_all(&request).is_ok() {}
        });
        let mut plan = plan(1, 1, 1);
        plan.target = Address::Tcp(address);
        plan.setup.timeout = nanos(Duration::from_secs(5));
        plan.load.amount = Amount::Time(nanos(Duration::from_secs(30)));
        // A schedule without a rate panics in the task that starts the load.
        plan.load.pace = Pace::Open {
            rate: Rate::whole(0),
            arrivals: Arrivals::Fixed,
            in_flight_max: 1,
        };
        let reactor = Reactor::builder().shards(1).build().expect("a thread");
        let (sender, events) = mpsc::channel();
        let probes = Probes {
            server: None,
            generator: None,
        };
        let clock = Clock::start();
        let observations = coordinate(
            &Arc::new(plan),
            clock,
            &reactor,
            (&sender, &events),
            probes,
            Watchers {
                progress: Progress::new(true),
                exposition: None,
                log: None,
            },
        );
        assert_eq!(observations.lost, 1);
        assert!(observations.aborted_at.is_some());
        assert!(clock.now() < nanos(Duration::from_secs(25)), "at once");
    }
}
