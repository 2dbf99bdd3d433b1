//! The end of a baseline server: a signal, or the end of standard input.

use std::io::{self, Read};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Handlers for the signals that end a server. They are active as long as this exists.
#[derive(Debug)]
pub struct End {
    signals: Signals,
}

impl End {
    /// Installs the handlers, so that no signal is missed between the announcement and the wait.
    ///
    /// # Errors
    ///
    /// The handlers cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            signals: Signals::new([SIGINT, SIGTERM])?,
        })
    }

    /// Blocks the calling thread until a signal arrives or, with `until_eof`, standard input ends.
    ///
    /// The caller then returns from `main`, and the serving threads end with the process, wherever
    /// they are. That is enough for a program that only measures.
    pub fn wait(mut self, until_eof: bool) {
        if until_eof {
            let handle = self.signals.handle();
            thread::spawn(move || {
                let mut bytes = [0; 64];
                let mut stdin = io::stdin().lock();
                while matches!(stdin.read(&mut bytes), Ok(1..)) {}
                handle.close();
            });
        }
        // It returns `None` once the handle is closed.
        let _ = self.signals.forever().next();
    }
}
