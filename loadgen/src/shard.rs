//! What one thread of the generator owns: its connections, its counters, its buffers, all in plain cells.
//!
//! The tasks of a shard share one [`Shard`] through an `Rc`: the connections (`connection.rs`), the ramp that opens them
//! (`ramp.rs`), the dispatcher of an open loop (`dispatch.rs`) and the supervisor (`supervise.rs`). No other thread sees it.
//! Tests: at the end of this file, and every integration test.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use asyncfd::net::{TcpStream, UnixStream};
use reactor::spawn_local;

use crate::args::IoSurface;
use crate::bad_client::{self, BadTally};
use crate::churn::{self, Life, Lives};
use crate::clock::{Clock, Nanos};
use crate::connection;
use crate::control::Timeline;
use crate::exchange::{Exchange, Stamp};
use crate::failure::{ErrorKind, Errors, Failure};
use crate::link::{Link, Order};
use crate::news::News;
use crate::plan::{Amount, Pace, Plan};
use crate::protocol::echo::Echo;
use crate::protocol::fixed::Fixed;
use crate::protocol::{Protocol, Speech};
use crate::scratch::{SCRATCH_BYTES, Scratch};
use crate::sources::{Address, Sources};
use crate::tally::{Lost, Tally, Window};
use crate::transport::{Guards, Helpers, Polling};

/// The state of one thread.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) plan: Arc<Plan>,
    pub(crate) clock: Clock,
    pub(crate) sources: Sources,
    pub(crate) incoming: Scratch,
    pub(crate) outgoing: Scratch,
    pub(crate) tally: RefCell<Tally>,
    pub(crate) errors: RefCell<Errors>,
    /// Every place that a connection holds or held.
    pub(crate) links: RefCell<Vec<Rc<Link>>>,
    /// Places whose connection ended by its plan, and waits to be replaced.
    away: RefCell<VecDeque<Rc<Link>>>,
    /// When connections are to go; empty where they live as long as the run.
    pub(crate) lives: RefCell<Lives>,
    /// Wakes the door: a connection passed it, failed or is to be replaced, or the run is over.
    pub(crate) ramp_news: News,
    /// Connections that stand in the door.
    pub(crate) opening: Cell<u32>,
    /// Connections begun so far.
    begun_connections: Cell<u64>,
    /// Places that a connection was made for.
    pub(crate) connected: Cell<u32>,
    /// Places that were served.
    pub(crate) served: Cell<u32>,
    /// Connections that are open.
    pub(crate) live: Cell<u32>,
    /// Places of those that send, connected at least once and not ended.
    pub(crate) active_places: Cell<u32>,
    /// Connections made.
    pub(crate) established: Cell<u64>,
    /// Connections that ended by their plan.
    pub(crate) retired: Cell<u64>,
    /// Connections that the server ended, owing nothing.
    pub(crate) left: Cell<u64>,
    /// What came of the bad clients.
    pub(crate) bad: RefCell<BadTally>,
    /// Whether every connection of the ramp was served.
    pub(crate) ramped: Cell<bool>,
    /// Whether no further connection is to be opened.
    pub(crate) ramp_stopped: Cell<bool>,
    /// Requests handed to connections and not answered.
    pub(crate) due: Cell<u64>,
    /// Whether the run was ended before its time.
    was_cut: Cell<bool>,
    /// Whether requests may have begun.
    pub(crate) begun: Cell<bool>,
    /// Measured requests begin here.
    from: Cell<Nanos>,
    /// No request begins from here on; zero until the run begins.
    end: Cell<Nanos>,
    /// Measured requests that may still begin; `u64::MAX` where time decides.
    remaining: Cell<u64>,
    /// Whether the schedule has been used up.
    pub(crate) dispatched: Cell<bool>,
    /// Requests a connection plans before it writes: what fits the buffer.
    batch: usize,
}

impl Shard {
    pub(crate) fn new(index: u32, plan: Arc<Plan>, clock: Clock) -> Self {
        let by_request = matches!(plan.amount, Amount::Requests(_));
        Self {
            index,
            clock,
            sources: Sources::new(&plan.target, plan.seed),
            incoming: Scratch::new(),
            outgoing: Scratch::new(),
            tally: RefCell::new(Tally::new(plan.is_open(), by_request)),
            errors: RefCell::default(),
            links: RefCell::default(),
            away: RefCell::default(),
            lives: RefCell::default(),
            ramp_news: News::default(),
            opening: Cell::new(0),
            begun_connections: Cell::new(0),
            connected: Cell::new(0),
            served: Cell::new(0),
            live: Cell::new(0),
            active_places: Cell::new(0),
            established: Cell::new(0),
            retired: Cell::new(0),
            left: Cell::new(0),
            bad: RefCell::default(),
            ramped: Cell::new(false),
            ramp_stopped: Cell::new(false),
            due: Cell::new(0),
            was_cut: Cell::new(false),
            begun: Cell::new(false),
            from: Cell::new(Nanos::MAX),
            end: Cell::new(0),
            remaining: Cell::new(plan.requests_of(index)),
            dispatched: Cell::new(false),
            batch: (SCRATCH_BYTES / plan.speech.mean_size()).max(1),
            plan,
        }
    }

    /// Opens a connection for a new place, as a task of this shard.
    pub(crate) fn open(self: &Rc<Self>, link: Rc<Link>) {
        self.links.borrow_mut().push(Rc::clone(&link));
        self.connect(link);
    }

    /// Opens a connection for the place that has waited longest for one, unless the run ended meanwhile.
    pub(crate) fn open_again(self: &Rc<Self>) {
        let link = self.away.borrow_mut().pop_front();
        if let Some(link) = link {
            self.connect(link);
        }
    }

    fn connect(self: &Rc<Self>, link: Rc<Link>) {
        let nth = self.begun_connections.get();
        self.begun_connections.set(nth + 1);
        let number = u64::from(self.index) + nth * u64::from(self.plan.threads);
        link.take_place(number, self.plan.requests_per_conn.unwrap_or(u64::MAX));
        self.opening.set(self.opening.get() + 1);
        match &self.plan.speech {
            Speech::Echo { .. } => self.spawn::<Echo>(link),
            Speech::Fixed { .. } => self.spawn::<Fixed>(link),
        }
    }

    fn spawn<P: Protocol>(self: &Rc<Self>, link: Rc<Link>) {
        let shard = Rc::clone(self);
        if let Some(kind) = link.bad {
            return drop(spawn_local(bad_client::run::<P>(shard, link, kind)));
        }
        // The task reports through the shard, also when it panics: nobody waits for it.
        match (self.plan.io, &self.plan.target) {
            (IoSurface::Helpers, Address::Tcp(_)) => drop(spawn_local(connection::run::<
                Helpers<TcpStream>,
                P,
            >(shard, link))),
            (IoSurface::Helpers, Address::Unix(_)) => drop(spawn_local(connection::run::<
                Helpers<UnixStream>,
                P,
            >(shard, link))),
            (IoSurface::Guards, _) => drop(spawn_local(connection::run::<Guards, P>(shard, link))),
            (IoSurface::Poll, _) => drop(spawn_local(connection::run::<Polling, P>(shard, link))),
        }
    }

    /// Counts a connection that was just made, after connecting since `began`.
    pub(crate) fn connected(&self, link: &Rc<Link>, began: Nanos) {
        let now = self.clock.now();
        self.tally
            .borrow_mut()
            .connect
            .record(now.saturating_sub(began));
        self.established.set(self.established.get() + 1);
        self.live.set(self.live.get() + 1);
        link.connected_at.set(now);
        link.away.set(false);
        if !link.joined.replace(true) {
            self.connected.set(self.connected.get() + 1);
            let active = u32::from(link.active);
            self.active_places.set(self.active_places.get() + active);
        }
        // Before the run begins nobody's life is counted: those of the ramp are spread then.
        if let Some(lifetime) = self.plan.lifetime
            && self.begun.get()
        {
            let life = Life::new(link, now.saturating_add(lifetime));
            self.lives.borrow_mut().push_back(life);
        }
    }

    /// Lets the next connection into the door.
    pub(crate) fn opened(&self) {
        self.opening.set(self.opening.get() - 1);
        self.ramp_news.tell();
    }

    /// Has the door open another connection for a place.
    pub(crate) fn replace(&self, link: &Rc<Link>) {
        if link.order() == Order::GoOn {
            link.away.set(true);
            self.away.borrow_mut().push_back(Rc::clone(link));
            self.ramp_news.tell();
        } else {
            self.end(link, std::iter::empty());
        }
    }

    /// The place that has waited longest for another connection.
    pub(crate) fn next_away(&self) -> Option<Rc<Link>> {
        self.away.borrow().front().map(Rc::clone)
    }

    /// Whether a place has nothing to do in what is left of the run.
    pub(crate) fn needs_no_more(&self, link: &Link) -> bool {
        self.begun.get() && self.none_begins_from(self.clock.now()) && !link.has_assigned()
    }

    /// Gives up the place that has waited longest.
    pub(crate) fn end_away(&self) {
        let link = self.away.borrow_mut().pop_front();
        if let Some(link) = link {
            self.end(&link, std::iter::empty());
        }
    }

    /// Accounts for the end of a place, with the requests that were sent and not answered.
    pub(crate) fn end(&self, link: &Link, unanswered: impl Iterator<Item = Stamp>) {
        let now = self.clock.now();
        link.ended.set(true);
        if link.joined.get() {
            let active = u32::from(link.active);
            self.active_places.set(self.active_places.get() - active);
        }
        let lost = if link.order() == Order::Abort {
            Lost::Interrupted
        } else {
            Lost::Unanswered
        };
        let mut tally = self.tally.borrow_mut();
        let unsent = std::iter::from_fn(|| link.take_assigned()).map(|intended| Stamp {
            intended,
            sent: now,
        });
        for stamp in unanswered.chain(unsent) {
            self.due.set(self.due.get() - 1);
            tally.lose(stamp, now, lost);
        }
    }

    /// Lets requests begin, unless the run was cut short before.
    pub(crate) fn begin(&self, timeline: Timeline) {
        if self.was_cut.get() {
            return;
        }
        self.begun.set(true);
        self.tally.borrow_mut().window = Window {
            from: timeline.from,
            until: timeline.until,
        };
        self.tally
            .borrow_mut()
            .slices
            .begin(timeline.from, self.plan.interval);
        self.from.set(timeline.from);
        self.end.set(timeline.until);
        if let Some(lifetime) = self.plan.lifetime {
            *self.lives.borrow_mut() =
                churn::spread(&self.links.borrow(), timeline.start, lifetime);
        }
        for kind in self.plan.bad_of(self.index) {
            let link = Rc::new(Link::bad(kind));
            self.links.borrow_mut().push(Rc::clone(&link));
            self.replace(&link);
        }
        if !self.plan.is_open() {
            for link in self.links.borrow().iter().filter(|link| link.active) {
                link.news.tell();
            }
        }
    }

    /// Lets no further request begin, and ends what is measured.
    pub(crate) fn cut(&self, now: Nanos) {
        self.was_cut.set(true);
        self.ramp_stopped.set(true);
        self.ramp_news.tell();
        self.end.set(self.end.get().min(now));
        let window = &mut self.tally.borrow_mut().window;
        window.until = window.until.min(now);
    }

    /// Gives every connection an order, and ends the places that have none.
    pub(crate) fn order_all(&self, order: Order) {
        for link in self.links.borrow().iter() {
            link.give(order);
        }
        while self.next_away().is_some() {
            self.end_away();
        }
    }

    /// Whether all requests that were to begin have begun.
    pub(crate) fn all_begun(&self, now: Nanos) -> bool {
        match self.plan.pace {
            Pace::Closed { .. } => self.none_begins_from(now),
            Pace::Open { .. } => self.dispatched.get(),
        }
    }

    /// Whether no request begins at this time or later.
    pub(crate) fn none_begins_from(&self, at: Nanos) -> bool {
        at >= self.end.get() || self.remaining.get() == 0
    }

    /// Takes one request out of what may begin now.
    #[inline]
    pub(crate) fn may_begin(&self, now: Nanos) -> bool {
        if now >= self.end.get() {
            return false;
        }
        let remaining = self.remaining.get();
        if remaining == u64::MAX || now < self.from.get() {
            return true;
        }
        if remaining == 0 {
            return false;
        }
        self.remaining.set(remaining - 1);
        true
    }

    /// Plans the requests this connection should send now.
    #[inline]
    pub(crate) fn plan_requests<P: Protocol>(
        &self,
        link: &Link,
        exchange: &mut Exchange<P>,
        now: Nanos,
    ) {
        match self.plan.pace {
            Pace::Closed { pipeline } => {
                if !link.active {
                    return;
                }
                for _ in exchange.due()..pipeline.min(exchange.due() + self.batch) {
                    if link.is_spent(exchange.planned()) || !self.may_begin(now) {
                        return;
                    }
                    self.due.set(self.due.get() + 1);
                    plan(
                        link,
                        exchange,
                        Stamp {
                            intended: now,
                            sent: now,
                        },
                    );
                }
            }
            Pace::Open { .. } => {
                let room = link.room(exchange.planned());
                for _ in 0..room.min(self.batch as u64) {
                    let Some(intended) = link.take_assigned() else {
                        return;
                    };
                    let stamp = Stamp {
                        intended,
                        sent: now,
                    };
                    // Where the connection was not there yet, it is not the generator that was late.
                    if intended >= link.connected_at.get() {
                        self.tally.borrow_mut().lag(stamp);
                    }
                    plan(link, exchange, stamp);
                }
            }
        }
    }

    /// Plans what the connection before this one was asked and did not answer. An open loop takes it with what was assigned.
    pub(crate) fn plan_again<P: Protocol>(&self, link: &Link, exchange: &mut Exchange<P>) {
        if !self.plan.is_open() {
            while let Some(at) = link.take_assigned() {
                let (intended, sent) = (at, at);
                plan(link, exchange, Stamp { intended, sent });
            }
        }
    }

    /// Whether this connection, having written everything, has more to send before it reads.
    #[inline]
    pub(crate) fn has_more<P: Protocol>(&self, link: &Link, exchange: &Exchange<P>) -> bool {
        match self.plan.pace {
            Pace::Closed { pipeline } => {
                exchange.due() < pipeline && self.begun.get() && link.active
            }
            Pace::Open { .. } => link.has_assigned(),
        }
    }

    /// Counts a failed connection. During the ramp it stops the ramp: a run is never silently smaller than asked for.
    pub(crate) fn failed(&self, link: &Link, failure: &Failure) {
        self.errors.borrow_mut().record(link.number(), failure);
        if !self.begun.get() {
            self.ramp_stopped.set(true);
        }
    }

    /// Counts an answer that says the server did not do what was asked.
    #[cold]
    pub(crate) fn refused(&self, link: &Link, status: u16) {
        let failure = Failure::new(ErrorKind::of_status(status), format!("status {status}"));
        self.errors.borrow_mut().record(link.number(), &failure);
    }

    /// Notes that a connection got its first answer.
    #[cold]
    pub(crate) fn first_answer(&self, link: &Link) {
        link.served.set(true);
        self.served.set(self.served.get() + 1);
        self.opened();
    }
}

/// Adds a request to the conversation; from now on the server owes an answer.
#[inline]
pub(crate) fn plan<P: Protocol>(link: &Link, exchange: &mut Exchange<P>, stamp: Stamp) {
    if exchange.due() == 0 {
        link.owed_since.set(stamp.sent);
    }
    exchange.plan(stamp);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use crate::plan::tests::plan as test_plan;

    fn shard(amount: Amount, pace: Pace) -> Shard {
        let plan = Plan {
            amount,
            pace,
            ..test_plan(2, 2, 1)
        };
        Shard::new(0, Arc::new(plan), Clock::start())
    }

    fn exchange(size: usize) -> Exchange<Echo> {
        Exchange::new(Echo::of(Payload::new(1, 0, &size.into()), true), 1)
    }

    const TIMELINE: Timeline = Timeline {
        start: 100,
        from: 200,
        until: Nanos::MAX,
    };

    #[test]
    fn nothing_begins_before_the_run_and_a_number_is_kept_after_the_warm_up() {
        let shard = shard(Amount::Requests(2), Pace::Closed { pipeline: 1 });
        assert!(!shard.may_begin(150), "the ramp");
        shard.begin(TIMELINE);
        let begun: Vec<_> = [150, 151, 200, 201, 202]
            .into_iter()
            .map(|now| shard.may_begin(now))
            .collect();
        assert_eq!(begun, [true, true, true, true, false]);
        assert!(shard.all_begun(202));
    }

    #[test]
    fn with_a_duration_requests_begin_until_its_end() {
        let shard = shard(Amount::Time(100), Pace::Closed { pipeline: 1 });
        shard.begin(Timeline {
            until: 300,
            ..TIMELINE
        });
        assert!(shard.may_begin(299) && !shard.all_begun(299));
        assert!(!shard.may_begin(300) && shard.all_begun(300));
    }

    #[test]
    fn a_closed_loop_keeps_its_pipeline_full() {
        let shard = shard(Amount::Time(1), Pace::Closed { pipeline: 3 });
        let (link, mut exchange) = (Link::new(true), exchange(64));
        shard.begin(TIMELINE);
        shard.plan_requests(&link, &mut exchange, 250);
        assert_eq!((exchange.due(), shard.due.get()), (3, 3));
        assert!(!shard.has_more(&link, &exchange));
        shard.plan_requests(&Link::new(false), &mut exchange, 250);
        assert_eq!(exchange.due(), 3, "an idle connection sends nothing");
    }

    #[test]
    fn an_open_loop_takes_all_that_was_assigned() {
        let shard = shard(
            Amount::Time(1),
            Pace::Open {
                rate: 1,
                arrivals: crate::schedule::Arrivals::Fixed,
            },
        );
        let (link, mut exchange) = (Link::new(true), exchange(64));
        shard.begin(TIMELINE);
        for at in [210, 220, 230] {
            link.assign(at);
        }
        shard.plan_requests(&link, &mut exchange, 240);
        let stamps: Vec<_> = exchange
            .take_due()
            .map(|stamp| (stamp.intended, stamp.sent))
            .collect();
        assert_eq!(stamps, [(210, 240), (220, 240), (230, 240)]);
        assert_eq!(
            shard
                .tally
                .borrow()
                .lag
                .as_ref()
                .map(crate::histogram::Recorder::count),
            Some(3)
        );
    }

    #[test]
    fn large_requests_are_planned_one_buffer_at_a_time() {
        let mut plan = test_plan(1, 1, 1);
        plan.speech = crate::plan::tests::echo(SCRATCH_BYTES / 2);
        plan.pace = Pace::Closed { pipeline: 10 };
        let shard = Shard::new(0, Arc::new(plan), Clock::start());
        let (link, mut exchange) = (Link::new(true), exchange(SCRATCH_BYTES / 2));
        shard.begin(TIMELINE);
        shard.plan_requests(&link, &mut exchange, 250);
        assert_eq!(exchange.due(), 2);
        assert!(shard.has_more(&link, &exchange));
    }

    #[test]
    fn a_failure_during_the_ramp_stops_it() {
        let shard = shard(Amount::Time(1), Pace::Closed { pipeline: 1 });
        let failure = Failure::new(ErrorKind::Refused, "no");
        shard.failed(&Link::new(true), &failure);
        assert!(shard.ramp_stopped.get());
    }
}
