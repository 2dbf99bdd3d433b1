//! Signals as events: SIGINT and SIGTERM for a graceful end, and any others.
//!
//! A signal handler only sets a flag and writes a byte to a socket pair. The other end of the pair
//! is a descriptor like any other.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use reactor::Handle;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::net::UnixStream;

/// Catches SIGINT and SIGTERM for the life of the process, and returns a future that completes with
/// the first of them.
///
/// After the first signal, the next one ends the process at once, with the exit code that shells
/// expect (128 plus its number), for a user who does not want to wait for a drain.
///
/// # Errors
///
/// Returns an error if the system refuses the socket pair or a handler.
///
/// # Cancel safety
///
/// If the future is dropped, a signal that has arrived is lost for the graceful end.
///
/// # Examples
///
/// ```no_run
/// use asyncfd::serve::Server;
///
/// # fn main() -> std::io::Result<()> {
/// let reactor = reactor::Reactor::new()?;
/// let signal = asyncfd::signal::terminate(reactor.handle())?;
/// let server = Server::bind("127.0.0.1:7777")?.start(reactor.handle(), async |_, _| ())?;
/// reactor.block_on(server.until(signal));
/// # Ok(()) }
/// ```
pub fn terminate(
    handle: &Handle,
) -> io::Result<impl Future<Output = io::Result<i32>> + Send + use<>> {
    let came = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Handlers run in the order in which they are registered: the first signal finds `came`
        // unset, and then sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&came))?;
        flag::register(signal, Arc::clone(&came))?;
    }
    let signals = Signals::catch(handle, &[SIGINT, SIGTERM])?;
    Ok(async move { signals.recv().await })
}

/// Signals that are caught, for the life of the process.
#[derive(Debug)]
pub struct Signals {
    woken: UnixStream,
    /// The signals, and whether each came since it was last returned.
    caught: Vec<(i32, Arc<AtomicBool>)>,
}

impl Signals {
    /// Catches signals from now on. Several signals of one kind between two waits count as one.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses the socket pair or a handler, as it does for SIGKILL.
    pub fn catch(handle: &Handle, signals: &[i32]) -> io::Result<Self> {
        let (woken, waker) = StdUnixStream::pair()?;
        let _context = handle.enter();
        let woken = UnixStream::from_std(woken)?;
        let mut caught = Vec::new();
        for &signal in signals {
            let came = Arc::new(AtomicBool::new(false));
            // The flag is registered first, so a reader of the byte finds it set.
            flag::register(signal, Arc::clone(&came))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
            caught.push((signal, came));
        }
        Ok(Self { woken, caught })
    }

    /// Waits for a signal and returns its number. Of several that came, it is the first in the
    /// order given to [`catch`](Self::catch).
    ///
    /// # Errors
    ///
    /// Returns an error if the reactor has shut down.
    ///
    /// # Cancel safety
    ///
    /// A signal that arrives while no task waits is kept.
    pub async fn recv(&self) -> io::Result<i32> {
        loop {
            for (signal, came) in &self.caught {
                // Relaxed: the flag publishes only itself. The handler sets it before it writes the
                // byte that ends the read below.
                if came.swap(false, Relaxed) {
                    return Ok(*signal);
                }
            }
            self.woken.read(&mut [0; 64]).await?;
        }
    }
}
