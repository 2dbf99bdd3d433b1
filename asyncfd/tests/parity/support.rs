//! Helpers that are the same on every side: sockets, wakers that count, and panics with their
//! location.

use std::cell::RefCell;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::RecvFlags;

/// The time after which a case counts as hung. Only a failing case waits this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Returns a connected pair of non-blocking Unix sockets.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

/// Returns a connected pair of non-blocking TCP sockets.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (b, _) = listener.accept().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

/// Writes until the system takes no more.
pub(crate) fn fill(mut to: impl Write) {
    loop {
        match to.write(&[7; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("filling: {error}"),
        }
    }
}

/// Reads until nothing is left, and returns the number of bytes.
pub(crate) fn drain(mut from: impl Read) -> usize {
    let mut total = 0;
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return total,
            Ok(n) => total += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return total,
            Err(error) => panic!("draining: {error}"),
        }
    }
}

/// Requests a timestamp for every transmission, which the system puts on the socket's error queue.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn timestamp_sends(socket: &impl AsRawFd) {
    let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags);
}

/// Makes the system put errors of sent datagrams on the socket's error queue.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn queue_errors(socket: &impl AsRawFd) {
    set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1);
}

/// Sets an option whose value is a number.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[expect(unsafe_code, reason = "no safe crate here sets these options")]
fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: u32) {
    // SAFETY: the descriptor is open, and the option is read from `value`, whose length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value).try_into().unwrap(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Takes one message from a socket's error queue.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn take_queued(socket: &impl AsFd) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(socket, &mut [0; 256], RecvFlags::ERRQUEUE)?;
    Ok(n)
}

#[cfg(target_vendor = "apple")]
#[expect(unsafe_code, reason = "rustix has no mkfifo here")]
fn make_fifo(path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: `path` is a string that ends with a zero byte and is alive for the call.
    let made = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
}

/// A FIFO, and the two ways to open it without blocking.
pub(crate) struct Fifo(PathBuf);

impl Fifo {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let path = std::env::temp_dir().join(format!(
            "asyncfd-fifo-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        // A killed process with the same id may have left one.
        let _ = std::fs::remove_file(&path);
        let mode = Mode::RUSR | Mode::WUSR;
        #[cfg(not(target_vendor = "apple"))]
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        #[cfg(target_vendor = "apple")]
        make_fifo(&path);
        Self(path)
    }

    #[allow(dead_code, reason = "of use to other suites than parity")]
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn reader(&self) -> File {
        self.open(OFlags::RDONLY)
    }

    /// Opens the writing end; there must be a reader.
    pub(crate) fn writer(&self) -> File {
        self.open(OFlags::WRONLY)
    }

    fn open(&self, flags: OFlags) -> File {
        rustix::fs::open(&self.0, flags | OFlags::NONBLOCK, Mode::empty())
            .unwrap()
            .into()
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A waker that counts, and that a thread or a task can wait for.
#[derive(Default)]
pub(crate) struct Probe {
    state: Mutex<ProbeState>,
    changed: Condvar,
}

#[derive(Default)]
struct ProbeState {
    wakes: usize,
    task: Option<Waker>,
}

impl Wake for Probe {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut state = self.state.lock().unwrap();
            state.wakes += 1;
            state.task.take()
        };
        self.changed.notify_all();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Probe {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn wakes(&self) -> usize {
        self.state.lock().unwrap().wakes
    }

    /// Calls `poll` with this probe as the waker.
    pub(crate) fn with<R>(self: &Arc<Self>, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let waker = Waker::from(Arc::clone(self));
        poll(&mut Context::from_waker(&waker))
    }

    /// Polls a future with this probe as the waker.
    pub(crate) fn poll<F: Future + ?Sized>(
        self: &Arc<Self>,
        future: Pin<&mut F>,
    ) -> Poll<F::Output> {
        self.with(|cx| future.poll(cx))
    }

    /// Waits, as a task, for a wake.
    pub(crate) async fn woken(&self) {
        poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            if state.wakes > 0 {
                return Poll::Ready(());
            }
            state.task = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits, as a thread, for a wake.
    pub(crate) fn wait_woken(&self) {
        let state = self.state.lock().unwrap();
        let (_state, timeout) = self
            .changed
            .wait_timeout_while(state, DEADLINE, |state| state.wakes == 0)
            .unwrap();
        assert!(!timeout.timed_out(), "no wake came");
    }
}

/// Polls `future` by hand on the calling thread until it ends, without an executor.
pub(crate) fn block_by_hand<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        let probe = Probe::new();
        if let Poll::Ready(output) = probe.poll(future.as_mut()) {
            return output;
        }
        probe.wait_woken();
    }
}

/// Runs a closure that must panic; returns the message, and the file and line of its location.
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> (String, String, u32) {
    thread_local! {
        static CAUGHT: RefCell<Option<(String, String, u32)>> = const { RefCell::new(None) };
        static CATCHING: RefCell<bool> = const { RefCell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CATCHING.with_borrow(|catching| *catching) {
                return others(info);
            }
            let payload = info.payload();
            let message = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| {
                    payload
                        .downcast_ref::<&str>()
                        .map(|text| (*text).to_owned())
                })
                .unwrap_or_default();
            let at = info.location().unwrap();
            let caught = (message, at.file().to_owned(), at.line());
            CAUGHT.with_borrow_mut(|slot| *slot = Some(caught));
        }));
    });
    CATCHING.with_borrow_mut(|catching| *catching = true);
    let result = catch_unwind(AssertUnwindSafe(f));
    CATCHING.with_borrow_mut(|catching| *catching = false);
    assert!(result.is_err(), "no panic came");
    CAUGHT.with_borrow_mut(Option::take).unwrap()
}
