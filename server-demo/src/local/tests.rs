//! The list of tasks that a drain wakes, and the lending of the scratch buffer.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Wake;

use reactor::{Placement, Reactor};

use super::*;
use crate::Config;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Runs `test` on the one shard of a reactor, with a `Local` of its own.
fn on_a_shard(test: impl FnOnce(Rc<Local>) + Send + 'static) {
    let reactor = Reactor::builder()
        .shards(1)
        .placement(Placement::Current)
        .build()
        .unwrap();
    let handle = reactor.handle().clone();
    let shard = handle.shards().next().unwrap();
    let task = handle.spawn_on(shard, move || async move {
        let shared = Arc::new(Shared::new(&Config::default(), vec![shard]));
        test(Local::install(shared, shard));
    });
    handle.block_on(task).unwrap();
}

#[test]
fn a_drain_wakes_every_listed_task_once() {
    on_a_shard(|local| {
        let tasks: Vec<_> = (0..3).map(|_| Arc::new(Woken::default())).collect();
        let keys: Vec<u32> = tasks
            .iter()
            .map(|task| local.list(Waker::from(Arc::clone(task))))
            .collect();
        local.unlist(keys[1]);
        assert!(local.drain().is_none());

        local.begin_drain(Duration::from_secs(10));

        let woken: Vec<usize> = tasks.iter().map(|task| task.0.load(SeqCst)).collect();
        assert_eq!(woken, [1, 0, 1]);
        let left = local.drain().unwrap().busy_until - Instant::now();
        assert!(
            left <= Duration::from_secs(5) && left > Duration::from_secs(1),
            "{left:?}"
        );
    });
}

#[test]
fn an_unlisted_task_leaves_no_waker_behind() {
    on_a_shard(|local| {
        let task = Arc::new(Woken::default());
        let key = local.list(Waker::from(Arc::clone(&task)));
        assert_eq!(Arc::strong_count(&task), 2);
        local.unlist(key);
        assert_eq!(Arc::strong_count(&task), 1);
        // A removed key does not name another task.
        local.unlist(key);
    });
}

#[test]
fn wakers_that_come_back_while_they_are_woken_or_dropped_find_no_borrow() {
    struct Reenters(u32);
    impl Wake for Reenters {
        fn wake(self: Arc<Self>) {
            Local::current().unlist(self.0);
        }
    }
    impl Drop for Reenters {
        fn drop(&mut self) {
            let key = Local::current().list(Waker::noop().clone());
            Local::current().unlist(key);
        }
    }
    on_a_shard(|local| {
        let key = local.list(Waker::from(Arc::new(Reenters(0))));
        assert_eq!(key, 0);
        local.begin_drain(Duration::ZERO);
        assert!(local.listed.borrow().is_empty());
    });
}

#[test]
fn the_scratch_buffer_keeps_what_was_read() {
    let scratch = Scratch::new();
    let len = scratch.fill(|buffer| {
        assert_eq!(buffer.len(), READ_BUFFER);
        buffer[..3].copy_from_slice(b"abc");
        3
    });
    scratch.with(len, |bytes| assert_eq!(bytes, b"abc"));
}
