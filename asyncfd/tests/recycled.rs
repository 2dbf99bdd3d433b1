//! Descriptors that are closed, duplicated and recycled without their `AsyncFd`'s knowledge: on the
//! shard of the number's next owner and on another one, case by case and in a storm.
//!
//! A closed descriptor loses at most its own notifications. No other registration loses an event,
//! and no event reaches the wrong one. An event that the system still reports for no registration
//! costs one check each time and never a spin. Every count returns to its start.
//!
//! All of it is safe code: an `AsyncFd` over a bare number promises nothing about that number. The
//! cases rely on the lowest free number being used next, so they run one at a time.
#![cfg(target_os = "linux")]

mod common;

use std::collections::HashSet;
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use asyncfd::{AsyncFd, Interest, Ready};
use reactor::{Handle, Placement, Reactor, ShardId};

use common::support::{DEADLINE, pair};
use common::{cached, within_deadline};

const READ: Interest = Interest::READABLE;

/// Returns the number of open descriptors of the process. It takes the smallest of several counts:
/// threads of the harness, and of tests that wait for their turn, briefly open one now and then.
fn open_descriptors() -> usize {
    let look = || {
        std::thread::yield_now();
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    };
    (0..20).map(|_| look()).min().expect("there are looks")
}

fn duplicate(fd: &OwnedFd) -> OwnedFd {
    fd.try_clone().unwrap()
}

/// Two shards, held by the only test that runs at the moment.
struct World {
    reactor: Reactor,
    shards: [ShardId; 2],
    _alone: MutexGuard<'static, ()>,
}

impl World {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let reactor = Reactor::builder().shards(2).build().unwrap();
        let mut shards = reactor.handle().shards();
        let shards = [shards.next().unwrap(), shards.next().unwrap()];
        Self {
            reactor,
            shards,
            _alone,
        }
    }

    fn on<T: AsRawFd>(&self, shard: ShardId, inner: T) -> AsyncFd<T> {
        AsyncFd::new_on(self.reactor.handle(), Placement::Shard(shard), inner).unwrap()
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        within_deadline(&self.reactor, future)
    }

    /// Returns once both shards have seen everything that happened before the call.
    fn settle(&self) {
        for shard in self.shards {
            let (a, mut b) = pair();
            let a = self.on(shard, a);
            b.write_all(b"x").unwrap();
            self.wait(async { a.readable().await.unwrap().retain_ready() });
        }
    }

    fn registrations(&self) -> u64 {
        let metrics = self.reactor.handle().metrics();
        metrics.total(|shard| shard.registrations)
    }

    fn stale_events(&self) -> u64 {
        let metrics = self.reactor.handle().metrics();
        metrics.total(|shard| shard.stale_events)
    }

    fn turns(&self) -> u64 {
        self.reactor.handle().metrics().total(|shard| shard.turns)
    }

    /// Checks three times that bytes arrive, each time by an event of its own.
    fn talk(
        &self,
        fd: &AsyncFd<impl AsRawFd>,
        read: impl Fn() -> io::Result<u8>,
        peer: &UnixStream,
    ) {
        for byte in 1..4 {
            { peer }.write_all(&[byte]).unwrap();
            let seen = self.wait(fd.async_io(READ, |_| read()));
            assert_eq!(seen.unwrap(), byte);
            // The descriptor is drained, so the next byte has to be reported.
            let empty = fd.try_io(READ, |_| read()).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        }
    }

    fn talk_over(&self, fd: &AsyncFd<UnixStream>, peer: &UnixStream) {
        self.talk(fd, || read_byte(fd.get_ref()), peer);
    }

    /// Checks that nothing goes on: leftover events of the system are not reported at every poll,
    /// and the shards sleep.
    fn assert_quiet(&self) {
        self.settle();
        let stale = self.stale_events();
        for _ in 0..20 {
            self.settle();
        }
        assert_eq!(self.stale_events(), stale, "reported again and again");
        // There is no event to wait for, so this measures a stretch of time. A busy machine makes
        // it longer, which shows a spin even better.
        let turns = self.turns();
        const STRETCH: Duration = Duration::from_millis(20);
        self.wait(async { reactor::time::sleep(STRETCH).await });
        let turns = self.turns() - turns;
        assert!(
            turns < 50,
            "{turns} turns of shards that have nothing to do"
        );
    }
}

fn read_byte(mut from: impl Read) -> io::Result<u8> {
    let mut byte = [0];
    match from.read(&mut byte)? {
        1 => Ok(byte[0]),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Runs a case with the old and the next registration on one shard, and on two.
fn same_shard_and_another(case: impl Fn(&World, ShardId, ShardId)) {
    let world = World::new();
    let [one, two] = world.shards;
    let before = (open_descriptors(), world.registrations());
    case(&world, one, one);
    case(&world, one, two);
    assert_eq!((open_descriptors(), world.registrations()), before);
    world.assert_quiet();
}

#[test]
fn a_number_opened_again_belongs_to_the_next_socket() {
    same_shard_and_another(|world, one, other| {
        let (a, _peer) = pair();
        let number = a.as_raw_fd();
        let mut old = world.on(one, number);
        drop(a);
        let (c, d) = pair();
        assert_eq!(c.as_raw_fd(), number, "the lowest free number");
        let next = world.on(other, c);
        world.talk_over(&next, &d);
        // Every operation on the old registration.
        let error = old.set_interest(Interest::WRITABLE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = old.clear_closed().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        world.talk_over(&next, &d);
        drop(old);
        world.talk_over(&next, &d);
        next.clear_closed().expect("it owns its number");
        world.settle();
        assert_eq!(cached(&next, READ), Ready::EMPTY);
    });
}

#[test]
fn a_number_closed_and_not_opened_again_costs_nothing() {
    same_shard_and_another(|world, one, other| {
        let (a, peer) = pair();
        let old = world.on(one, a.as_raw_fd());
        drop(a);
        drop(peer);
        let (c, d) = pair();
        let bystander = world.on(other, c);
        assert_eq!(world.registrations(), 2);
        assert!(old.clear_closed().is_err());
        drop(old);
        assert_eq!(world.registrations(), 1);
        world.talk_over(&bystander, &d);
    });
}

#[test]
fn events_of_a_file_that_a_duplicate_keeps_open_reach_no_stranger() {
    same_shard_and_another(|world, one, other| {
        let (a, mut peer) = pair();
        let a = OwnedFd::from(a);
        let number = a.as_raw_fd();
        let old = world.on(one, number);
        let kept = duplicate(&a);
        drop(a);
        let (c, d) = pair();
        assert_eq!(c.as_raw_fd(), number);
        let next = world.on(other, c);
        world.talk_over(&next, &d);

        // The file still exists, so its own registration is told, and the other one is not.
        peer.write_all(b"x").unwrap();
        world.wait(async { old.readable().await.unwrap().retain_ready() });
        world.settle();
        assert_eq!(cached(&next, READ), Ready::EMPTY);

        // No other registration is told when that one is gone, even if it reuses the slot.
        drop(old);
        world.settle();
        let strangers: Vec<_> = (0..8)
            .map(|_| pair())
            .map(|(a, b)| (world.on(one, a), b))
            .collect();
        world.settle();
        let stale = world.stale_events();
        for _ in 0..10 {
            peer.write_all(b"y").unwrap();
            world.settle();
        }
        let stale = world.stale_events() - stale;
        assert!((1..=10).contains(&stale), "{stale} stale events for 10");
        assert_eq!(cached(&next, READ), Ready::EMPTY);
        for (stranger, _) in &strangers {
            assert_eq!(cached(stranger, READ), Ready::EMPTY);
        }
        world.talk_over(&next, &d);
        // There are still bytes to read, and no task reads them.
        world.assert_quiet();
        drop(kept);
    });
}

#[test]
fn a_number_overwritten_by_dup2_belongs_to_the_next_file() {
    same_shard_and_another(|world, one, other| {
        let (a, _peer) = pair();
        let (c, d) = pair();
        let mut number = OwnedFd::from(a);
        let old = world.on(one, number.as_raw_fd());
        rustix::io::dup2(&c, &mut number).unwrap();
        // Two numbers of one file, each registered by its owner.
        let overwritten = world.on(other, number);
        let c = world.on(other, c);
        let read = || read_byte(c.get_ref());
        world.talk(&overwritten, read, &d);
        world.talk_over(&c, &d);
        drop(old);
        world.talk(&overwritten, read, &d);
        world.talk_over(&c, &d);
        drop(overwritten);
        world.talk_over(&c, &d);
    });
}

#[test]
fn what_a_duplicate_kept_registered_is_taken_over() {
    same_shard_and_another(|world, one, other| {
        let (a, peer) = pair();
        let a = OwnedFd::from(a);
        let number = a.as_raw_fd();
        let old = world.on(one, number);
        let kept = duplicate(&a);
        drop(a);
        // The system gets a number without a descriptor, and the entry stays.
        drop(old);
        let again = UnixStream::from(duplicate(&kept));
        assert_eq!(
            again.as_raw_fd(),
            number,
            "the same file at the same number"
        );
        world.settle();
        let stale = world.stale_events();
        let again = world.on(other, again);
        world.talk_over(&again, &peer);
        let reported_twice = world.stale_events() - stale;
        if one == other {
            assert_eq!(reported_twice, 0, "the old entry is the new one's");
        }
        // It goes away with its new owner.
        drop(again);
        world.settle();
        let stale = world.stale_events();
        { &peer }.write_all(b"x").unwrap();
        world.settle();
        let orphan = u64::from(one != other);
        assert_eq!(world.stale_events() - stale, orphan);
    });
}

#[test]
fn a_live_registration_is_not_taken_over() {
    same_shard_and_another(|world, one, other| {
        let (a, peer) = pair();
        let number = a.as_raw_fd();
        let first = world.on(one, a);
        let second = AsyncFd::new_on(world.reactor.handle(), Placement::Shard(other), number);
        if one == other {
            let (back, error) = second.unwrap_err().into_parts();
            assert_eq!((back, error.kind()), (number, io::ErrorKind::AlreadyExists));
        } else {
            // Each shard reports to its own registration.
            let second = second.unwrap();
            { &peer }.write_all(b"x").unwrap();
            world.wait(async { second.readable().await.unwrap().retain_ready() });
            assert_eq!(read_byte(first.get_ref()).unwrap(), b'x');
        }
        world.talk_over(&first, &peer);
    });
}

/// The duration of the storm.
const STORM: Duration = Duration::from_millis(1500);

/// A small pseudo-random generator (xorshift), repeatable by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// The shared state of the storm.
struct Storm {
    handle: Handle,
    shards: [ShardId; 2],
    until: Instant,
    /// Numbers that were closed while registered.
    betrayed: Mutex<HashSet<RawFd>>,
    /// The number of these that a stranger received.
    reused: AtomicUsize,
}

impl Storm {
    fn place(&self, random: &mut Random) -> Placement {
        Placement::Shard(self.shards[random.below(2)])
    }

    /// A stranger does everything right, on numbers that others closed: it opens, registers,
    /// exchanges bytes and leaves, and it gets every event.
    async fn stranger(&self, mut random: Random) {
        while Instant::now() < self.until {
            let sockets: Vec<_> = (0..4)
                .map(|_| {
                    let (a, b) = pair();
                    if self.betrayed.lock().unwrap().remove(&a.as_raw_fd()) {
                        self.reused.fetch_add(1, Ordering::Relaxed);
                    }
                    let place = self.place(&mut random);
                    (AsyncFd::new_on(&self.handle, place, a).unwrap(), b)
                })
                .collect();
            for byte in 0..8 {
                for (a, b) in &sockets {
                    { b }.write_all(&[byte]).unwrap();
                    let read = a.async_io(READ, |a| read_byte(a));
                    let read = reactor::time::timeout(DEADLINE / 4, read).await;
                    assert_eq!(read.expect("a stranger lost an event").unwrap(), byte);
                    assert!(a.try_io(READ, |a| read_byte(a)).is_err());
                }
            }
            for (a, _) in &sockets {
                a.clear_closed().expect("a stranger lost its number");
            }
        }
    }

    /// A betrayer does everything wrong, but nothing unsafe.
    fn betrayer(&self, mut random: Random) -> usize {
        let mut late: Vec<AsyncFd<RawFd>> = Vec::new();
        let mut kept: Vec<(OwnedFd, UnixStream)> = Vec::new();
        let mut betrayals = 0;
        while Instant::now() < self.until {
            let (a, b) = pair();
            let a = OwnedFd::from(a);
            let number = a.as_raw_fd();
            let place = self.place(&mut random);
            let old = AsyncFd::new_on(&self.handle, place, number).unwrap();
            let closing = |a: OwnedFd| {
                self.betrayed.lock().unwrap().insert(number);
                drop(a);
            };
            match random.below(4) {
                // The file goes away with its number.
                0 => closing(a),
                // A duplicate keeps the file open.
                1 => {
                    kept.push((duplicate(&a), b));
                    closing(a);
                }
                // Another file takes over the number, is registered there itself, and is dropped
                // first.
                2 => {
                    let (mut a, other) = (a, pair());
                    rustix::io::dup2(&other.0, &mut a).unwrap();
                    let place = self.place(&mut random);
                    drop(AsyncFd::new_on(&self.handle, place, a.as_fd()).unwrap());
                    closing(a);
                }
                // The registration is dropped, its entry stays, and the file returns, perhaps at
                // its old number.
                _ => {
                    let copy = duplicate(&a);
                    closing(a);
                    drop(AsyncFd::new_on(&self.handle, place, duplicate(&copy)));
                    kept.push((copy, b));
                }
            }
            betrayals += 1;
            late.push(old);
            let i = random.below(late.len());
            match random.below(4) {
                0 => drop(late[i].clear_closed()),
                1 => drop(late[i].set_interest(READ)),
                2 => {
                    let mut cx = Context::from_waker(Waker::noop());
                    let _ = late[i].poll_read_ready(&mut cx).map(drop);
                }
                _ => {}
            }
            for (_, peer) in &mut kept {
                // An event for a file whose number has a new owner by now. A full socket is fine.
                let _ = peer.write(b"x");
            }
            while late.len() > 24 {
                late.swap_remove(random.below(late.len()));
            }
            while kept.len() > 12 {
                kept.swap_remove(random.below(kept.len()));
            }
        }
        betrayals
    }
}

#[test]
fn in_a_storm_no_stranger_loses_an_event_and_every_count_returns() {
    let world = World::new();
    world.settle();
    let before = (open_descriptors(), world.registrations());
    let storm = Storm {
        handle: world.reactor.handle().clone(),
        shards: world.shards,
        until: Instant::now() + STORM,
        betrayed: Mutex::default(),
        reused: AtomicUsize::new(0),
    };
    let storm = std::sync::Arc::new(storm);
    let tasks: Vec<_> = (0..8_usize)
        .map(|i| {
            let task_storm = storm.clone();
            storm
                .handle
                .spawn_on(world.shards[i % 2], move || async move {
                    task_storm.stranger(Random(1 + i as u64)).await;
                })
        })
        .collect();
    let betrayals: usize = std::thread::scope(|scope| {
        let foreign = scope.spawn(|| world.wait(storm.stranger(Random(77))));
        let betrayers = [101, 102].map(|seed| {
            let storm = &storm;
            scope.spawn(move || storm.betrayer(Random(seed)))
        });
        foreign.join().unwrap();
        betrayers
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    for task in tasks {
        world.wait(task).unwrap();
    }
    let reused = storm.reused.load(Ordering::Relaxed);
    assert!(
        betrayals > 50 && reused > 10,
        "{betrayals} numbers closed, {reused} reused: that was no storm"
    );
    assert_eq!((open_descriptors(), world.registrations()), before);
    world.assert_quiet();
}
