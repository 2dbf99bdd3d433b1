//! Shutdown: the signals that start it, and the pace of a drain.
//!
//! The signal handlers only write a byte to a socket pair, whose other end is an `AsyncFd` like any
//! other. `connection.rs` has the behaviour of a connection during a drain. Tests:
//! `tests/drain.rs`.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use asyncfd::net::UnixStream;
use reactor::Handle;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::pipe;

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
#[derive(Debug)]
pub struct Signals {
    woken: UnixStream,
    /// The last signal that asked the process to end, or 0. The handler writes it before it writes
    /// to the pair.
    end: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers for the life of the process.
    ///
    /// # Errors
    ///
    /// The system refused the socket pair, the registration, or a handler.
    pub fn catch(handle: &Handle) -> io::Result<Self> {
        let (woken, waker) = StdUnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let _context = handle.enter();
        let woken = UnixStream::from_std(woken)?;
        let came = Arc::new(AtomicBool::new(false));
        let end = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in the order of their registration: the first signal finds `came` unset
            // and sets it.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&came),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&came))?;
            let number = usize::try_from(signal).expect("signals are numbered from 1");
            signal_hook::flag::register_usize(signal, Arc::clone(&end), number)?;
        }
        for signal in [SIGINT, SIGTERM, SIGUSR1] {
            pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(Self { woken, end })
    }

    /// Waits for one of the signals. A request to end comes before all others.
    ///
    /// # Errors
    ///
    /// The reactor shut down.
    ///
    /// # Cancel safety
    ///
    /// A signal that arrives while no task waits is kept: the next wait ends at once.
    pub async fn wait(&self) -> io::Result<Request> {
        let mut byte = [0];
        self.woken.read(&mut byte).await?;
        Ok(match self.end.load(SeqCst) {
            0 => Request::Report,
            number => {
                let number = i32::try_from(number).expect("set to the number of a signal");
                Request::End(Signal(number))
            }
        })
    }
}
