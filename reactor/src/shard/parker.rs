//! The sleep/notify protocol between one shard thread and everybody else.
//!
//! The protocol, its table of states and its proof sketch are in `PARKER.md` beside this file; the model that explores it is
//! `loom::parker`. The parker never looks at what was put in: [`Parker::prepare`] takes the look as a closure.

use crate::metrics::Counter;
use crate::sync::{AtomicU8, Ordering, fence};

/// The shard runs: whatever is put in will be seen before it sleeps.
const AWAKE: u8 = 0;
/// The shard sleeps, or has decided to: the next sender has to write its eventfd.
const ASLEEP: u8 = 1;
/// A sender has written the eventfd since the shard fell asleep; nobody else needs to.
const NOTIFIED: u8 = 2;

/// What ends a shard's sleep: the driver's eventfd, or a model of it.
pub(crate) trait Notify {
    /// Makes the wait under way, or else the next one, return.
    fn notify(&self);
}

/// What a sender's [`Parker::unpark`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpark {
    /// The shard was asleep, and this call wrote its eventfd.
    Notified,
    /// The shard runs, or another sender has notified it: no system call was made.
    Coalesced,
}

/// The flag a shard sleeps behind, and the eventfd that ends its sleep.
#[derive(Debug)]
pub(crate) struct Parker<N = crate::driver::Notifier> {
    /// Written by the shard (AWAKE, ASLEEP) and by the one sender that wins ASLEEP -> NOTIFIED; read by every sender.
    state: AtomicU8,
    notifier: N,
    /// How many times the eventfd was written.
    notifies: Counter,
}

impl<N: Notify> Parker<N> {
    pub(crate) fn new(notifier: N) -> Self {
        Self {
            state: AtomicU8::new(AWAKE),
            notifier,
            notifies: Counter::new(),
        }
    }

    /// Announces the shard's sleep and looks once more at what others may have put in.
    ///
    /// Returns whether the shard may sleep. Either way the shard calls [`Parker::awake`] before it next looks at its inbox.
    /// Called by the shard thread only.
    pub(crate) fn prepare(&self, inbox_is_empty: impl FnOnce() -> bool) -> bool {
        self.state.store(ASLEEP, Ordering::Relaxed);
        // ORDERING [park-shard], partner [park-sender] in `unpark`.
        //   shard:  state = ASLEEP, FENCE, look in the inbox     sender: fill the inbox, FENCE, look at state
        // With Acquire/Release alone both looks may miss both writes, which leaves work in front of a sleeping thread.
        // The two fences are ordered, so whichever side comes second sees the other's write.
        fence(Ordering::SeqCst);
        crate::sync::mutant("parker_no_last_look") || inbox_is_empty()
    }

    /// Marks the shard awake again. Called by the shard thread only, after its wait.
    pub(crate) fn awake(&self) {
        // Relaxed: a sender that still reads ASLEEP or NOTIFIED at worst writes the eventfd once in vain, or is coalesced
        // with a notification that this very wake-up answers: its push came before its look, and the shard reads the inbox
        // after this store (PARKER.md, case 3).
        self.state.store(AWAKE, Ordering::Relaxed);
        // ORDERING [park-awake], partner [park-sender] in `unpark`.
        // A sender that read a NOTIFIED older than this store is ordered before the shard's next look in the inbox.
        fence(Ordering::SeqCst);
    }

    /// Makes sure that the shard looks at its inbox after this call. Called from any thread, after the push.
    pub(crate) fn unpark(&self) -> Unpark {
        // ORDERING [park-sender], partner [park-shard] in `prepare`, [park-awake] in `awake`, [ended] in turn.rs.
        if !crate::sync::mutant("parker_no_sender_fence") {
            fence(Ordering::SeqCst);
        }
        if self.state.load(Ordering::Relaxed) != ASLEEP {
            return Unpark::Coalesced;
        }
        let won =
            self.state
                .compare_exchange(ASLEEP, NOTIFIED, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_err() {
            return Unpark::Coalesced;
        }
        self.notifies.add_shared(1);
        self.notifier.notify();
        Unpark::Notified
    }

    /// How many times the eventfd was written.
    pub(crate) fn notifies(&self) -> u64 {
        self.notifies.get()
    }
}
