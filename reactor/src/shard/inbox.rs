//! What other threads put in: wakes of the shard's tasks, new tasks, and timers of waits that run elsewhere.
//!
//! Wakes go through the queue that is linked through the tasks (one entry a task at most, never refused); new tasks and timers go
//! through a channel, and are counted, so that a look whether there is anything is two loads. Each put is followed by
//! [`Parker::unpark`], which costs a system call only where the shard sleeps.

use std::cell::Cell;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::metrics::Counter;
use crate::shard::ShardRef;
use crate::shard::parker::{Parker, Unpark};
use crate::sync::{AtomicU64, Ordering};
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
    commands: Sender<Command>,
    /// How many commands were ever sent. Each is counted once it is in the channel.
    sent: AtomicU64,
    parker: Arc<Parker>,
    pub(crate) wakes_sent: Counter,
    pub(crate) wakes_coalesced: Counter,
    pub(crate) spawns: Counter,
}

/// The shard's end of the channel.
#[derive(Debug)]
pub(crate) struct Commands {
    receiver: Receiver<Command>,
    /// How many were ever taken.
    taken: Cell<u64>,
}

impl Inbox {
    pub(crate) fn new(parker: Arc<Parker>) -> (Self, Commands) {
        let (commands, receiver) = unbounded();
        let inbox = Self {
            wakes: RemoteQueue::new(),
            commands,
            sent: AtomicU64::new(0),
            parker,
            wakes_sent: Counter::new(),
            wakes_coalesced: Counter::new(),
            spawns: Counter::new(),
        };
        let taken = Cell::new(0);
        (inbox, Commands { receiver, taken })
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
        if self.commands.send(command).is_ok() {
            // ORDERING [command-sent], partner [command-look]: what the shard finds counted is in the channel.
            self.sent.fetch_add(1, Ordering::Release);
            self.parker.unpark();
        }
    }

    pub(crate) fn parker(&self) -> &Parker {
        &self.parker
    }

    /// Whether there is nothing to take. Only the shard asks.
    #[inline(always)]
    pub(crate) fn is_empty(&self, commands: &Commands) -> bool {
        self.wakes.is_empty() && self.sent() == commands.taken.get()
    }

    #[inline(always)]
    fn sent(&self) -> u64 {
        // ORDERING [command-look], partner [command-sent].
        self.sent.load(Ordering::Acquire)
    }

    /// Takes the commands that were sent by now, oldest first; a sender that keeps pace with the shard waits for its next turn.
    /// Only the shard.
    pub(crate) fn take_commands(&self, commands: &Commands, mut take: impl FnMut(Command)) {
        for _ in commands.taken.get()..self.sent() {
            let Ok(command) = commands.receiver.try_recv() else {
                debug_assert!(false, "a command was counted and is not in the channel");
                break;
            };
            commands.taken.set(commands.taken.get() + 1);
            take(command);
        }
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
