//! Building a reactor: settings, pins, names, hooks, and the current reactor.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use reactor::{Handle, Pinning, Placement, Reactor, ShardId};
use support::reactor;

/// The CPUs that the calling thread may use.
#[cfg(target_os = "linux")]
fn mask() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap();
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

/// No thread has a mask, and none is pinned.
#[cfg(not(target_os = "linux"))]
fn mask() -> Vec<usize> {
    Vec::new()
}

#[test]
fn each_shard_is_pinned_to_its_cpu_as_the_kernel_tells() {
    let allowed = mask();
    let reactor = Reactor::builder()
        .shards(allowed.len() + 1)
        .build()
        .unwrap();
    assert!(reactor.warnings().is_empty(), "{:?}", reactor.warnings());
    let masks = reactor.handle().spawn_on_all(|_| async { mask() });
    for (shard, task) in masks.into_iter().enumerate() {
        let expected = allowed
            .get(shard)
            .map_or_else(|| allowed.clone(), |&cpu| vec![cpu]);
        assert_eq!(reactor.block_on(task).unwrap(), expected, "shard {shard}");
        assert_eq!(
            reactor.handle().metrics().shards[shard].cpu,
            allowed.get(shard).copied()
        );
    }
}

#[test]
fn a_thread_started_on_a_shard_can_have_its_mask_back() {
    let allowed = mask();
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::Cpus(vec![allowed[0]]))
        .build()
        .unwrap();
    let task = reactor.handle().spawn(async {
        thread::spawn(|| {
            let inherited = mask();
            reactor::unpin_current().unwrap();
            (inherited, mask())
        })
        .join()
        .unwrap()
    });
    let (inherited, restored) = reactor.block_on(task).unwrap();
    assert_eq!(inherited, [allowed[0]]);
    assert_eq!(restored, allowed);
}

/// Two reactors of one shard each would otherwise share the first CPU and leave the others idle.
#[test]
fn a_reactor_with_fewer_shards_than_cpus_is_not_pinned() {
    let allowed = mask();
    if allowed.len() < 2 {
        return;
    }
    let reactor = Reactor::builder().shards(1).build().unwrap();
    assert!(reactor.warnings().is_empty(), "{:?}", reactor.warnings());
    assert_eq!(reactor.handle().metrics().shards[0].cpu, None);
    let task = reactor.spawn(async { mask() });
    assert_eq!(reactor.block_on(task).unwrap(), allowed);
}

#[test]
fn numbers_out_of_range_are_refused_with_their_name() {
    let refused = [
        (Reactor::builder().shards(0), "shards"),
        (Reactor::builder().shards(5_000), "shards"),
        (Reactor::builder().events_per_poll(0), "events_per_poll"),
        (Reactor::builder().event_interval(0), "event_interval"),
        (Reactor::builder().task_budget(0), "task_budget"),
        (Reactor::builder().task_budget(u32::MAX), "task_budget"),
    ];
    for (builder, name) in refused {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn threads_have_their_name_and_run_the_hooks() {
    let started = Arc::new(Mutex::new(Vec::new()));
    let stopped = Arc::new(AtomicUsize::new(0));
    let (start, stop) = (Arc::clone(&started), Arc::clone(&stopped));
    let reactor = Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .thread_name("edge")
        .thread_stack_size(256 * 1024)
        .on_thread_start(move |shard| {
            assert_eq!(ShardId::current(), Some(shard));
            start
                .lock()
                .unwrap()
                .push((shard.index(), thread::current().name().map(str::to_owned)));
        })
        .on_thread_stop(move |_| {
            stop.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let mut names = started.lock().unwrap().clone();
    names.sort();
    assert_eq!(
        names,
        [
            (0, Some("edge-0".to_owned())),
            (1, Some("edge-1".to_owned()))
        ]
    );
    drop(reactor);
    assert_eq!(stopped.load(Ordering::SeqCst), 2);
}

#[test]
fn a_start_hook_that_panics_fails_the_build() {
    let built = Reactor::builder()
        .shards(2)
        .on_thread_start(|_| panic!("no"))
        .build();
    assert!(built.unwrap_err().to_string().contains("on_thread_start"));
}

#[test]
fn the_innermost_reactor_is_current() {
    assert!(Handle::try_current().is_none());
    let (outer, inner) = (reactor(1), reactor(2));
    let shards = || Handle::try_current().map(|handle| handle.shards().len());
    {
        let _outer = outer.enter();
        assert_eq!(shards(), Some(1));
        {
            let _inner = inner.enter();
            assert_eq!(shards(), Some(2));
        }
        assert_eq!(shards(), Some(1));
    }
    assert_eq!(shards(), None);
    let handle = inner.handle().clone();
    let on_shard = outer.handle().spawn(async move {
        let own = shards();
        let _inner = handle.enter();
        (own, shards())
    });
    assert_eq!(outer.block_on(on_shard).unwrap(), (Some(1), Some(2)));
}

#[test]
fn without_a_reactor_current_panics_at_the_caller_with_advice() {
    let panicked = catch_unwind(|| drop(Handle::current())).unwrap_err();
    let message = panicked.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("Handle::enter") && message.contains("build_global"),
        "{message}"
    );
}

#[test]
fn placements_and_shards_are_checked() {
    let reactor = reactor(2);
    let other = Reactor::builder()
        .shards(3)
        .pinning(Pinning::None)
        .build()
        .unwrap();
    let third = other.handle().shards().nth(2).unwrap();
    let error = Reactor::builder()
        .shards(2)
        .placement(Placement::Shard(third))
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("shard 2"), "{error}");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        drop(reactor.handle().spawn_on(third, || async {}));
    }));
    assert!(panicked.is_err());
    // Consecutive descriptors spread evenly, and one descriptor always goes to the same shard.
    let hashed: Vec<usize> = (0..100)
        .map(|fd| reactor.handle().shard_for(fd).index())
        .collect();
    let first = hashed.iter().filter(|&&shard| shard == 0).count();
    assert!((40..=60).contains(&first), "{first} of 100");
}

#[test]
fn a_reactor_made_on_a_pinned_shard_has_the_whole_mask() {
    let allowed = mask();
    let outer = Reactor::builder().shards(1).build().unwrap();
    let made = outer.handle().spawn(async {
        Reactor::builder()
            .shards(1)
            .pinning(Pinning::None)
            .build()
            .unwrap()
    });
    let inner = outer.block_on(made).unwrap();
    assert_eq!(
        inner
            .block_on(inner.handle().spawn(async { mask() }))
            .unwrap(),
        allowed
    );
}

#[test]
fn a_name_with_a_nul_is_an_error() {
    let error = Reactor::builder()
        .shards(1)
        .thread_name("a\0b")
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_start_hook_whose_payload_panics_fails_the_build() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("a payload's drop");
        }
    }
    let built = Reactor::builder()
        .shards(1)
        .on_thread_start(|_| std::panic::panic_any(PanicsInDrop))
        .build();
    assert!(built.unwrap_err().to_string().contains("on_thread_start"));
}

#[test]
fn a_guard_dropped_out_of_order_panics_and_leaves_no_reactor_entered() {
    let [outer, inner] = [1, 2].map(reactor);
    let entered = || Handle::try_current().map(|handle| handle.shards().len());
    let outer_guard = outer.enter();
    let inner_guard = inner.enter();
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(outer_guard)));
    assert!(dropped.is_err(), "the order is wrong");
    assert_eq!(entered(), Some(2), "the inner guard is in effect");
    // The place of the dropped guard is not taken by another one.
    let again = outer.enter();
    assert_eq!(entered(), Some(1));
    drop(again);
    assert_eq!(entered(), Some(2));
    drop(inner_guard);
    assert_eq!(
        entered(),
        None,
        "a dropped guard still had its reactor entered"
    );
}
