//! Ctrl-C, SIGTERM and SIGHUP: the first one ends the run with its partial report. Another Ctrl-C
//! or SIGTERM ends the process.
//!
//! Tests: `tests/signals.rs`.

use std::fs;
use std::io;
use std::process;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::report::output;
use crate::run::control::ShardEvent;

/// Sends the first signal to the main thread. A thread does so, which lives as long as the process.
pub(crate) fn forward(events: Sender<ShardEvent>) -> io::Result<()> {
    let mut taken = vec![SIGINT, SIGTERM];
    // A run under nohup goes on when its terminal is closed.
    if !is_ignored(SIGHUP) {
        taken.push(SIGHUP);
    }
    let mut signals = Signals::new(taken)?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut ending = false;
            for signal in signals.forever() {
                // A closing terminal sends SIGHUP more than once, also through the shell. So a
                // second SIGHUP is not a request to end at once.
                let again = ending && signal != SIGHUP;
                if again || (!ending && events.send(ShardEvent::Signal(signal)).is_err()) {
                    let _none_is_made_now = output::abandon();
                    process::exit(i32::from(exit_code(signal)));
                }
                ending = true;
            }
        })?;
    Ok(())
}

/// Returns true if this process was started with the signal ignored, and false if the system does
/// not tell.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Returns the exit code for a signal: 128 plus its number, as in shells.
pub(crate) fn exit_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}
