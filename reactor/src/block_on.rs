//! Runs one future on the calling thread, which parks while it waits.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::forked;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::Process;

/// Unparks the thread, once for any number of wakes between two polls.
struct Unparker {
    thread: Thread,
    notified: AtomicBool,
}

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING [block-on-wake], partner [block-on-look].
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let unparker = Arc::new(Unparker {
        thread: thread::current(),
        notified: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&unparker));
    let mut cx = Context::from_waker(&waker);
    let process = Process::current();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        // The future forked: in the child no thread is left that could wake it.
        if !process.is_current() {
            forked();
        }
        // The future may use the thread's own park token, so the flag decides.
        // ORDERING [block-on-look], partner [block-on-wake].
        while !unparker.notified.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}
