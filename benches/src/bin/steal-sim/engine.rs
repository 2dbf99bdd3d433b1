//! The discrete-event engine: the clock, the connections, and one turn loop per shard.
//!
//! A shard does one step at a time. Each step determines its length and the next step. The steps
//! are those of the reactor's loop: poll the OS, run up to `EVENT_INTERVAL` polls, search the
//! siblings, sleep. The decisions of the policy are in `balance.rs`. Every shard has its own CPU.
//! Tests are in `tests.rs`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use fastrand::Rng;

use crate::balance::Found;
use crate::costs::Costs;
use crate::policy::{Policy, WakeTo};
use crate::workload::{ClosedLoop, Request};

/// The number of task polls in a turn, as in `Builder::event_interval`.
const EVENT_INTERVAL: u32 = 61;
/// The number of events per `epoll_wait`, as in `Builder::events_per_poll`.
const EVENTS_PER_LOOK: usize = 1024;
/// The number of requests that a task serves in one poll: a budget of 128 pays for one read and one
/// write each.
const REQUESTS_PER_POLL: u32 = 64;

/// Counted events of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Tasks that a sibling took.
    pub(crate) stolen: u64,
    pub(crate) moves: u64,
    pub(crate) searches: u64,
    /// Searches that found nothing.
    pub(crate) wasted: u64,
    /// Writes to the eventfd of a sleeping shard.
    pub(crate) notifies: u64,
    /// Batches dispatched from a sibling's epoll.
    pub(crate) served: u64,
    /// Timer wakes of the shard that watches for stuck siblings.
    pub(crate) ticks: u64,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The latency of each measured request, in the order of their ends.
    pub(crate) latencies: Vec<u64>,
    /// All requests, measured or not.
    pub(crate) requests: u64,
    pub(crate) counts: Counts,
}

/// A connection and the task that serves it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The shard whose epoll has its registration.
    pub(crate) home: usize,
    pub(crate) last_runner: usize,
    /// The number of consecutive runs away from home, by the rule of the policy.
    pub(crate) away: u32,
    /// The shard of these runs, if the policy counts those of a single shard.
    pub(crate) away_shard: usize,
    /// The turn of its shard in which its task became ready.
    ready_since: u64,
    /// The requests that have arrived, including the current one.
    pending: VecDeque<Request>,
    waiting: bool,
}

/// The step that a shard does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Look,
    Run,
    EndPoll,
    EndSearch,
    /// The watcher's timer has woken it.
    Watch,
    /// No step is scheduled.
    Asleep,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) step: Step,
    /// The number of sleeps, which tells a timer whether its sleep is over.
    sleeps: u64,
    pub(crate) queue: VecDeque<usize>,
    inbox: VecDeque<usize>,
    pub(crate) epoll: VecDeque<usize>,
    /// The number of turns so far.
    turns: u64,
    polls_left: u32,
    requests_left: u32,
    running: usize,
    pub(crate) poll_since: Option<u64>,
    /// True if others serve this shard: the watcher sets it, and the end of the current poll clears
    /// it.
    pub(crate) stuck: bool,
    /// A moving average: each poll counts for an eighth.
    pub(crate) mean_poll: u64,
    pub(crate) searching: bool,
}

impl Shard {
    fn new() -> Self {
        Self {
            step: Step::Asleep,
            sleeps: 0,
            queue: VecDeque::new(),
            inbox: VecDeque::new(),
            epoll: VecDeque::new(),
            turns: 0,
            polls_left: 0,
            requests_left: 0,
            running: 0,
            poll_since: None,
            stuck: false,
            mean_poll: 0,
            searching: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Step(usize),
    /// The timer of a sleeping shard, and the sleep it was set for.
    Timer(usize, u64),
    /// The next request of a closed loop.
    Arrive(usize),
}

pub(crate) struct Engine<'a> {
    pub(crate) policy: Policy,
    pub(crate) costs: Costs,
    pub(crate) now: u64,
    /// By time, then in the order of scheduling.
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    pub(crate) shards: Vec<Shard>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) searching: usize,
    /// The sleeping shard that periodically checks for stuck siblings.
    pub(crate) watcher: Option<usize>,
    /// The time of the next check for stuck siblings.
    pub(crate) next_watch: u64,
    pub(crate) period: u64,
    pub(crate) rng: Rng,
    pub(crate) counts: Counts,
    latencies: Vec<u64>,
    requests: u64,
    closed: Option<&'a ClosedLoop>,
}

impl<'a> Engine<'a> {
    fn new(policy: Policy, costs: Costs, shards: usize, connections: usize, seed: u64) -> Self {
        let connection = |index| Connection {
            home: index % shards,
            last_runner: index % shards,
            away: 0,
            away_shard: index % shards,
            ready_since: 0,
            pending: VecDeque::new(),
            waiting: true,
        };
        let mut engine = Self {
            policy,
            costs,
            now: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            shards: (0..shards).map(|_| Shard::new()).collect(),
            connections: (0..connections).map(connection).collect(),
            searching: 0,
            watcher: None,
            next_watch: 0,
            period: policy.serve.map_or(0, |serve| serve.longest),
            rng: Rng::with_seed(seed),
            counts: Counts::default(),
            latencies: Vec::new(),
            requests: 0,
            closed: None,
        };
        for shard in 0..shards {
            engine.then(shard, 0, Step::Look);
        }
        engine
    }

    /// Serves the requests of an open workload.
    pub(crate) fn open(
        policy: Policy,
        costs: Costs,
        shards: usize,
        requests: &[Request],
        seed: u64,
    ) -> Outcome {
        let last = requests.iter().map(|request| request.connection).max();
        let connections = last.map_or(0, |last| last + 1);
        let mut engine = Self::new(policy, costs, shards, connections, seed);
        let mut requests = requests.iter().peekable();
        let mut left = requests.len();
        while left > 0 {
            let next = engine.events.peek().map(|Reverse((at, ..))| *at);
            match requests.next_if(|request| next.is_none_or(|at| request.at <= at)) {
                Some(&request) => engine.arrive(request),
                None => left -= engine.advance(),
            }
        }
        engine.finish()
    }

    /// Serves connections that always have one request in flight.
    pub(crate) fn closed(
        policy: Policy,
        costs: Costs,
        shards: usize,
        load: &'a ClosedLoop,
        seed: u64,
    ) -> Outcome {
        let mut engine = Self::new(policy, costs, shards, load.connections, seed);
        engine.closed = Some(load);
        for connection in 0..load.connections {
            // Clients start at different times.
            let start = engine.rng.u64(..=load.pause + load.mean);
            engine.schedule(start, Event::Arrive(connection));
        }
        while engine.now < load.until {
            engine.advance();
        }
        engine.finish()
    }

    fn finish(self) -> Outcome {
        Outcome {
            latencies: self.latencies,
            requests: self.requests,
            counts: self.counts,
        }
    }

    fn schedule(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        let entry = (self.now + delay, self.scheduled, event);
        self.events.push(Reverse(entry));
    }

    /// Schedules a step of a shard after a delay.
    pub(crate) fn then(&mut self, shard: usize, delay: u64, step: Step) {
        self.shards[shard].step = step;
        self.schedule(delay, Event::Step(shard));
    }

    /// Handles the next event, and returns the number of requests that it ended.
    fn advance(&mut self) -> usize {
        let Reverse((at, _, event)) = self.events.pop().expect("a request is under way");
        self.now = at;
        let before = self.requests;
        match event {
            Event::Step(shard) => match self.shards[shard].step {
                Step::Look => self.look(shard),
                Step::Run => self.run(shard),
                Step::EndPoll => self.end_poll(shard),
                Step::EndSearch => self.end_search(shard),
                Step::Watch => self.watch(shard),
                Step::Asleep => unreachable!("a sleeping shard has no step"),
            },
            Event::Timer(shard, sleep) => {
                if self.shards[shard].step == Step::Asleep && self.shards[shard].sleeps == sleep {
                    self.counts.ticks += 1;
                    self.then(shard, self.costs.wake, Step::Watch);
                }
            }
            Event::Arrive(connection) => {
                let load = self.closed.expect("only a closed loop schedules arrivals");
                let service = load.service.draw(load.mean, &mut self.rng);
                self.arrive(Request {
                    at,
                    connection,
                    service,
                    measured: true,
                });
            }
        }
        usize::try_from(self.requests - before).expect("a step ends one request at most")
    }

    /// Handles a request that reaches its socket.
    fn arrive(&mut self, request: Request) {
        self.now = request.at;
        let connection = &mut self.connections[request.connection];
        connection.pending.push_back(request);
        if connection.waiting {
            connection.waiting = false;
            let home = connection.home;
            self.shards[home].epoll.push_back(request.connection);
            self.wake(home);
        }
    }

    /// Ends a shard's sleep, if it sleeps.
    pub(crate) fn wake(&mut self, shard: usize) -> bool {
        let asleep = self.shards[shard].step == Step::Asleep;
        if asleep {
            if self.watcher == Some(shard) {
                self.watcher = None;
            }
            self.then(shard, self.costs.wake, Step::Look);
        }
        asleep
    }

    /// Takes events and the inbox, and queues their tasks.
    fn look(&mut self, shard: usize) {
        let mut cost = self.costs.look;
        self.begin_turn(shard);
        for connection in std::mem::take(&mut self.shards[shard].inbox) {
            self.queue(shard, connection);
        }
        let count = self.shards[shard].epoll.len().min(EVENTS_PER_LOOK);
        let events: Vec<usize> = self.shards[shard].epoll.drain(..count).collect();
        cost += self.dispatch(shard, &events);
        if !self.shards[shard].queue.is_empty() {
            cost += self.stop_searching(shard);
        }
        cost += self.push(shard);
        self.then(shard, cost, Step::Run);
    }

    /// Queues the tasks of a batch of events. Returns the cost.
    pub(crate) fn dispatch(&mut self, shard: usize, events: &[usize]) -> u64 {
        let mut cost = self.costs.event * events.len() as u64;
        for &connection in events {
            let runner = self.connections[connection].last_runner;
            if self.policy.wake_to == WakeTo::LastRunner && runner != shard {
                self.shards[runner].inbox.push_back(connection);
                cost += self.costs.remote;
                if self.wake(runner) {
                    self.counts.notifies += 1;
                    cost += self.costs.notify;
                }
            } else {
                self.queue(shard, connection);
            }
        }
        cost
    }

    pub(crate) fn queue(&mut self, shard: usize, connection: usize) {
        let this = &mut self.shards[shard];
        this.queue.push_back(connection);
        self.connections[connection].ready_since = this.turns;
    }

    fn begin_turn(&mut self, shard: usize) {
        let this = &mut self.shards[shard];
        this.turns += 1;
        let fit = self.policy.turn / this.mean_poll.max(1);
        let fit = u32::try_from(fit).unwrap_or(u32::MAX);
        this.polls_left = fit.clamp(1, EVENT_INTERVAL);
    }

    /// Returns the number of turns that the first ready task has waited.
    pub(crate) fn waited(&self, shard: usize) -> u64 {
        let this = &self.shards[shard];
        let first = this.queue.front();
        first.map_or(0, |&first| this.turns - self.connections[first].ready_since)
    }

    fn run(&mut self, shard: usize) {
        let this = &mut self.shards[shard];
        if this.polls_left == 0 {
            return self.look(shard);
        }
        let Some(connection) = this.queue.pop_front() else {
            return self.before_sleep(shard);
        };
        this.polls_left -= 1;
        this.requests_left = REQUESTS_PER_POLL;
        this.running = connection;
        this.poll_since = Some(self.now);
        self.begin_request(shard, self.costs.poll);
    }

    fn begin_request(&mut self, shard: usize, cost: u64) {
        let this = &mut self.shards[shard];
        this.requests_left -= 1;
        let request = self.connections[this.running].pending[0];
        self.then(shard, cost + request.service, Step::EndPoll);
    }

    fn end_poll(&mut self, shard: usize) {
        let this = &mut self.shards[shard];
        let connection = &mut self.connections[this.running];
        let request = connection.pending.pop_front().expect("it was under way");
        self.requests += 1;
        if request.measured {
            self.latencies.push(self.now - request.at);
        }
        if !connection.pending.is_empty() && this.requests_left > 0 {
            return self.begin_request(shard, 0);
        }
        let since = this.poll_since.take().expect("a poll is under way");
        this.stuck = false;
        this.mean_poll = (7 * this.mean_poll + (self.now - since)) / 8;
        connection.last_runner = shard;
        let running = this.running;
        let mut cost = 0;
        if connection.pending.is_empty() {
            connection.waiting = true;
            cost += self.note_run(shard, running);
            if let Some(load) = self.closed {
                self.schedule(load.pause, Event::Arrive(running));
            }
        } else {
            self.queue(shard, running);
        }
        self.then(shard, cost, Step::Run);
    }

    /// Searches the siblings for work, then sleeps. The wait returns at once if an event has
    /// arrived.
    fn before_sleep(&mut self, shard: usize) {
        if self.has_input(shard) {
            return self.look(shard);
        }
        if self.may_search(shard) {
            self.shards[shard].searching = true;
            self.searching += 1;
        }
        if self.shards[shard].searching {
            self.counts.searches += 1;
            let marked = self.mark_stuck(shard);
            let (_, cost) = self.find(shard);
            return self.then(shard, marked + cost, Step::EndSearch);
        }
        self.sleep(shard);
    }

    fn end_search(&mut self, shard: usize) {
        let (found, _) = self.find(shard);
        if found == Found::Nothing {
            self.counts.wasted += 1;
            self.shards[shard].searching = false;
            self.searching -= 1;
            return self.sleep(shard);
        }
        let cost = self.take(shard, found) + self.stop_searching(shard);
        self.begin_turn(shard);
        self.then(shard, cost, Step::Run);
    }

    fn watch(&mut self, shard: usize) {
        let marked = self.mark_stuck(shard);
        let (found, looked) = self.find(shard);
        if found == Found::Nothing {
            return self.sleep(shard);
        }
        self.watcher = None;
        let cost = marked + looked + self.take(shard, found) + self.push(shard);
        self.begin_turn(shard);
        self.then(shard, cost, Step::Run);
    }

    fn has_input(&self, shard: usize) -> bool {
        !self.shards[shard].epoll.is_empty() || !self.shards[shard].inbox.is_empty()
    }

    fn sleep(&mut self, shard: usize) {
        if self.has_input(shard) {
            return self.look(shard);
        }
        let this = &mut self.shards[shard];
        this.step = Step::Asleep;
        this.sleeps += 1;
        let sleep = this.sleeps;
        if self.policy.serve.is_some() && self.watcher.is_none_or(|watcher| watcher == shard) {
            self.watcher = Some(shard);
            let delay = self.next_watch.saturating_sub(self.now);
            self.schedule(delay, Event::Timer(shard, sleep));
        }
    }
}
