//! A reactor of two shards, the descriptors and registrations of a program, and their invariants.
//!
//! A registration whose descriptor was left alone has three guarantees, whatever the program does
//! with others. Every call on it works. Once the shards have seen all events, readiness that
//! poll(2) reports has been published, and its waiters were woken. Readiness that poll(2) does not
//! report is not published again once an attempt found nothing. After the reactor's end every wait
//! is over, with the one error. Nothing is left registered.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use asyncfd::{AsyncFd, Interest};
use reactor::{Handle, Placement, Reactor, ShardId, is_shutdown_error};

use crate::descriptors::{Descriptors, Pair};
use crate::registered::{Registered, is_ready};
use crate::step::{Side, Step};

const REGISTERED_MAX: usize = 6;
const WAITS_MAX: usize = 3;

/// The time limit for events that come through the network. Events within one process are there at
/// once.
const PATIENCE: Duration = Duration::from_secs(2);

/// A reactor, and on each shard a socket whose event comes after all earlier ones.
struct Live {
    bells: [(AsyncFd<UnixStream>, UnixStream); 2],
    shards: [ShardId; 2],
    reactor: Reactor,
}

thread_local! {
    /// It is kept from program to program, until one ends it.
    static LIVE: Cell<Option<Live>> = const { Cell::new(None) };
}

impl Live {
    fn new() -> Self {
        let reactor = Reactor::builder()
            .shards(2)
            .build()
            .expect("a reactor starts");
        let mut shards = reactor.handle().shards();
        let shards = [(); 2].map(|()| shards.next().expect("there are two"));
        let bells = shards.map(|shard| {
            let (near, far) = UnixStream::pair().expect("there are descriptors left");
            near.set_nonblocking(true).expect("it is open");
            let near = AsyncFd::new_on(reactor.handle(), Placement::Shard(shard), near);
            (near.expect("it is new"), far)
        });
        Self {
            bells,
            shards,
            reactor,
        }
    }

    /// Returns once the shards have published every event from before the call.
    fn settle(&mut self) {
        for (near, far) in &mut self.bells {
            far.write_all(&[0]).expect("there is room");
            let rung = near.async_io(Interest::READABLE, |mut near| near.read(&mut [0]));
            self.reactor.block_on(rung).expect("the shard is there");
        }
    }
}

struct World {
    live: Option<Live>,
    handle: Handle,
    shards: [ShardId; 2],
    descriptors: Descriptors,
    registered: Vec<Registered>,
}

/// Runs a program from its beginning to an orderly end.
pub fn play(steps: &[Step]) {
    let live = LIVE.take().unwrap_or_else(Live::new);
    let mut world = World {
        handle: live.reactor.handle().clone(),
        shards: live.shards,
        live: Some(live),
        descriptors: Descriptors::default(),
        registered: Vec::new(),
    };
    for step in steps {
        world.step(*step);
    }
    world.look();
    world.registered.clear();
    if let Some(live) = world.live {
        let registrations = live.reactor.handle().metrics();
        let registrations = registrations.total(|shard| shard.registrations);
        assert_eq!(registrations, 2, "only the bells are left");
        LIVE.set(Some(live));
    }
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Pair(kind) => self.descriptors.pair(kind),
            Step::Dup(which) => self.descriptors.dup(which),
            Step::Register(which, shard) => {
                if let Some((number, _)) = self.descriptors.get(which) {
                    self.register(number, shard.into());
                }
            }
            Step::Close(which)
            | Step::Dup2(_, which)
            | Step::Write(which, _)
            | Step::Read(which, _)
            | Step::Fill(which)
            | Step::Drain(which)
            | Step::Shutdown(which, _) => {
                if let Some((number, pair)) = self.descriptors.get(which) {
                    self.disturb(pair);
                    self.step_with(number, step);
                }
            }
            Step::Settle => self.look(),
            Step::Shut => self.shut(),
            Step::Deregister(which)
            | Step::Again(which)
            | Step::SetInterest(which, _)
            | Step::Poll(which, _)
            | Step::Wait(which, _)
            | Step::PollWait(which, _)
            | Step::DropWait(which, _)
            | Step::TryIo(which, ..)
            | Step::Clear(which, _)
            | Step::ClearClosed(which) => {
                if let Some(index) = usize::from(which).checked_rem(self.registered.len()) {
                    self.step_of(index, step);
                }
            }
        }
    }

    /// Runs a step on the descriptor with this number.
    fn step_with(&mut self, number: RawFd, step: Step) {
        match step {
            Step::Close(which) => self.descriptors.close(which),
            Step::Dup2(from, to) => self.descriptors.dup2(from, to),
            Step::Write(which, len) => self.descriptors.transfer_of(which, Side::Write, len),
            Step::Read(which, len) => self.descriptors.transfer_of(which, Side::Read, len),
            Step::Fill(which) => self.descriptors.transfer_all(which, Side::Write),
            Step::Drain(which) => self.descriptors.transfer_all(which, Side::Read),
            Step::Shutdown(which, half) => self.descriptors.shutdown(which, half),
            _ => {}
        }
        if matches!(step, Step::Close(_) | Step::Dup2(..)) {
            for one in &mut self.registered {
                one.betrayed |= one.number() == number;
            }
        }
    }

    fn disturb(&mut self, pair: Pair) {
        for one in &mut self.registered {
            one.quiet &= one.pair != pair;
        }
    }

    /// Runs a step on one registration.
    fn step_of(&mut self, index: usize, step: Step) {
        let lives = self.live.is_some();
        let one = &mut self.registered[index];
        match step {
            Step::Deregister(_) => drop(self.registered.swap_remove(index)),
            Step::Again(_) => {
                let one = self.registered.swap_remove(index);
                let shard = one.shard;
                let number = one.into_inner();
                self.register(number, shard);
            }
            Step::SetInterest(_, asked) => {
                let interest = asked.interest();
                match one.alone().set_interest(interest) {
                    // The kernel reports the current state again.
                    Ok(()) => (one.interest, one.cleared) = (interest, [false; 2]),
                    Err(error) => assert!(one.betrayed || !lives, "{one:?}: {error}"),
                }
            }
            Step::Poll(_, side) => drop(one.poll(side)),
            Step::Wait(_, asked) if one.waits.len() < WAITS_MAX => one.wait(asked.interest()),
            Step::PollWait(_, wait) => {
                if let Some(wait) = usize::from(wait).checked_rem(one.waits.len()) {
                    if one.waits[wait].poll().is_ready() {
                        drop(one.waits.swap_remove(wait));
                    }
                }
            }
            Step::DropWait(_, wait) => {
                if let Some(wait) = usize::from(wait).checked_rem(one.waits.len()) {
                    drop(one.waits.swap_remove(wait));
                }
            }
            Step::TryIo(_, side, len) if !one.betrayed => {
                let (number, pair) = (one.number(), one.pair);
                let attempt = || self.descriptors.transfer(number, side, len);
                let _ = one.fd.try_io(side.interest(), |_| attempt());
                self.disturb(pair);
            }
            Step::Clear(_, side) => one.clear(side),
            Step::ClearClosed(_) => {
                let cleared = one.fd.clear_closed();
                assert!(cleared.is_ok() || one.betrayed || !lives, "{one:?}");
            }
            _ => {}
        }
    }

    fn register(&mut self, number: RawFd, shard: usize) {
        let room = self.registered.len() < REGISTERED_MAX;
        let Some(pair) = self.descriptors.pair_of(number).filter(|_| room) else {
            return;
        };
        let here = |one: &&Registered| (one.number(), one.shard) == (number, shard);
        let mut rivals = self.registered.iter().filter(here);
        match AsyncFd::new_on(&self.handle, Placement::Shard(self.shards[shard]), number) {
            Ok(fd) => {
                assert!(self.live.is_some(), "registered after the end");
                assert!(rivals.all(|rival| rival.betrayed), "registered twice");
                self.registered.push(Registered::new(fd, shard, pair));
            }
            Err(error) => {
                let error = io::Error::from(error);
                if self.live.is_none() {
                    assert!(is_shutdown_error(&error), "{error}");
                } else {
                    // If a number was closed and names the same file again, the error cannot be
                    // predicted.
                    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
                    assert!(rivals.next().is_some(), "refused for nobody's sake");
                }
            }
        }
    }

    /// Lets the shards see all events, then checks every registration whose descriptor was left
    /// alone.
    fn look(&mut self) {
        let Some(live) = &mut self.live else {
            return;
        };
        let give_up = Instant::now() + PATIENCE;
        live.settle();
        for one in &mut self.registered {
            if one.betrayed {
                continue;
            }
            let kernel = self.descriptors.kernel(one.number());
            if one.quiet && !is_ready(Side::Read, kernel) {
                assert!(
                    one.poll(Side::Read).is_pending(),
                    "another's event: {one:?}"
                );
            }
            for side in Side::BOTH {
                let owed = one.owes(side, kernel);
                while let Err(problem) = one.look(side, owed) {
                    assert!(Instant::now() < give_up, "{problem}: {one:?}, {kernel:?}");
                    live.settle();
                }
            }
        }
        self.look_for_ghosts();
        for one in self.registered.iter().filter(|one| !one.betrayed) {
            let rearmed = one.fd.clear_closed();
            rearmed.unwrap_or_else(|error| panic!("{error}: {one:?}"));
        }
    }

    /// Checks that, after an attempt that found nothing, nothing is reported before there is
    /// something.
    fn look_for_ghosts(&mut self) {
        let Some(live) = &mut self.live else {
            return;
        };
        let give_up = Instant::now() + PATIENCE;
        let descriptors = &self.descriptors;
        let is_quiet = |number| !is_ready(Side::Read, descriptors.kernel(number));
        let mut suspects: Vec<_> = self.registered.iter_mut().collect();
        loop {
            suspects.retain(|one| {
                // Only a side that is known to be ready is attempted.
                !one.betrayed && is_quiet(one.number()) && {
                    let attempt = || descriptors.transfer(one.number(), Side::Read, 0);
                    let found = one.fd.try_io(Interest::READABLE, |_| attempt());
                    found.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                }
            });
            if suspects.is_empty() {
                return;
            }
            live.settle();
            suspects.retain_mut(|one| {
                one.quiet = one.poll(Side::Read).is_pending();
                !one.quiet
            });
            assert!(
                Instant::now() < give_up,
                "ready without reason: {suspects:?}"
            );
        }
    }

    fn shut(&mut self) {
        let Some(Live { bells, reactor, .. }) = self.live.take() else {
            return;
        };
        drop(bells);
        let ended = reactor.shutdown(Duration::ZERO);
        ended.expect("no shard has a task");
        for one in &mut self.registered {
            one.look_after_the_end();
        }
    }
}
