//! Models of the readiness word and its waiters. `readiness/README.md` says what each model shows
//! and lists the seeded bugs.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::Ready;
use crate::readiness::{Readiness, Side, Snapshot, WaiterId};

/// A task that counts its wakes.
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn new() -> (Arc<Self>, Waker) {
        let task = Arc::new(Self(AtomicU32::new(0)));
        (Arc::clone(&task), Waker::from(task))
    }

    fn was_woken(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Creates a slot's readiness, shared between threads of a model. It uses std's `Arc`, since the
/// counts are not part of the protocol.
fn readiness(initial: Ready) -> Arc<Readiness> {
    let readiness = Readiness::new();
    readiness.reset(initial);
    Arc::new(readiness)
}

/// A reader loads the word, reads the kernel's data, and clears if there is none, while an event
/// arrives. Data that the kernel still has at the end is not hidden.
#[test]
fn publish_vs_clear() {
    loom::model(|| {
        let ready = readiness(Ready::READABLE);
        // The kernel's side of the descriptor: bytes to read. Relaxed, so that all order comes from
        // the word.
        let bytes = Arc::new(AtomicU32::new(0));

        let publisher = {
            let (ready, bytes) = (Arc::clone(&ready), Arc::clone(&bytes));
            thread::spawn(move || {
                bytes.fetch_add(1, Ordering::Relaxed);
                ready.publish(Ready::READABLE);
            })
        };
        let reader = {
            let (ready, bytes) = (Arc::clone(&ready), Arc::clone(&bytes));
            thread::spawn(move || {
                for _ in 0..2 {
                    let seen = ready.load();
                    if !seen.ready().is_readable() {
                        return;
                    }
                    // A load of the bytes rather than an exchange: an exchange would always see the
                    // newest value.
                    if bytes.load(Ordering::Relaxed) == 0 {
                        ready.clear(seen);
                    }
                }
            })
        };
        publisher.join().unwrap();
        reader.join().unwrap();

        assert!(
            ready.load().ready().is_readable(),
            "there is a byte, and its readiness was lost"
        );
    });
}

/// A task begins to wait while an event arrives. It is notified in either order.
#[test]
fn publish_vs_wait() {
    loom::model(|| {
        let ready = readiness(Ready::EMPTY);
        let publisher = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || ready.publish(Ready::READABLE))
        };
        let waiter = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                let (task, waker) = Task::new();
                (ready.wait(Ready::READABLE, &waker), task)
            })
        };
        publisher.join().unwrap();
        let (waited, task) = waiter.join().unwrap();
        match waited {
            Ok(id) => {
                assert!(task.was_woken(), "the waiter sleeps beside its event");
                assert!(ready.poll_wait(id, Waker::noop()).is_ready());
            }
            Err(seen) => assert!(seen.ready().is_readable()),
        }
    });
}

/// The same in the two poll slots, each waiting for its own direction.
#[test]
fn publish_vs_poll() {
    loom::model(|| {
        let ready = readiness(Ready::EMPTY);
        let publisher = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || ready.publish(Ready::READABLE | Ready::WRITABLE))
        };
        let poll = |poll: fn(&Readiness, &Waker) -> Poll<Snapshot>| {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                let (task, waker) = Task::new();
                (poll(&ready, &waker), task)
            })
        };
        let pollers = [
            poll(Readiness::poll_side::<{ Side::READ }>),
            poll(Readiness::poll_side::<{ Side::WRITE }>),
        ];
        publisher.join().unwrap();
        for poller in pollers {
            let (poll, task) = poller.join().unwrap();
            assert!(
                poll.is_ready() || task.was_woken(),
                "the poller sleeps beside its event"
            );
        }
    });
}

/// A waiting task is polled again with another waker while its event arrives. The new waker is
/// woken, or the poll returns `Ready`.
#[test]
fn publish_vs_new_waker() {
    loom::model(|| {
        let ready = readiness(Ready::EMPTY);
        let (_, first) = Task::new();
        let id: WaiterId = ready.wait(Ready::READABLE, &first).unwrap();
        let publisher = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || ready.publish(Ready::READABLE))
        };
        let waiter = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                let (task, waker) = Task::new();
                (ready.poll_wait(id, &waker), task)
            })
        };
        publisher.join().unwrap();
        let (poll, task) = waiter.join().unwrap();
        match poll {
            Poll::Ready(seen) => assert!(seen.ready().is_readable()),
            Poll::Pending => assert!(task.was_woken(), "only the replaced waker was woken"),
        }
    });
}

/// A waiting task polls, and after its notification waits again, while its event arrives. It sees
/// the event that it was notified of. The place that it gave up without the lock is as good as new.
#[test]
fn publish_vs_notified() {
    loom::model(|| {
        let ready = readiness(Ready::EMPTY);
        let id: WaiterId = ready.wait(Ready::READABLE, Waker::noop()).unwrap();
        let publisher = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || ready.publish(Ready::READABLE))
        };
        let waiter = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                let Poll::Ready(seen) = ready.poll_wait(id, Waker::noop()) else {
                    return Err(id);
                };
                assert!(
                    seen.ready().is_readable(),
                    "notified of an event that it does not see"
                );
                ready.clear(seen);
                let (task, waker) = Task::new();
                let again = ready.wait(Ready::READABLE, &waker);
                Ok((again.expect("the one event was cleared"), task))
            })
        };
        publisher.join().unwrap();
        match waiter.join().unwrap() {
            Err(id) => assert!(ready.poll_wait(id, Waker::noop()).is_ready()),
            Ok((id, task)) => {
                ready.publish(Ready::READABLE);
                assert!(task.was_woken(), "the next waiter of the place sleeps");
                assert!(ready.poll_wait(id, Waker::noop()).is_ready());
            }
        }
    });
}

/// A clear, an event and the shard's end, in any order. The end is not undone.
#[test]
fn clear_vs_shutdown() {
    loom::model(|| {
        let ready = readiness(Ready::READABLE);
        let others = [
            thread::spawn({
                let ready = Arc::clone(&ready);
                move || ready.clear(ready.load())
            }),
            thread::spawn({
                let ready = Arc::clone(&ready);
                move || {
                    ready.publish(Ready::WRITABLE);
                }
            }),
            thread::spawn({
                let ready = Arc::clone(&ready);
                move || {
                    ready.close();
                }
            }),
        ];
        for other in others {
            other.join().unwrap();
        }
        assert!(
            ready.load().is_shutdown(),
            "a wait begun now would never end"
        );
    });
}

/// A task begins to wait as the shard ends. It is notified.
#[test]
fn wait_vs_shutdown() {
    loom::model(|| {
        let ready = readiness(Ready::EMPTY);
        let closer = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || ready.close())
        };
        let waiter = {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                let (task, waker) = Task::new();
                (ready.wait(Ready::WRITABLE, &waker), task)
            })
        };
        closer.join().unwrap();
        let (waited, task) = waiter.join().unwrap();
        match waited {
            Ok(_) => assert!(
                task.was_woken(),
                "the waiter sleeps on a shard that is gone"
            ),
            Err(seen) => assert!(seen.is_shutdown()),
        }
    });
}
