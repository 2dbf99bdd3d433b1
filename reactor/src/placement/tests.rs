use proptest::prelude::*;

use super::{Pinning, Placement, plan_pins, shard_for_fd};
use crate::cpus::{CpuQuota, Cpus};

fn allowed(cpus: &[usize]) -> Cpus {
    Cpus {
        allowed: cpus.to_vec(),
        quota: None,
    }
}

fn cpus(list: &[usize]) -> Pinning {
    Pinning::Cpus(list.to_vec())
}

#[test]
fn the_defaults_are_hash_and_auto() {
    assert_eq!(Placement::default(), Placement::Hash);
    assert_eq!(Pinning::default(), Pinning::Auto);
}

#[test]
fn auto_follows_a_mask_with_gaps_and_leaves_the_rest_unpinned() {
    let (plan, warnings) = plan_pins(&Pinning::Auto, &allowed(&[1, 4, 70]), 5);
    assert_eq!(plan, [Some(1), Some(4), Some(70), None, None]);
    assert!(warnings.is_empty());
}

#[test]
fn auto_with_as_many_shards_as_cpus_pins_all() {
    let (plan, warnings) = plan_pins(&Pinning::Auto, &allowed(&[3, 5]), 2);
    assert_eq!(plan, [Some(3), Some(5)]);
    assert!(warnings.is_empty());
}

#[test]
fn auto_with_fewer_shards_than_cpus_pins_nothing() {
    for shards in 1..3 {
        assert_eq!(
            plan_pins(&Pinning::Auto, &allowed(&[3, 5, 7]), shards),
            (vec![None; shards], vec![])
        );
    }
}

#[test]
fn auto_under_a_limit_of_cpu_time_pins_nothing() {
    let plan = |time, shards| {
        let mut cpus = allowed(&[0, 1]);
        cpus.quota = CpuQuota::new(time, 100_000);
        plan_pins(&Pinning::Auto, &cpus, shards)
    };
    assert_eq!(plan(150_000, 2), (vec![None; 2], vec![]));
    assert_eq!(plan(50_000, 4), (vec![None; 4], vec![]));
    assert_eq!(plan(200_000, 2), (vec![Some(0), Some(1)], vec![]));
}

#[test]
fn a_list_is_pinned_under_a_limit_and_with_fewer_shards_too() {
    let mut limited = allowed(&[0, 1, 2]);
    limited.quota = CpuQuota::new(50_000, 100_000);
    assert_eq!(plan_pins(&cpus(&[2]), &limited, 1), (vec![Some(2)], vec![]));
}

#[test]
fn auto_without_a_known_mask_pins_nothing_silently() {
    assert_eq!(
        plan_pins(&Pinning::Auto, &allowed(&[]), 2),
        (vec![None, None], vec![])
    );
}

#[test]
fn none_pins_nothing() {
    assert_eq!(
        plan_pins(&Pinning::None, &allowed(&[0, 1]), 3),
        (vec![None; 3], vec![])
    );
}

#[test]
fn a_cpu_outside_the_mask_costs_its_own_shard_the_pin_and_is_named() {
    let (plan, warnings) = plan_pins(&cpus(&[4, 99, 0]), &allowed(&[0, 4]), 4);
    assert_eq!(plan, [Some(4), None, Some(0), None]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("shard 1") && warnings[0].contains("CPU 99"),
        "{warnings:?}"
    );
}

#[test]
fn a_listed_cpu_that_no_shard_would_get_is_not_warned_about() {
    assert_eq!(
        plan_pins(&cpus(&[0, 99]), &allowed(&[0, 1]), 1),
        (vec![Some(0)], vec![])
    );
}

#[test]
fn one_cpu_may_be_listed_twice() {
    assert_eq!(
        plan_pins(&cpus(&[1, 1]), &allowed(&[0, 1]), 2).0,
        [Some(1), Some(1)]
    );
}

#[test]
fn an_unknown_mask_takes_the_list_at_its_word() {
    assert_eq!(
        plan_pins(&cpus(&[2, 6]), &allowed(&[]), 2),
        (vec![Some(2), Some(6)], vec![])
    );
}

#[test]
fn a_single_shard_gets_every_descriptor() {
    for fd in [0, 1, 1023, i32::MAX, -1] {
        assert_eq!(shard_for_fd(fd, 1), 0);
    }
}

/// Servers have runs of numbers, sometimes every second or fourth one (with a pipe or a timer
/// beside each socket). A modulus would put every fourth number on one of four shards. A random
/// function would sometimes deviate by three standard deviations.
#[test]
fn runs_of_descriptors_spread_better_than_chance() {
    for shards in 2..=64_usize {
        for stride in 1..=16 {
            let count = 1000 * shards;
            let mut load = vec![0_usize; shards];
            for n in 0..count {
                let fd = 7 + stride * i32::try_from(n).expect("small");
                load[shard_for_fd(fd, shards)] += 1;
            }
            let mean = 1000.0;
            let chi: f64 = load.iter().map(|&n| (n as f64 - mean).powi(2) / mean).sum();
            // A random placement gives the number of shards less one, on average.
            let bound = (shards - 1) as f64;
            assert!(
                chi < bound,
                "{shards} shards, stride {stride}: chi {chi:.1}, {load:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn every_descriptor_has_a_shard_in_range(fd in any::<i32>(), shards in 1_usize..5000) {
        prop_assert!(shard_for_fd(fd, shards) < shards);
    }

    #[test]
    fn plans_have_one_entry_per_shard_and_name_allowed_cpus_only(
        list in prop::collection::vec(0_usize..128, 0..20),
        mask in prop::collection::btree_set(0_usize..128, 1..20),
        shards in 1_usize..32,
    ) {
        let allowed: Vec<usize> = mask.iter().copied().collect();
        let cpus = Cpus { allowed, quota: None };
        let (plan, warnings) = plan_pins(&Pinning::Cpus(list.clone()), &cpus, shards);
        prop_assert_eq!(plan.len(), shards);
        prop_assert!(plan.iter().flatten().all(|cpu| mask.contains(cpu)));
        let in_vain = list.iter().take(shards).filter(|cpu| !mask.contains(cpu)).count();
        prop_assert_eq!(warnings.len(), in_vain);
    }
}
