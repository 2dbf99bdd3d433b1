//! A test driver. On one thread, it runs the same steps on the word with its waiters and on a model
//! of both.
//!
//! The steps come from a property test (`tests/program.rs`) or from a fuzzer (`crate::fuzzing`).
//! The driver panics if the two disagree on the states, on the number of wakes of each task, on a
//! wait's result, or on the wakers that are kept.

use std::sync::{Arc, Weak};
use std::task::{Poll, Wake, Waker};

use crate::Ready;
use crate::readiness::snapshot::TICK_BITS;
use crate::readiness::{ClosedStates, Readiness, Side, Snapshot, WaiterId};
use crate::sync::{AtomicU32, Mutex, Ordering};

/// An operation. Looks, waits and tasks are given by number, modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Look,
    Publish(Ready),
    /// Clears the states that a look saw. The flag says if it includes the closed states.
    Clear(usize, bool),
    ForgetClosed,
    Close,
    /// Waits for any of these states. The set is never empty.
    Wait(Ready, usize),
    PollWait(usize, usize),
    EndWait(usize),
    PollSide(usize, usize),
    /// Passes the slot to its next owner: remaining waiters are taken out, and each tick starts
    /// this many events before its wrap.
    Renew(Ready, [u8; 3]),
}

/// The number of tasks. The last one waits for `RETURNS_FOR` again whenever it is woken.
const TASKS: usize = 4;
const RETURNS_FOR: Ready = Ready::from_interest(crate::Interest::WRITABLE);

#[derive(Default)]
struct Task {
    wakes: AtomicU32,
    returns_to: Weak<Readiness>,
    returned: Mutex<Vec<WaiterId>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if let Some(ready) = self.returns_to.upgrade() {
            let wait = ready.wait(RETURNS_FOR, &Waker::from(Arc::clone(&self)));
            self.returned.lock().extend(wait);
        }
    }
}

#[derive(Clone, Copy)]
struct Wait {
    id: WaiterId,
    mask: Ready,
    task: usize,
    notified: bool,
}

/// The states and the number of events, with counters that never wrap.
#[derive(Clone, Copy, Default)]
struct Word {
    ready: Ready,
    events: [u64; 3],
    closed: bool,
}

impl Word {
    fn ends_wait(&self, mask: Ready) -> bool {
        self.closed || self.ready.intersects(mask)
    }

    fn agrees(&self, seen: Snapshot) {
        assert_eq!(seen.ready(), self.ready);
        assert_eq!(seen.is_shutdown(), self.closed);
    }
}

/// The states of each direction, in the order of the ticks.
pub(super) fn lanes() -> [Ready; 3] {
    [
        Ready::READABLE | Ready::READ_CLOSED | Ready::PRIORITY_BIT,
        Ready::WRITABLE | Ready::WRITE_CLOSED,
        Ready::ERROR,
    ]
}

struct World {
    readiness: Arc<Readiness>,
    tasks: [Arc<Task>; TASKS],
    word: Word,
    looks: Vec<(Snapshot, Word)>,
    waits: Vec<Wait>,
    /// The task whose waker is in each of the poll slots.
    sides: [Option<usize>; 2],
    wakes: [u32; TASKS],
}

/// Runs the steps on a new slot.
pub(crate) fn play(steps: impl IntoIterator<Item = Step>) {
    let readiness = Arc::new(Readiness::new());
    let mut world = World {
        tasks: std::array::from_fn(|task| {
            let mut new = Task::default();
            if task + 1 == TASKS {
                new.returns_to = Arc::downgrade(&readiness);
            }
            Arc::new(new)
        }),
        readiness,
        word: Word::default(),
        looks: Vec::new(),
        waits: Vec::new(),
        sides: [None; 2],
        wakes: [0; TASKS],
    };
    for step in steps {
        world.step(step);
        world.check();
    }
}

impl World {
    fn waker(&self, task: usize) -> Waker {
        Waker::from(Arc::clone(&self.tasks[task]))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Look => self.looks.push((self.readiness.load(), self.word)),
            Step::Publish(event) => {
                for (events, lane) in self.word.events.iter_mut().zip(lanes()) {
                    *events += u64::from(lane.intersects(event));
                }
                self.word.ready |= event;
                assert_eq!(self.readiness.publish(event), 0);
                self.woken(event);
            }
            Step::Close => {
                self.word.closed = true;
                assert_eq!(self.readiness.close(), 0);
                self.woken(Ready::ALL);
            }
            Step::Clear(look, closed_too) => {
                let Some(look) = look.checked_rem(self.looks.len()) else {
                    return;
                };
                let (seen, then) = self.looks[look];
                let before = self.word.ready;
                let kept = if closed_too {
                    Ready::EMPTY
                } else {
                    Ready::CLOSED
                };
                for (index, lane) in lanes().into_iter().enumerate() {
                    if self.word.events[index] == then.events[index] {
                        self.word.ready = self.word.ready - ((lane & then.ready) - kept);
                    }
                }
                if !closed_too {
                    return self.readiness.clear(seen);
                }
                let removed = before & Ready::CLOSED != self.word.ready & Ready::CLOSED;
                let states = self.readiness.clear_with_closed(seen);
                assert_eq!(states == ClosedStates::Removed, removed);
            }
            Step::ForgetClosed => {
                self.word.ready = self.word.ready - Ready::CLOSED;
                self.readiness.forget_closed();
            }
            Step::Wait(mask, task) => {
                let task = task % TASKS;
                match self.readiness.wait(mask, &self.waker(task)) {
                    Ok(id) => {
                        assert!(!self.word.ends_wait(mask));
                        self.joined(id, mask, task);
                    }
                    Err(seen) => {
                        assert!(self.word.ends_wait(mask));
                        self.word.agrees(seen);
                    }
                }
            }
            Step::PollWait(wait, task) => {
                let Some(wait) = wait.checked_rem(self.waits.len()) else {
                    return;
                };
                let (Wait { id, notified, .. }, task) = (self.waits[wait], task % TASKS);
                match self.readiness.poll_wait(id, &self.waker(task)) {
                    Poll::Ready(seen) => {
                        assert!(notified);
                        self.word.agrees(seen);
                        self.waits.swap_remove(wait);
                    }
                    Poll::Pending => {
                        assert!(!notified);
                        self.waits[wait].task = task;
                    }
                }
            }
            Step::EndWait(wait) => {
                if let Some(wait) = wait.checked_rem(self.waits.len()) {
                    self.readiness.end_wait(self.waits.swap_remove(wait).id);
                }
            }
            Step::PollSide(side, task) => {
                let (side, task) = (side % 2, task % TASKS);
                let waker = self.waker(task);
                let polled = match side {
                    Side::READ => self.readiness.poll_side::<{ Side::READ }>(&waker),
                    _ => self.readiness.poll_side::<{ Side::WRITE }>(&waker),
                };
                match polled {
                    Poll::Ready(seen) => {
                        assert!(self.word.ends_wait(Side::mask(side)));
                        self.word.agrees(seen);
                    }
                    Poll::Pending => {
                        assert!(!self.word.ends_wait(Side::mask(side)));
                        self.sides[side] = Some(task);
                    }
                }
            }
            Step::Renew(initial, left) => {
                let left_over = self.readiness.take_waiters();
                assert_eq!(left_over.map_or(0, |waiters| waiters.drop_caught()), 0);
                self.waits.clear();
                self.sides = [None; 2];
                self.looks.clear();
                let ticks = left.map(|left| (1 << TICK_BITS) - 1 - u64::from(left));
                self.readiness.reset_to(initial, ticks);
                self.word = Word {
                    ready: initial,
                    ..Word::default()
                };
            }
        }
    }

    /// Checks that each waiter for any of `event` was notified once, and that the last task waited
    /// again as often as it was woken.
    fn woken(&mut self, event: Ready) {
        let before = self.wakes;
        for wait in self.waits.iter_mut().filter(|wait| !wait.notified) {
            if wait.mask.intersects(event) {
                wait.notified = true;
                self.wakes[wait.task] += 1;
            }
        }
        for (side, place) in self.sides.iter_mut().enumerate() {
            if Side::mask(side).intersects(event) {
                if let Some(task) = place.take() {
                    self.wakes[task] += 1;
                }
            }
        }
        let last = TASKS - 1;
        let returned = std::mem::take(&mut *self.tasks[last].returned.lock());
        let waits = !self.word.ends_wait(RETURNS_FOR);
        let came_back = if waits {
            self.wakes[last] - before[last]
        } else {
            0
        };
        assert_eq!(returned.len(), came_back as usize);
        for id in returned {
            self.joined(id, RETURNS_FOR, last);
        }
    }

    fn joined(&mut self, id: WaiterId, mask: Ready, task: usize) {
        assert!(
            self.waits.iter().all(|wait| wait.id != id),
            "two waiters have one place"
        );
        self.waits.push(Wait {
            id,
            mask,
            task,
            notified: false,
        });
    }

    fn check(&self) {
        self.word.agrees(self.readiness.load());
        for (index, task) in self.tasks.iter().enumerate() {
            assert_eq!(task.wakes.load(Ordering::Relaxed), self.wakes[index]);
            let waits = self.waits.iter().filter(|wait| !wait.notified);
            let waiting = waits.filter(|wait| wait.task == index).count();
            let polling = self.sides.iter().filter(|side| **side == Some(index));
            // One reference belongs to this test.
            let wakers = 1 + waiting + polling.count();
            assert_eq!(
                Arc::strong_count(task),
                wakers,
                "wakers kept of task {index}"
            );
        }
    }
}
