//! The hooks around a shard's sleep, and the names of threads.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use reactor::{Handle, Pinning, Reactor, ShardId};
use support::{eventually, receive, total};

#[test]
fn the_hooks_alternate_around_a_sleep() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let hook = |parks: bool| {
        let log = Arc::clone(&log);
        move |shard: ShardId| {
            assert_eq!(ShardId::current(), Some(shard));
            log.lock().unwrap().push(parks);
        }
    };
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .on_thread_park(hook(true))
        .on_thread_unpark(hook(false))
        .build()
        .unwrap();
    for _ in 0..50 {
        reactor.block_on(reactor.spawn(async {})).unwrap();
    }
    let waits = total(reactor.handle(), |shard| shard.waits);
    drop(reactor);
    let log = log.lock().unwrap();
    assert!(log.len() as u64 >= waits, "{} of {waits}", log.len());
    assert!(log.iter().step_by(2).all(|&parks| parks));
    assert!(log.iter().skip(1).step_by(2).all(|&parks| !parks));
}

#[test]
fn a_task_that_the_hook_spawns_runs_before_the_sleep() {
    let (sender, ran) = channel();
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .on_thread_park({
            let once = AtomicU64::new(0);
            move |shard| {
                if once.fetch_add(1, Ordering::Relaxed) == 0 {
                    let sender = sender.clone();
                    Handle::current().spawn_on(shard, move || async move {
                        sender.send(()).unwrap();
                    });
                }
            }
        })
        .build()
        .unwrap();
    // Nothing else wakes the shard.
    receive(&ran, "the task of the hook");
    drop(reactor);
}

#[test]
fn a_hook_that_panics_is_counted_and_harms_nothing() {
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .on_thread_park(|_| panic!("before"))
        .on_thread_unpark(|_| panic!("after"))
        .build()
        .unwrap();
    reactor.block_on(reactor.spawn(async {})).unwrap();
    eventually("two panics", || {
        total(reactor.handle(), |shard| shard.panics) >= 2
    });
    assert_eq!(reactor.block_on(reactor.spawn(async { 1 })).unwrap(), 1);
}

#[test]
fn a_function_names_every_thread() {
    let named = Arc::new(AtomicU64::new(0));
    let names = Arc::clone(&named);
    let reactor = Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .thread_name_fn(move || format!("mine\0-{}", names.fetch_add(1, Ordering::Relaxed)))
        .build()
        .unwrap();
    let name = || std::thread::current().name().unwrap_or_default().to_owned();
    let shard = reactor.handle().shard(1);
    let on_shard = reactor
        .handle()
        .spawn_on(shard, move || async move { name() });
    assert_eq!(reactor.block_on(on_shard).unwrap(), "mine-1");
    let blocking = reactor.block_on(reactor.spawn_blocking(name)).unwrap();
    assert!(blocking.starts_with("mine-"), "{blocking}");
    assert!(named.load(Ordering::Relaxed) >= 3);
}
