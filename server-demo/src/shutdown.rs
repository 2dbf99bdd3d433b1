//! Shutdown: the signals that start it, and the pace of a drain.
//!
//! `connection.rs` has the behaviour of a connection during a drain. Tests: `tests/drain.rs`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use asyncfd::signal;
use reactor::Handle;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

/// During a drain, a connection that receives nothing for this long counts as idle between two
/// requests.
pub(crate) const QUIET: Duration = Duration::from_millis(100);

/// A signal that asked the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(i32);

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SIGINT => f.write_str("SIGINT"),
            SIGTERM => f.write_str("SIGTERM"),
            other => write!(f, "signal {other}"),
        }
    }
}

/// The action that a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// SIGUSR1: print the counters so far.
    Report,
    /// SIGINT or SIGTERM: end the process.
    End(Signal),
}

/// Handlers for the process's SIGINT, SIGTERM and SIGUSR1.
///
/// [`Self::wait`] reports them. After the first SIGINT or SIGTERM, a second one ends the process at
/// once, with the exit code that shells expect (128 plus the signal number), so that an operator
/// need not wait for the drain.
pub struct Signals {
    end: Pin<Box<dyn Future<Output = io::Result<i32>> + Send>>,
    report: signal::Signals,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

impl Signals {
    /// Installs the handlers for the life of the process.
    ///
    /// # Errors
    ///
    /// The system refused the socket pair, the registration, or a handler.
    pub fn catch(handle: &Handle) -> io::Result<Self> {
        Ok(Self {
            end: Box::pin(signal::terminate(handle)?),
            report: signal::Signals::catch(handle, &[SIGUSR1])?,
        })
    }

    /// Waits for one of the signals. A request to end comes before all others, and is the last.
    ///
    /// # Errors
    ///
    /// The reactor shut down.
    ///
    /// # Panics
    ///
    /// Panics if it is called after it returned a request to end.
    ///
    /// # Cancel safety
    ///
    /// A signal that arrives while no task waits is kept: the next wait ends at once.
    pub async fn wait(&mut self) -> io::Result<Request> {
        let Self { end, report } = self;
        let mut report = pin!(report.recv());
        poll_fn(|cx| {
            if let Poll::Ready(signal) = end.as_mut().poll(cx) {
                return Poll::Ready(signal.map(|number| Request::End(Signal(number))));
            }
            let reported = report.as_mut().poll(cx);
            reported.map(|signal| signal.map(|_| Request::Report))
        })
        .await
    }
}
