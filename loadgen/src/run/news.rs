//! A wake-up call within one shard: a flag and a waker in plain cells, for one waiting task.
//!
//! Tests: at the end of this file.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, Waker};

/// Tells one task that there is something to look at.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Stays set until a wait ends with it, so that news which come while the task runs are not lost.
    told: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl News {
    /// Ends the wait, now or the next one. Once is enough until then.
    #[inline]
    pub(crate) fn tell(&self) {
        if !self.told.replace(true) {
            let waker = self.waker.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits for `future`, or until the task is told something (`None`).
    #[inline]
    pub(crate) fn unless_told<F: Future>(
        &self,
        mut future: Pin<&mut F>,
    ) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |cx| {
            if self.told.take() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // Polling cannot have told this task anything: whoever tells runs as another task of this thread.
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

    /// Waits until the task is told something.
    pub(crate) async fn wait(&self) {
        self.unless_told(pin!(pending::<()>())).await;
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
        let news = News::default();
        let counting = Arc::new(Counting(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&counting));
        let mut cx = Context::from_waker(&waker);

        news.tell();
        assert_eq!(
            pin!(news.wait()).poll(&mut cx),
            Poll::Ready(()),
            "told before the wait"
        );

        let mut wait = pin!(news.wait());
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Pending);
        news.tell();
        news.tell();
        assert_eq!(counting.0.load(Relaxed), 1, "one wake for both");
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(()));
        assert_eq!(pin!(news.wait()).poll(&mut cx), Poll::Pending, "used up");
    }

    #[test]
    fn what_was_waited_for_ends_the_wait_too() {
        let news = News::default();
        let mut cx = Context::from_waker(Waker::noop());
        let seven = pin!(std::future::ready(7));
        let mut wait = pin!(news.unless_told(seven));
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(Some(7)));
    }
}
