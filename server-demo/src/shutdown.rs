//! Ending: the signals that ask for it, and the pace of a drain.
//!
//! The signal handlers do no more than write a byte to a socket pair, whose other end is an `AsyncFd` like any other.
//! What a connection does during a drain is in `connection.rs`. Tests: `tests/drain.rs`.

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

/// During a drain, a connection on which nothing comes for this long is taken to be between two requests.
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

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// SIGUSR1: the counters so far.
    Report,
    /// SIGINT or SIGTERM: the end.
    End(Signal),
}

/// The process's SIGINT, SIGTERM and SIGUSR1, caught.
///
/// They are reported by [`Self::wait`]. Once one of the first two has come, a second one ends the process at once, with the
/// exit code that shells expect (128 and its number), for someone who does not want to wait for the drain.
#[derive(Debug)]
pub struct Signals {
    woken: UnixStream,
    /// The last signal that asked for the end, or 0. Written by the handler before it writes to the pair.
    end: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches the signals from now on, for the life of the process.
    ///
    /// # Errors
    /// The system refused the socket pair, the registration, or a handler.
    pub fn catch(handle: &Handle) -> io::Result<Self> {
        let (woken, waker) = StdUnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let _context = handle.enter();
        let woken = UnixStream::from_std(woken)?;
        let came = Arc::new(AtomicBool::new(false));
        let end = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in the order in which they are registered: the first signal finds `came` unset and sets it.
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

    /// Waits for one of the signals. A request for the end goes before all others.
    ///
    /// # Errors
    /// The reactor shut down.
    ///
    /// # Cancel safety
    /// A signal that comes while nobody waits is not lost: the next wait ends at once.
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
