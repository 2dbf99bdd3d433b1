//! A shard's I/O: its slots, its owners, its epoll instance, and the meaning of an event.
//!
//! The shard thread dispatches events and releases the quarantine. Every registration also holds a
//! reference, because a registration can be dropped after the reactor is gone. Nothing here waits.
//! Tests are in `tests.rs`.

mod moving;

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::driver::{Fetched, OsEvent, Registry};
use crate::error::{forked, forked_error};
use crate::io::moving::Peers;
use crate::metrics::Counter;
use crate::owners::{Added, Owners};
use crate::readiness::WaiterList;
use crate::shard::ShardShared;
use crate::shard::parker::Parker;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::{self, Process};
use crate::table::{Quarantined, Slot, SlotRef, SlotTable};
use crate::time::wake_after;
use crate::token::{SlotId, Token};
use crate::{Interest, Ready, ShardId};

#[cfg(all(test, not(reactor_loom)))]
mod tests;

/// Wakes a sleeping shard each time this many more slots are quarantined.
const QUARANTINE_WAKES: u32 = 256;

/// The outcome of dispatching an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatched {
    Published {
        /// The number of wakers that panicked.
        panics: u32,
    },
    /// The registration that the event was for is gone.
    Stale,
}

#[derive(Debug)]
pub(crate) struct ShardIo {
    shard: ShardId,
    table: SlotTable,
    owners: Owners<Registry>,
    parker: Arc<Parker>,
    /// The number of current registrations. Written by every thread that registers or drops one;
    /// read by reports and by placement.
    live: AtomicU64,
    /// The number of registrations that moved to another shard's epoll. Written by the threads that
    /// move them.
    moved_out: Counter,
    peers: Peers,
    waker_panics: Counter,
    /// The shard whose timers serve [`wake_after`](Self::wake_after). Set once, when the shard is
    /// made.
    timers: OnceLock<Weak<ShardShared>>,
    /// The process that made this. A forked child has a copy of all this memory and shares the same
    /// epoll instance.
    process: Process,
}

impl ShardIo {
    pub(crate) fn new(index: usize, registry: Registry, parker: Arc<Parker>) -> Arc<Self> {
        Arc::new(Self {
            shard: ShardId::from_index(index),
            table: SlotTable::new(index),
            owners: Owners::new(registry),
            parker,
            timers: OnceLock::new(),
            live: AtomicU64::new(0),
            moved_out: Counter::new(),
            peers: Peers::new(),
            waker_panics: Counter::new(),
            process: Process::current(),
        })
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    #[inline(always)]
    pub(crate) fn table(&self) -> &SlotTable {
        &self.table
    }

    /// Returns the number of current registrations.
    pub(crate) fn live(&self) -> u64 {
        // Relaxed: a count for reports and placement.
        self.live.load(Ordering::Relaxed)
    }

    /// Returns the number of registrations that moved to another shard's epoll.
    pub(crate) fn moved_out(&self) -> u64 {
        self.moved_out.get()
    }

    /// Returns the number of wakers that panicked outside of a dispatch, at the end of their
    /// registration or of the shard.
    pub(crate) fn waker_panics(&self) -> u64 {
        self.waker_panics.get()
    }

    /// Returns true in a child forked from the process that made the reactor. Checked before any
    /// lock is taken: the parent may have held the lock at the fork, and then no thread in the
    /// child releases it.
    #[inline(always)]
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_current()
    }

    /// Sets the shard whose timers serve [`wake_after`](Self::wake_after). Called once, before any
    /// registration.
    pub(crate) fn set_timers(&self, shard: Weak<ShardShared>) {
        self.timers.get_or_init(|| shard);
    }

    /// Wakes a task once `delay` has passed. Wakes it at once if the shard no longer keeps timers,
    /// and in a forked child.
    pub(crate) fn wake_after(&self, delay: Duration, waker: Waker) {
        match self.timers.get().and_then(Weak::upgrade) {
            Some(shard) if !self.is_forked() => wake_after(&shard, delay, waker),
            _ => waker.wake(),
        }
    }

    /// The process that made the reactor.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Refuses a call in a forked child with a panic. Used by calls that cannot return an error.
    ///
    /// # Panics
    ///
    /// Panics in a forked child.
    #[inline]
    #[track_caller]
    pub(crate) fn refuse_forked(&self) {
        if self.is_forked() {
            forked();
        }
    }

    /// Registers a descriptor. Called from any thread.
    ///
    /// # Errors
    ///
    /// Returns the system's error, or an error if this shard has shut down, is full, or belongs to
    /// the parent process. Nothing is left registered then.
    pub(crate) fn register(
        this: &Arc<Self>,
        fd: RawFd,
        interest: Interest,
        initial: Ready,
    ) -> io::Result<(SlotRef, Token)> {
        if this.is_forked() {
            return Err(forked_error());
        }
        let (slot, token) = SlotRef::allocate(this, fd, initial)?;
        if let Err(error) = this.add(fd, token, interest) {
            this.free(slot.slot(), token.id());
            return Err(error);
        }
        this.live.fetch_add(1, Ordering::Relaxed);
        Ok((slot, token))
    }

    #[inline(always)]
    fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match self.owners.add(fd, token, interest)? {
            Added::Done => Ok(()),
            Added::Marked(moved) => self.add_marked(fd, moved, token, interest),
        }
    }

    /// Registers a descriptor whose number has the mark of a registration that moved.
    #[cold]
    #[inline(never)]
    fn add_marked(
        &self,
        fd: RawFd,
        mut moved: SlotId,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        loop {
            self.check_mark(fd, moved, token, interest)?;
            match self.owners.add(fd, token, interest)? {
                Added::Done => return Ok(()),
                Added::Marked(again) => moved = again,
            }
        }
    }

    /// Asks the system for other events, or for the same events once more. Called from any thread.
    ///
    /// # Errors
    ///
    /// Returns the system's error, or an error if the registration lost its number or this is a
    /// forked child.
    #[cold]
    pub(crate) fn rearm(
        slot: &SlotRef,
        fd: RawFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let this = slot.io();
        if this.is_forked() {
            return Err(forked_error());
        }
        this.rearm_at_seat(slot.slot(), fd, token, interest)
    }

    /// Ends a registration. Called from any thread, once for each [`ShardIo::register`]. Does
    /// nothing in a forked child.
    ///
    /// # Errors
    ///
    /// Returns the system's error, or an error if the registration had lost its number or this is a
    /// forked child. The registration is over in any case.
    pub(crate) fn deregister(slot: &SlotRef, fd: RawFd, token: Token) -> io::Result<()> {
        let this = slot.io();
        if this.is_forked() {
            return Err(forked_error());
        }
        let has_moved = slot.slot().seat().has_moved();
        let deleted = if has_moved {
            this.delete_moved(slot.slot(), fd, token.id())
        } else {
            this.live.fetch_sub(1, Ordering::Relaxed);
            this.owners.delete(fd, token.id())
        };
        let waiters = slot.slot().readiness().take_waiters();
        if has_moved {
            Self::free_moved(this, token.id());
        } else {
            this.free(slot.slot(), token.id());
        }
        // Last: a waker's drop is foreign code.
        let panics = waiters.map_or(0, WaiterList::drop_caught);
        if panics > 0 {
            this.count_panics_slow(panics);
        }
        deleted
    }

    #[inline(always)]
    fn free(&self, slot: &Slot, id: SlotId) {
        let Quarantined(waiting) = self.table.free(slot, id);
        // The shard releases its quarantine every turn. A sleeping shard is woken when frees from
        // other threads pile up, so that neither they nor new slots grow without limit.
        if waiting % QUARANTINE_WAKES == 0 {
            self.parker.unpark();
        }
    }

    /// Fetches events of this epoll instance on behalf of the shard, which may wait for them at the
    /// same time. Called by the holder of the poll lock.
    ///
    /// # Errors
    ///
    /// Returns the system's error.
    pub(crate) fn fetch(&self, into: &mut Fetched) -> io::Result<()> {
        self.owners.ctl().fetch(into)
    }

    /// Publishes an event to its registration. Called by the shard thread, for events of this
    /// table.
    #[inline(always)]
    pub(crate) fn dispatch(&self, event: OsEvent) -> Dispatched {
        let Some(slot) = self.table.resolve(event.token) else {
            return Dispatched::Stale;
        };
        let ready = if event.ready.is_error() {
            classify_slow(
                event.ready,
                || sys::has_hung_up(slot.fd()),
                || sys::is_fifo(slot.fd()),
            )
        } else {
            event.ready
        };
        let panics = slot.readiness().publish(ready);
        Dispatched::Published { panics }
    }

    #[cold]
    fn count_panics_slow(&self, panics: u32) {
        self.waker_panics.add_shared(u64::from(panics));
    }

    /// Makes freed slots usable again. Called by the shard thread, between a batch of events and
    /// the next wait.
    #[inline]
    pub(crate) fn release_quarantine(&self) {
        self.table.release_quarantine();
        if self.has_visitors() {
            self.release_visitors();
        }
    }

    /// Refuses new registrations from now on and ends every wait with the shutdown error.
    pub(crate) fn shut_down(&self) {
        let panics = self.table.shut_down();
        self.count_panics_slow(panics);
    }
}

/// Works out the readiness of an event with an error, by asking the system for details that mio
/// does not report.
///
/// mio reports write-closed for every error that comes alone or with writability. That is true of a
/// pipe whose reader has left and of a real hang-up, but not of a live socket with an entry in its
/// error queue. Also, once both directions are ready, a hang-up looks the same as a peer that only
/// shut down its writing half. The rules are:
///
/// - With a hang-up, both halves are closed, as reported.
/// - A pipe or FIFO is closed for writing, as reported.
/// - Any other descriptor has a pending error. A caller in either direction receives it by trying
///   the operation, so both directions are ready. Read-closed stays as reported.
///
/// Each question costs a system call. They are asked only on this cold path, and only if the answer
/// is ambiguous.
#[cold]
fn classify_slow(
    ready: Ready,
    has_hung_up: impl FnOnce() -> bool,
    is_fifo: impl FnOnce() -> bool,
) -> Ready {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        // kqueue reports a closed half as closed.
        return ready | Ready::READABLE | Ready::WRITABLE;
    }
    // A hang-up shows as both halves closed. Without a hang-up, both show as closed only if data
    // (or its end) can be read and written.
    let both_closed = ready.contains(Ready::CLOSED);
    let ambiguous = ready.contains(Ready::READABLE | Ready::WRITABLE);
    if both_closed && (!ambiguous || has_hung_up()) {
        return ready;
    }
    if ready.is_write_closed() && is_fifo() {
        return ready;
    }
    (ready - Ready::WRITE_CLOSED) | Ready::READABLE | Ready::WRITABLE
}
