//! Three shards' I/O without their threads: the test moves registrations and takes each shard's
//! turns itself.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::driver::Driver;
use crate::io::{QUARANTINE_WAKES, ShardIo};
use crate::shard::parker::Parker;
use crate::time::Clock;
use crate::token::SlotId;
use crate::{Interest, Ready};

const INTEREST: Interest = Interest::READABLE;

/// A shard's I/O, whose driver keeps the epoll instance alive.
struct Place {
    io: Arc<ShardIo>,
    parker: Arc<Parker>,
    _driver: Driver,
}

fn place(index: usize) -> Place {
    let (driver, registry, notifier) = Driver::new(64, &Clock::start()).unwrap();
    let parker = Arc::new(Parker::new(notifier));
    let io = ShardIo::new(index, registry, Arc::clone(&parker));
    Place {
        io,
        parker,
        _driver: driver,
    }
}

/// Returns three shards that know each other.
fn three() -> [Place; 3] {
    let places = [0, 1, 2].map(place);
    let all: Vec<_> = places.iter().map(|place| Arc::clone(&place.io)).collect();
    ShardIo::introduce(&all);
    places
}

/// Registers a descriptor on `birth`, moves it to `to`, and ends the registration. Returns the id
/// of its slot, which is not free yet.
fn register_move_and_end(birth: &Arc<ShardIo>, to: &ShardIo, source: &UnixStream) -> SlotId {
    let fd = source.as_raw_fd();
    let (slot, token) = ShardIo::register(birth, fd, INTEREST, Ready::EMPTY).unwrap();
    ShardIo::relocate(&slot, to, fd, token, INTEREST).unwrap();
    assert_eq!(ShardIo::seat_of(&slot), to.shard());
    assert_eq!((birth.live(), to.live()), (0, 1));
    ShardIo::deregister(&slot, fd, token).unwrap();
    assert_eq!((birth.live(), to.live()), (0, 0));
    token.id()
}

/// Registers so many descriptors for a moment. Returns true if one of them gets the slot `id`.
fn reuses(birth: &Arc<ShardIo>, id: SlotId, descriptors: usize) -> bool {
    let registered: Vec<_> = (0..descriptors)
        .map(|_| {
            let (near, _far) = UnixStream::pair().unwrap();
            let fd = near.as_raw_fd();
            let (slot, token) = ShardIo::register(birth, fd, INTEREST, Ready::EMPTY).unwrap();
            (near, slot, token)
        })
        .collect();
    let found = registered.iter().any(|(_, _, token)| token.id() == id);
    for (near, slot, token) in registered {
        ShardIo::deregister(&slot, near.as_raw_fd(), token).unwrap();
    }
    found
}

#[test]
fn a_moved_slot_is_used_again_after_a_turn_of_each_shard() {
    for born in 0..3 {
        let places = three();
        let shard = |step: usize| &places[(born + step) % 3].io;
        let waits = || [0, 1, 2].map(|step| shard(step).has_visitors());
        let (near, _far) = UnixStream::pair().unwrap();
        let birth = shard(0);
        let id = register_move_and_end(birth, shard(2), &near);
        assert_eq!(waits(), [false, true, false], "from the next shard on");
        birth.release_quarantine();
        shard(2).release_quarantine();
        assert_eq!(waits(), [false, true, false], "the others release nothing");
        // Each look takes more slots than the last one, and so all that are free.
        assert!(!reuses(birth, id, 4), "two shards may have events for it");
        shard(1).release_quarantine();
        birth.release_quarantine();
        assert_eq!(waits(), [false, false, true]);
        assert!(!reuses(birth, id, 8), "one may have events for it");
        shard(2).release_quarantine();
        assert_eq!(waits(), [false; 3]);
        assert!(!reuses(birth, id, 16), "it is in its own quarantine");
        birth.release_quarantine();
        assert!(reuses(birth, id, 32));
    }
}

#[test]
fn a_move_is_counted_where_it_begins() {
    let places = three();
    let (near, _far) = UnixStream::pair().unwrap();
    register_move_and_end(&places[0].io, &places[1].io, &near);
    assert_eq!(
        places.each_ref().map(|place| place.io.moved_out()),
        [1, 0, 0]
    );
}

#[test]
fn a_sleeping_shard_is_woken_when_moved_slots_pile_up() {
    let places = three();
    let (near, _far) = UnixStream::pair().unwrap();
    let next = &places[1];
    assert!(next.parker.prepare(|| true));
    for round in 0..QUARANTINE_WAKES {
        assert_eq!(next.parker.notifies(), 0, "woken after {round}");
        register_move_and_end(&places[0].io, &places[2].io, &near);
    }
    assert_eq!(next.parker.notifies(), 1);
    assert_eq!(places[2].parker.notifies(), 0);
}
