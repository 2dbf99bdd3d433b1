//! A process that may not use every CPU. This is a program of its own: `unpin_current` restores the
//! mask of the first pinned thread, for the whole process.
#![cfg(target_os = "linux")]

use std::thread;

use reactor::{Pinning, Reactor};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

fn mask() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

#[test]
fn a_mask_with_gaps_is_followed_and_a_refused_pin_is_a_warning() {
    let allowed = mask();
    let last = *allowed.last().unwrap();
    // In a thread of its own, since the mask is narrowed.
    let narrowed = thread::spawn(move || {
        let mut only = CpuSet::new();
        only.set(last);
        sched_setaffinity(None, &only).unwrap();
        let auto = Reactor::builder().shards(2).build().unwrap();
        assert!(auto.warnings().is_empty(), "{:?}", auto.warnings());
        let cpus: Vec<_> = auto
            .handle()
            .metrics()
            .shards
            .iter()
            .map(|shard| shard.cpu)
            .collect();
        assert_eq!(cpus, [Some(last), None]);

        let refused = Reactor::builder()
            .shards(2)
            .pinning(Pinning::Cpus(vec![last, 1_000]))
            .build()
            .unwrap();
        assert_eq!(refused.warnings().len(), 1, "{:?}", refused.warnings());
        assert!(
            refused.warnings()[0].contains("1000"),
            "{:?}",
            refused.warnings()
        );
        assert_eq!(refused.handle().metrics().shards[1].cpu, None);
        assert_eq!(
            refused
                .block_on(refused.handle().spawn(async { 1 }))
                .unwrap(),
            1
        );
    });
    narrowed.join().unwrap();
}
