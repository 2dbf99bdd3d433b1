//! Runs one future on the calling thread, which parks while it waits.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::forked;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::Process;
use crate::time::Inhibitor;

/// A waker that unparks the thread, once for any number of wakes between two polls.
struct Unparker {
    thread: Thread,
    notified: AtomicBool,
    /// Keeps a paused clock from advancing while the future is polled, and from a wake until the
    /// next poll has ended.
    inhibitor: Inhibitor,
}

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inhibitor.begin();
        // ORDERING [block-on-wake], partners [block-on-look] and [block-on-end].
        if self.notified.swap(true, Ordering::AcqRel) {
            self.inhibitor.end();
        } else {
            self.thread.unpark();
        }
    }
}

/// A guard that ends the use of the inhibitor when the future is done or panics. Later wakes do
/// nothing.
struct Running<'a>(&'a Unparker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // ORDERING [block-on-end], partner [block-on-wake].
        if self.0.notified.swap(true, Ordering::AcqRel) {
            self.0.inhibitor.end();
        }
        self.0.inhibitor.end();
    }
}

#[track_caller]
pub(crate) fn block_on<F: Future>(future: F, inhibitor: Inhibitor) -> F::Output {
    inhibitor.begin();
    let mut future = pin!(future);
    let unparker = Arc::new(Unparker {
        thread: thread::current(),
        notified: AtomicBool::new(false),
        inhibitor,
    });
    let _running = Running(&unparker);
    let waker = Waker::from(Arc::clone(&unparker));
    let mut cx = Context::from_waker(&waker);
    let process = Process::current();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        // If the future forked, this may be the child. No thread exists there that could wake it.
        if !process.is_current() {
            forked();
        }
        unparker.inhibitor.end();
        // The future may use the thread's own park token, so the flag decides.
        // ORDERING [block-on-look], partner [block-on-wake].
        while !unparker.notified.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}
