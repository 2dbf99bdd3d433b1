//! What one thread of the generator owns: its connections, its counters, its buffers, all in plain cells.
//!
//! The tasks of a shard share one [`Shard`] through an `Rc`: the connections (`connection.rs`), the ramp that opens them
//! (`ramp.rs`), the dispatcher of an open loop (`dispatch.rs`) and the supervisor (`supervise.rs`). No other thread sees it.
//! Tests: at the end of this file, and every integration test.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use reactor::spawn_local;

use crate::args::IoSurface;
use crate::clock::{Clock, Nanos};
use crate::connection;
use crate::control::Timeline;
use crate::exchange::{Exchange, Stamp};
use crate::failure::{Errors, Failure};
use crate::link::{Link, Order};
use crate::news::News;
use crate::plan::{Amount, Pace, Plan};
use crate::scratch::{SCRATCH_BYTES, Scratch};
use crate::sources::Sources;
use crate::tally::{Tally, Window};
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
    /// Every connection opened so far.
    pub(crate) links: RefCell<Vec<Rc<Link>>>,
    /// Wakes the ramp: a connection was served or failed, or the run is over.
    pub(crate) ramp_news: News,
    /// Connections that are not served yet.
    pub(crate) opening: Cell<u32>,
    pub(crate) connected: Cell<u32>,
    pub(crate) served: Cell<u32>,
    pub(crate) live: Cell<u32>,
    pub(crate) live_active: Cell<u32>,
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
            sources: Sources::new(plan.target, plan.seed),
            incoming: Scratch::new(),
            outgoing: Scratch::new(),
            tally: RefCell::new(Tally::new(plan.is_open(), by_request)),
            errors: RefCell::default(),
            links: RefCell::default(),
            ramp_news: News::default(),
            opening: Cell::new(0),
            connected: Cell::new(0),
            served: Cell::new(0),
            live: Cell::new(0),
            live_active: Cell::new(0),
            ramp_stopped: Cell::new(false),
            due: Cell::new(0),
            was_cut: Cell::new(false),
            begun: Cell::new(false),
            from: Cell::new(Nanos::MAX),
            end: Cell::new(0),
            remaining: Cell::new(plan.requests_of(index)),
            dispatched: Cell::new(false),
            batch: (SCRATCH_BYTES / plan.size).max(1),
            plan,
        }
    }

    /// Opens connection number `id` as a task of this shard.
    pub(crate) fn open(self: &Rc<Self>, id: u32) {
        let link = Rc::new(Link::new(id, self.plan.is_active(id)));
        self.links.borrow_mut().push(Rc::clone(&link));
        self.opening.set(self.opening.get() + 1);
        let shard = Rc::clone(self);
        // The task reports through the shard, also when it panics: nobody waits for it.
        match self.plan.io {
            IoSurface::Helpers => drop(spawn_local(connection::run::<Helpers>(shard, link))),
            IoSurface::Guards => drop(spawn_local(connection::run::<Guards>(shard, link))),
            IoSurface::Poll => drop(spawn_local(connection::run::<Polling>(shard, link))),
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

    /// Gives every connection an order.
    pub(crate) fn order_all(&self, order: Order) {
        for link in self.links.borrow().iter() {
            link.give(order);
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
    pub(crate) fn plan_requests(&self, link: &Link, exchange: &mut Exchange, now: Nanos) {
        match self.plan.pace {
            Pace::Closed { pipeline } => {
                if !link.active {
                    return;
                }
                for _ in exchange.due()..pipeline.min(exchange.due() + self.batch) {
                    if !self.may_begin(now) {
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
                for _ in 0..self.batch {
                    let Some(intended) = link.take_assigned() else {
                        return;
                    };
                    let stamp = Stamp {
                        intended,
                        sent: now,
                    };
                    self.tally.borrow_mut().lag(stamp);
                    plan(link, exchange, stamp);
                }
            }
        }
    }

    /// Whether this connection, having written everything, has more to send before it reads.
    #[inline]
    pub(crate) fn has_more(&self, link: &Link, exchange: &Exchange) -> bool {
        match self.plan.pace {
            Pace::Closed { pipeline } => {
                exchange.due() < pipeline && self.begun.get() && link.active
            }
            Pace::Open { .. } => link.has_assigned(),
        }
    }

    /// Counts a failed connection. During the ramp it stops the ramp: a run is never silently smaller than asked for.
    pub(crate) fn failed(&self, link: &Link, failure: &Failure) {
        self.errors.borrow_mut().record(link.id, failure);
        if !self.begun.get() {
            self.ramp_stopped.set(true);
        }
    }

    /// Notes that a connection got its first answer.
    #[cold]
    pub(crate) fn first_answer(&self, link: &Link) {
        link.served.set(true);
        self.served.set(self.served.get() + 1);
        self.opening.set(self.opening.get() - 1);
        self.ramp_news.tell();
    }
}

/// Adds a request to the conversation; from now on the server owes an answer.
#[inline]
pub(crate) fn plan(link: &Link, exchange: &mut Exchange, stamp: Stamp) {
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

    fn exchange() -> Exchange {
        Exchange::new(Payload::new(1, 0, 64), true, 1)
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
        let (link, mut exchange) = (Link::new(0, true), exchange());
        shard.begin(TIMELINE);
        shard.plan_requests(&link, &mut exchange, 250);
        assert_eq!((exchange.due(), shard.due.get()), (3, 3));
        assert!(!shard.has_more(&link, &exchange));
        shard.plan_requests(&Link::new(1, false), &mut exchange, 250);
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
        let (link, mut exchange) = (Link::new(0, true), exchange());
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
        (plan.size, plan.pace) = (SCRATCH_BYTES / 2, Pace::Closed { pipeline: 10 });
        let shard = Shard::new(0, Arc::new(plan), Clock::start());
        let (link, mut exchange) = (
            Link::new(0, true),
            Exchange::new(Payload::new(1, 0, SCRATCH_BYTES / 2), true, 1),
        );
        shard.begin(TIMELINE);
        shard.plan_requests(&link, &mut exchange, 250);
        assert_eq!(exchange.due(), 2);
        assert!(shard.has_more(&link, &exchange));
    }

    #[test]
    fn a_failure_during_the_ramp_stops_it() {
        let shard = shard(Amount::Time(1), Pace::Closed { pipeline: 1 });
        let failure = Failure::new(crate::failure::ErrorKind::Refused, "no");
        shard.failed(&Link::new(0, true), &failure);
        assert!(shard.ramp_stopped.get());
    }
}
