//! Ctrl-C and SIGTERM: the first ends the run with its partial report, the second ends the process.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::control::Event;

/// Sends the first signal to the main thread, from a thread of its own that lives as long as the process.
pub(crate) fn forward(events: Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut again = false;
            for signal in signals.forever() {
                if again || events.send(Event::Signal(signal)).is_err() {
                    std::process::exit(i32::from(exit_code(signal)));
                }
                again = true;
            }
        })?;
    Ok(())
}

/// 128 and the signal, as shells have it.
pub(crate) fn exit_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(1)
}
