//! Park against push: `shard/PARKER.md`.

use loom::sync::{Arc, Notify as Event};
use loom::thread;

use crate::shard::parker::{Notify, Parker};
use crate::sync::{AtomicUsize, Ordering};

/// The eventfd: a write makes the current wait, or the next one, return.
struct Eventfd {
    written: Event,
    writes: AtomicUsize,
}

impl Notify for Arc<Eventfd> {
    fn notify(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.written.notify();
    }
}

/// Starts `senders` threads that push one item each. The shard sleeps until it has all of them. A
/// lost wake-up is a deadlock.
fn park_against_push(senders: usize) {
    let eventfd = Arc::new(Eventfd {
        written: Event::new(),
        writes: AtomicUsize::new(0),
    });
    let parker = Arc::new(Parker::new(Arc::clone(&eventfd)));
    // Relaxed throughout: the parker's fences alone have to order it.
    let inbox = Arc::new(AtomicUsize::new(0));
    let shard = {
        let (eventfd, parker, inbox) = (
            Arc::clone(&eventfd),
            Arc::clone(&parker),
            Arc::clone(&inbox),
        );
        thread::spawn(move || {
            let mut received = 0;
            let mut sleeps = 0;
            while received < senders {
                if parker.prepare(|| inbox.load(Ordering::Relaxed) == received) {
                    sleeps += 1;
                    eventfd.written.wait();
                }
                parker.awake();
                received = inbox.load(Ordering::Relaxed);
            }
            sleeps
        })
    };
    let senders: Vec<_> = (0..senders)
        .map(|_| {
            let (parker, inbox) = (Arc::clone(&parker), Arc::clone(&inbox));
            thread::spawn(move || {
                inbox.fetch_add(1, Ordering::Relaxed);
                parker.unpark();
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    shard.join().unwrap();
    assert_eq!(
        eventfd.writes.load(Ordering::Relaxed) as u64,
        parker.notifies()
    );
}

#[test]
fn park_against_one_push() {
    loom::model(|| park_against_push(1));
}

#[test]
fn park_against_two_pushes() {
    super::model_bounded(3, || park_against_push(2));
}
