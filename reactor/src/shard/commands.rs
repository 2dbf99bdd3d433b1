//! A channel to a shard with a counter beside it, so that the check for emptiness is one load.
//!
//! Used by `inbox.rs`. A sender counts a command before it puts the command into the channel.
//! Therefore every command in the channel is counted. A shard that takes as many commands as it
//! sees counted has taken every command sent before its check. If senders counted afterwards, the
//! shard could take the uncounted command of one sender in place of the counted command of another.
//! That other command would stay in the channel of a shard that sleeps or has ended. Model:
//! `loom/commands.rs`.

use std::cell::Cell;

use crate::sync::{AtomicU64, Ordering, Receiver, Sender, unbounded};

/// The sending half.
#[derive(Debug)]
pub(crate) struct CommandSender<T> {
    channel: Sender<T>,
    /// The number of commands sent so far, including those about to be put into the channel.
    sent: AtomicU64,
}

/// The receiving half, owned by the shard.
#[derive(Debug)]
pub(crate) struct Commands<T> {
    channel: Receiver<T>,
    /// The number of commands taken so far.
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

impl<T> Commands<T> {
    /// Ends the channel. Commands that are sent from now on are dropped. The returned channel still
    /// holds commands, which its drop drops too. Called by the shard only.
    pub(crate) fn close(&mut self) -> Receiver<T> {
        let (_, ended) = unbounded();
        std::mem::replace(&mut self.channel, ended)
    }
}

impl<T> CommandSender<T> {
    /// Sends a command. Returns `false` if the receiver is gone, and drops the command.
    pub(crate) fn send(&self, command: T) -> bool {
        // Relaxed: the channel orders a count before its command, and the parker orders both before
        // the shard's last check.
        let count = || self.sent.fetch_add(1, Ordering::Relaxed);
        if crate::sync::mutant("command_counted_late") {
            let sent = self.channel.send(command).is_ok();
            count();
            return sent;
        }
        count();
        self.channel.send(command).is_ok()
    }

    /// Returns true if there is no command to take. Called by the shard only.
    #[inline(always)]
    pub(crate) fn is_empty(&self, commands: &Commands<T>) -> bool {
        self.sent.load(Ordering::Relaxed) == commands.taken.get()
    }

    /// Takes the commands counted so far, oldest first. Commands sent during the call wait for the
    /// next turn. Called by the shard only.
    pub(crate) fn take(&self, commands: &Commands<T>, mut take: impl FnMut(T)) {
        for _ in commands.taken.get()..self.sent.load(Ordering::Relaxed) {
            // A command can be counted and not yet in the channel. The shard does not sleep until
            // it arrives.
            let Ok(command) = commands.channel.try_recv() else {
                break;
            };
            commands.taken.set(commands.taken.get() + 1);
            take(command);
        }
    }
}
