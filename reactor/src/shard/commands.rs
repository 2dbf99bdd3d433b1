//! A channel to a shard with a count beside it, so that a look whether there is anything is one load.
//!
//! Used by `inbox.rs`. Something is counted before it is put in: so whatever is in the channel is counted, and the shard that takes
//! as many as it sees counted leaves nothing behind that came before them. Counted afterwards, what one sender has put in and not
//! counted yet would be taken for what another one counted, whose own would stay in front of a shard that sleeps or has ended.
//! Model: `loom/commands.rs`.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering, Receiver, Sender, unbounded};

/// The senders' end.
#[derive(Debug)]
pub(crate) struct CommandSender<T> {
    channel: Sender<T>,
    /// How many were ever sent, or are about to be.
    sent: AtomicU64,
}

/// The shard's end.
#[derive(Debug)]
pub(crate) struct Commands<T> {
    channel: Receiver<T>,
    /// How many were ever taken.
    taken: Cell<u64>,
}

pub(crate) fn commands<T>() -> (CommandSender<T>, Commands<T>) {
    let (sender, receiver) = unbounded();
    let sender = CommandSender {
        channel: sender,
        sent: AtomicU64::new(0),
    };
    let commands = Commands {
        channel: receiver,
        taken: Cell::new(0),
    };
    (sender, commands)
}

impl<T> CommandSender<T> {
    /// Puts one in. `false` where the shard's end is gone, and the command with it.
    pub(crate) fn send(&self, command: T) -> bool {
        // Relaxed: the channel orders a count before what it counts, and the parker orders both before the shard's last look.
        let count = || self.sent.fetch_add(1, Ordering::Relaxed);
        if crate::sync::mutant("command_counted_late") {
            let sent = self.channel.send(command).is_ok();
            count();
            return sent;
        }
        count();
        self.channel.send(command).is_ok()
    }

    /// Whether there is nothing to take. Only the shard asks.
    #[inline(always)]
    pub(crate) fn is_empty(&self, commands: &Commands<T>) -> bool {
        self.sent.load(Ordering::Relaxed) == commands.taken.get()
    }

    /// Takes those that were sent by now, oldest first; a sender that keeps pace with the shard waits for its next turn. Only the shard.
    pub(crate) fn take(&self, commands: &Commands<T>, mut take: impl FnMut(T)) {
        for _ in commands.taken.get()..self.sent.load(Ordering::Relaxed) {
            // One that is counted and not in yet is waited for by turns that do not sleep.
            let Ok(command) = commands.channel.try_recv() else {
                break;
            };
            commands.taken.set(commands.taken.get() + 1);
            take(command);
        }
    }
}
