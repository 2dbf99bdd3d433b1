//! The places of a shard: which connection holds one, who takes it next, and what is left to account for at its end.
//!
//! A place begins with its [`Link`] and outlives the connections that hold it one after the other. Called by the door
//! (`ramp.rs`), by the tasks of connections, and by the supervisor. Tests: `tests/churn.rs`.

use std::rc::Rc;

use asyncfd::net::{TcpStream, UnixStream};
use reactor::spawn_local;

use super::Shard;
use crate::measure::clock::Nanos;
use crate::measure::clock::Stamp;
use crate::measure::tally::Lost;
use crate::report::settings::IoSurface;
use crate::run::bad_client;
use crate::run::connection;
use crate::run::link::{Link, Order};
use crate::run::lives::Life;
use crate::run::protocol::echo::Echo;
use crate::run::protocol::fixed::Fixed;
use crate::run::protocol::{Protocol, Speech};
use crate::run::sources::Address;
use crate::run::transport::{Guards, Helpers, Polling};

impl Shard {
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

    /// Gives every connection an order, and ends the places that have none.
    pub(crate) fn order_all(&self, order: Order) {
        for link in self.links.borrow().iter() {
            link.give(order);
        }
        while self.next_away().is_some() {
            self.end_away();
        }
    }
}
