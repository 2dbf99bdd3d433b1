//! What other threads put in: wakes of the shard's tasks, new tasks, and timers of waits that run elsewhere.
//!
//! Wakes go through the queue that is linked through the tasks (one entry a task at most, never refused); new tasks and timers go
//! through a channel with a count (`commands.rs`), so that a look whether there is anything is two loads. Each put is followed by
//! [`Parker::unpark`], which costs a system call only where the shard sleeps.

use std::sync::Arc;

use crate::metrics::Counter;
use crate::shard::ShardRef;
use crate::shard::commands::{CommandSender, Commands, commands};
use crate::shard::parker::{Parker, Unpark};
use crate::task::{RemoteQueue, Runnable};
use crate::time::{RemoteTimer, TimerKey};

/// A request to the shard thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// The first run of a task spawned elsewhere.
    Run(Runnable<ShardRef>),
    /// Arm or re-arm, or disarm, the timer of a wait on another thread.
    Timer(Arc<RemoteTimer>),
    /// Disarm a timer of this shard whose wait was dropped on another thread.
    Disarm(TimerKey),
    /// Have a timer of this shard fire at that time at the latest: its wait was reset on another thread.
    MoveUp(TimerKey, std::time::Instant),
}

/// The senders' side. These fields are written by other threads, and share no cache line with what the shard writes.
#[derive(Debug)]
pub(crate) struct Inbox {
    wakes: RemoteQueue<ShardRef>,
    commands: CommandSender<Command>,
    parker: Arc<Parker>,
    pub(crate) wakes_sent: Counter,
    pub(crate) wakes_coalesced: Counter,
    pub(crate) spawns: Counter,
}

impl Inbox {
    pub(crate) fn new(parker: Arc<Parker>) -> (Self, Commands<Command>) {
        let (commands, receiver) = commands();
        let inbox = Self {
            wakes: RemoteQueue::new(),
            commands,
            parker,
            wakes_sent: Counter::new(),
            wakes_coalesced: Counter::new(),
            spawns: Counter::new(),
        };
        (inbox, receiver)
    }

    /// Hands a woken task to the shard, from another thread.
    pub(crate) fn wake(&self, task: Runnable<ShardRef>) {
        self.wakes.push(task);
        self.wakes_sent.add_shared(1);
        if self.parker.unpark() == Unpark::Coalesced {
            self.wakes_coalesced.add_shared(1);
        }
    }

    /// Hands a request to the shard. One that comes after the shard's end is dropped here.
    pub(crate) fn send(&self, command: Command) {
        if matches!(command, Command::Run(_)) {
            self.spawns.add_shared(1);
        }
        if self.commands.send(command) {
            self.parker.unpark();
        }
    }

    pub(crate) fn parker(&self) -> &Parker {
        &self.parker
    }

    /// Whether there is nothing to take. Only the shard asks.
    #[inline(always)]
    pub(crate) fn is_empty(&self, commands: &Commands<Command>) -> bool {
        self.wakes.is_empty() && self.commands.is_empty(commands)
    }

    /// Takes the commands that were sent by now, oldest first. Only the shard.
    pub(crate) fn take_commands(&self, commands: &Commands<Command>, take: impl FnMut(Command)) {
        self.commands.take(commands, take);
    }

    /// Takes the wakes, oldest first. Only the shard.
    #[inline]
    pub(crate) fn take_wakes(&self, take: impl FnMut(Runnable<ShardRef>)) {
        self.wakes.take_all(take);
    }

    /// Ends the queue of wakes, and drops what is in it. Only the shard, after its tasks are gone.
    pub(crate) fn close(&self) {
        self.wakes.close(drop);
    }
}
