//! The sleep and notify protocol between one shard thread and all other threads.
//!
//! `PARKER.md` beside this file has the protocol, its state table and its proof sketch. The model
//! that explores it is `loom::parker`. The parker never accesses the inbox: [`Parker::prepare`]
//! takes the check as a closure.

use crate::metrics::Counter;
use crate::sync::{AtomicU8, Ordering, fence};

/// The shard runs: it sees every push before it sleeps.
const AWAKE: u8 = 0;
/// The shard sleeps, or has decided to sleep: the next sender writes its eventfd.
const ASLEEP: u8 = 1;
/// A sender has written the eventfd since the shard fell asleep; other senders do not write it.
const NOTIFIED: u8 = 2;

/// The means to end a shard's sleep: the driver's eventfd, or a model of it.
pub(crate) trait Notify {
    /// Makes the current wait return, or else the next one.
    fn notify(&self);
}

/// The outcome of a sender's [`Parker::unpark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpark {
    /// The shard was asleep, and this call wrote its eventfd.
    Notified,
    /// The shard runs, or another sender has notified it: this call made no system call.
    Coalesced,
}

/// The flag that says that a shard sleeps, and the eventfd that ends its sleep.
#[derive(Debug)]
pub(crate) struct Parker<N = crate::driver::Notifier> {
    /// Written by the shard (AWAKE, ASLEEP) and by the one sender that wins ASLEEP -> NOTIFIED.
    /// Read by every sender.
    state: AtomicU8,
    notifier: N,
    /// The number of eventfd writes.
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

    /// Announces the shard's sleep and checks the inbox once more.
    ///
    /// Returns true if the shard may sleep. In both cases the shard calls [`Parker::awake`] before
    /// it next checks its inbox. Called by the shard thread only.
    pub(crate) fn prepare(&self, inbox_is_empty: impl FnOnce() -> bool) -> bool {
        self.state.store(ASLEEP, Ordering::Relaxed);
        // ORDERING [park-shard], partner [park-sender] in `unpark`, [beacon] in steal.rs.
        //   shard:  state = ASLEEP, FENCE, check the inbox
        //   sender: fill the inbox, FENCE, read state
        // With Acquire/Release alone both reads may miss both writes, which leaves work in front of
        // a sleeping thread. The two fences are ordered, so whichever side comes second sees the
        // other's write.
        fence(Ordering::SeqCst);
        crate::sync::mutant("parker_no_last_look") || inbox_is_empty()
    }

    /// Marks the shard as awake again. Called by the shard thread only, after its wait.
    pub(crate) fn awake(&self) {
        // Relaxed: a sender may still read ASLEEP or NOTIFIED. At worst it writes the eventfd once
        // in vain, or it coalesces with a notification that this wake-up answers. In the second
        // case the shard finds its push before it next sleeps (PARKER.md, case 3).
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Ensures that the shard checks its inbox after this call. Called from any thread, after the
    /// push.
    pub(crate) fn unpark(&self) -> Unpark {
        // ORDERING [park-sender], partner [park-shard] in `prepare`, [ended] in turn.rs.
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

    /// Repeats a notification that a sibling received instead of the shard. The state is NOTIFIED
    /// or AWAKE at this time.
    pub(crate) fn notify_again(&self) {
        self.notifier.notify();
    }

    /// Returns true if the shard sleeps and no thread has notified it. The result is a hint: it may
    /// change at once.
    pub(crate) fn is_asleep(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ASLEEP
    }

    /// Returns the number of eventfd writes.
    pub(crate) fn notifies(&self) -> u64 {
        self.notifies.get()
    }
}
