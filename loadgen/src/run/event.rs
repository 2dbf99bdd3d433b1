//! A notification within one shard: a flag and a waker in plain cells, for one waiting task.
//!
//! Tests: at the end of this file.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, Waker};

/// A notification for one task.
#[derive(Debug, Default)]
pub(crate) struct Event {
    /// Set until it ends a wait. So a notification is kept while the task runs.
    notified: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Event {
    /// Ends the current wait, or the next one. Further calls before that have no effect.
    #[inline]
    pub(crate) fn notify(&self) {
        if !self.notified.replace(true) {
            let waker = self.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits for `future`, or until the task is notified (`None`).
    #[inline]
    pub(crate) fn unless_notified<F: Future>(
        &self,
        mut future: Pin<&mut F>,
    ) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |cx| {
            if self.notified.take() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // The poll cannot have notified this task: only another task of this thread does.
            let mut kept = self.waker.borrow_mut();
            let same = kept.as_ref().is_some_and(|kept| kept.will_wake(cx.waker()));
            let replaced = if same {
                None
            } else {
                kept.replace(cx.waker().clone())
            };
            drop(kept);
            drop(replaced);
            Poll::Pending
        })
    }

    /// Waits until the task is notified.
    pub(crate) async fn wait(&self) {
        self.unless_notified(pin!(pending::<()>())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::task::{Context, Wake};

    use super::*;

    struct Counting(AtomicU32);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn news_end_a_wait_and_are_not_lost() {
        let event = Event::default();
        let counting = Arc::new(Counting(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&counting));
        let mut cx = Context::from_waker(&waker);

        event.notify();
        assert_eq!(
            pin!(event.wait()).poll(&mut cx),
            Poll::Ready(()),
            "notified before the wait"
        );

        let mut wait = pin!(event.wait());
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
        event.notify();
        event.notify();
        assert_eq!(counting.0.load(Relaxed), 1, "one wake for both");
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(()));
        assert_eq!(pin!(event.wait()).poll(&mut cx), Poll::Pending, "used up");
    }

    #[test]
    fn what_was_waited_for_ends_the_wait_too() {
        let event = Event::default();
        let mut cx = Context::from_waker(Waker::noop());
        let seven = pin!(std::future::ready(7));
        let mut wait = pin!(event.unless_notified(seven));
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(Some(7)));
    }
}
