//! Two senders against a shard that takes commands: `shard/commands.rs`.

use loom::sync::Arc;
use loom::thread;

use crate::shard::commands::commands;
use crate::sync::Mutex;

const EARLY: u8 = 0;
const LATE: u8 = 1;

/// The shard's next take returns every command that a sender has sent, even if another sender is in
/// the middle of sending.
#[test]
fn send_against_send_and_take() {
    super::model_bounded(3, || {
        let (sender, commands) = commands();
        let sender = Arc::new(sender);
        // A lock, because the means that notifies the shard of a command also orders it after the
        // command.
        let is_sent = Arc::new(Mutex::new(false));
        let early = {
            let sender = Arc::clone(&sender);
            thread::spawn(move || assert!(sender.send(EARLY)))
        };
        let late = {
            let (sender, is_sent) = (Arc::clone(&sender), Arc::clone(&is_sent));
            thread::spawn(move || {
                assert!(sender.send(LATE));
                *is_sent.lock() = true;
            })
        };
        let shard = {
            let sender = Arc::clone(&sender);
            thread::spawn(move || {
                let is_sent = *is_sent.lock();
                let mut taken = Vec::new();
                if !sender.is_empty(&commands) {
                    sender.take(&commands, |command| taken.push(command));
                }
                assert!(
                    !is_sent || taken.contains(&LATE),
                    "one that was sent stays behind"
                );
                (commands, taken)
            })
        };
        early.join().unwrap();
        late.join().unwrap();
        let (commands, mut taken) = shard.join().unwrap();
        sender.take(&commands, |command| taken.push(command));
        taken.sort_unstable();
        assert_eq!(taken, [EARLY, LATE]);
        assert!(sender.is_empty(&commands));
    });
}
