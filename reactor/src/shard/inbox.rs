//! The shard's inbox for other threads: wakes of its tasks, new tasks, and timers of waits that run
//! elsewhere.
//!
//! Wakes use an intrusive queue that is linked through the tasks: at most one entry per task, and a
//! push never fails. New tasks and timers use a channel with a counter (`commands.rs`). The check
//! for an empty inbox is therefore two loads. Every push is followed by [`Parker::unpark`], which
//! makes a system call only if the shard sleeps.

use std::sync::Arc;
use std::time::Instant;

use crate::metrics::Counter;
use crate::shard::ShardRef;
use crate::shard::commands::{CommandSender, Commands, commands};
use crate::shard::parker::{Parker, Unpark};
use crate::task::{RemoteQueue, Runnable};
use crate::time::{Clock, RemoteTimer, TimerKey};

/// A request to the shard thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run a task for the first time, after a spawn on another thread.
    Run(Runnable<ShardRef>),
    /// Arm, re-arm or disarm the timer of a wait on another thread.
    Timer(Arc<RemoteTimer>),
    /// Disarm a timer of this shard after its wait was dropped on another thread.
    Disarm(TimerKey),
    /// Fire a timer of this shard no later than the given time: its wait was reset on another
    /// thread.
    MoveUp(TimerKey, Instant),
}

/// The senders' side. Other threads write these fields, which share no cache line with fields that
/// the shard writes.
#[derive(Debug)]
pub(crate) struct Inbox {
    wakes: RemoteQueue<ShardRef>,
    commands: CommandSender<Command>,
    parker: Arc<Parker>,
    pub(crate) wakes_sent: Counter,
    pub(crate) wakes_coalesced: Counter,
    pub(crate) spawns: Counter,
    /// The time of the first task that the shard has not taken yet, if histograms are on.
    first_arrival: Option<FirstArrival>,
}

/// A time that senders set and the shard takes. Only a histogram uses it.
#[derive(Debug)]
struct FirstArrival {
    clock: Clock,
    /// The time, as of `Clock::nanos`, plus one. 0 if there is none.
    at: Counter,
}

impl FirstArrival {
    fn note(&self) {
        if self.at.get() == 0 {
            self.at.set_own(self.clock.nanos() + 1);
        }
    }

    fn take(&self) -> Option<u64> {
        let at = self.at.get().checked_sub(1)?;
        self.at.set_own(0);
        Some(at)
    }
}

impl Inbox {
    pub(crate) fn new(
        parker: Arc<Parker>,
        measured_by: Option<Clock>,
    ) -> (Self, Commands<Command>) {
        let (commands, receiver) = commands();
        let inbox = Self {
            wakes: RemoteQueue::new(),
            commands,
            parker,
            wakes_sent: Counter::new(),
            wakes_coalesced: Counter::new(),
            spawns: Counter::new(),
            first_arrival: measured_by.map(|clock| FirstArrival {
                clock,
                at: Counter::new(),
            }),
        };
        (inbox, receiver)
    }

    /// Hands a woken task to the shard, from another thread.
    ///
    /// # Errors
    ///
    /// Returns the task if the shard has ended.
    pub(crate) fn wake(&self, task: Runnable<ShardRef>) -> Result<(), Runnable<ShardRef>> {
        self.note_arrival();
        self.wakes.push(task)?;
        self.wakes_sent.add_shared(1);
        if self.parker.unpark() == Unpark::Coalesced {
            self.wakes_coalesced.add_shared(1);
        }
        Ok(())
    }

    /// Sends a request to the shard. A request that arrives after the shard's end is dropped.
    pub(crate) fn send(&self, command: Command) {
        if matches!(command, Command::Run(_)) {
            self.spawns.add_shared(1);
            self.note_arrival();
        }
        if self.commands.send(command) {
            self.parker.unpark();
        }
    }

    #[inline]
    fn note_arrival(&self) {
        if let Some(first) = &self.first_arrival {
            first.note();
        }
    }

    /// Returns the time of the first task that arrived since the last call, if it is measured.
    /// Called by the shard only, after it took everything.
    pub(crate) fn take_first_arrival(&self) -> Option<u64> {
        self.first_arrival.as_ref()?.take()
    }

    pub(crate) fn parker(&self) -> &Parker {
        &self.parker
    }

    /// Returns true if there is nothing to take. Called by the shard only.
    #[inline(always)]
    pub(crate) fn is_empty(&self, commands: &Commands<Command>) -> bool {
        self.wakes.is_empty() && self.commands.is_empty(commands)
    }

    /// Takes the commands sent so far, oldest first. Called by the shard only.
    pub(crate) fn take_commands(&self, commands: &Commands<Command>, take: impl FnMut(Command)) {
        self.commands.take(commands, take);
    }

    /// Takes the woken tasks, oldest first. Called by the shard only.
    #[inline]
    pub(crate) fn take_wakes(&self, take: impl FnMut(Runnable<ShardRef>)) {
        self.wakes.take_all(take);
    }

    /// Closes the queue of wakes and passes its entries to `take`. Called by the shard only, after
    /// its tasks are gone.
    pub(crate) fn close(&self, take: impl FnMut(Runnable<ShardRef>)) {
        self.wakes.close(take);
    }
}
