//! A wheel that runs in step with a model: a map from names to deadlines.
//!
//! The steps come from a property test (`tests.rs`) or from a fuzzer (`crate::fuzzing`). It panics
//! if the two disagree.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use super::{TimerKey, Wheel};

/// Collects the names of the timers that were woken.
#[derive(Clone, Debug, Default)]
pub(super) struct Bell(Arc<Mutex<Vec<u64>>>);

struct Rope(Bell, u64);

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.0
            .0
            .lock()
            .expect("no test panics with the lock")
            .push(self.1);
    }
}

impl Bell {
    pub(super) fn waker(&self, name: u64) -> Waker {
        Waker::from(Arc::new(Rope(self.clone(), name)))
    }

    /// Returns the names that one advance woke, sorted.
    pub(super) fn advance(&self, wheel: &mut Wheel, now: u64) -> Vec<u64> {
        let mut expired = Vec::new();
        wheel.advance(now, &mut expired);
        expired.into_iter().for_each(Waker::wake);
        let mut woken = std::mem::take(&mut *self.0.lock().expect("no test panics with the lock"));
        woken.sort_unstable();
        woken
    }
}

/// An operation on a wheel. Timers are given by their rank among the armed ones, and times as spans
/// from now.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Insert(u64),
    Reset(usize, i64),
    Remove(usize),
    Advance(u64),
    /// Advances to `next_expiry`, as an idle shard does.
    Sleep,
}

/// The names and deadlines of armed timers, and stale keys.
#[derive(Default)]
struct Model {
    now: u64,
    armed: BTreeMap<u64, (u64, TimerKey)>,
    stale: Vec<TimerKey>,
}

impl Model {
    fn pick(&self, index: usize) -> Option<(u64, TimerKey)> {
        let index = index.checked_rem(self.armed.len())?;
        let (name, (_, key)) = self.armed.iter().nth(index)?;
        Some((*name, *key))
    }

    fn expire(&mut self, now: u64) -> Vec<u64> {
        self.now = now;
        let due: Vec<u64> = self
            .armed
            .iter()
            .filter(|(_, (deadline, _))| *deadline <= now)
            .map(|(name, _)| *name)
            .collect();
        self.stale.extend(
            due.iter()
                .filter_map(|name| self.armed.remove(name))
                .map(|(_, key)| key),
        );
        due
    }
}

/// Runs the steps on a wheel whose clock stands at `origin`, then sleeps until no timer is armed.
pub(crate) fn play(origin: u64, steps: impl IntoIterator<Item = Step>) {
    let (mut wheel, bell) = (Wheel::new(), Bell::default());
    let mut model = Model {
        now: origin,
        ..Model::default()
    };
    bell.advance(&mut wheel, origin);
    for (name, step) in (0..).zip(steps) {
        match step {
            Step::Insert(after) => {
                let deadline = model.now.saturating_add(after);
                let key = wheel.insert(deadline, bell.waker(name));
                model.armed.insert(name, (deadline, key));
            }
            Step::Reset(which, by) => {
                if let Some((name, key)) = model.pick(which) {
                    let deadline = model.armed[&name].0.saturating_add_signed(by);
                    assert!(wheel.reset(key, deadline));
                    model.armed.insert(name, (deadline, key));
                }
            }
            Step::Remove(which) => {
                if let Some((name, key)) = model.pick(which) {
                    assert!(wheel.remove(key).is_some());
                    model.armed.remove(&name);
                    model.stale.push(key);
                }
            }
            Step::Advance(by) => {
                let now = model.now.saturating_add(by);
                assert_eq!(bell.advance(&mut wheel, now), model.expire(now));
            }
            Step::Sleep => {
                if let Some(next) = wheel.next_expiry() {
                    let now = next.max(model.now);
                    assert_eq!(bell.advance(&mut wheel, now), model.expire(now));
                }
            }
        }
        assert_eq!(wheel.len(), model.armed.len());
        assert!(model.armed.values().all(|(_, key)| wheel.is_armed(*key)));
        assert!(!model.stale.iter().any(|key| wheel.is_armed(*key)));
        let earliest = model.armed.values().map(|(deadline, _)| *deadline).min();
        match (wheel.next_expiry(), earliest) {
            (None, None) => {}
            (Some(next), Some(deadline)) => {
                assert!(
                    next <= deadline.max(model.now),
                    "{next} is after {deadline}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    // Sleeping until the end terminates and misses no timer.
    while let Some(next) = wheel.next_expiry() {
        let now = next.max(model.now);
        assert_eq!(bell.advance(&mut wheel, now), model.expire(now));
    }
    assert!(model.armed.is_empty());
}
