//! Whole reactors that steal work and move registrations, under seeded schedules.
//!
//! Each seed plays two to four shards with tasks that spawn, sleep, wait for descriptors, wake,
//! abort and join each other, and then a shutdown, which in half of the seeds begins in the middle
//! of it. A failure names its seed, and `SIM_SEED=N` plays that one again. `SIM_SECONDS=N` sets the
//! time of a run, or `SIM_SEEDS=N` its number of seeds, and `SIM_FIRST_SEED=N` the first one. Each
//! stop switches threads, so a machine that runs much else plays far fewer.
//!
//! The checks are: each task ends once, a pinned one on its shard; one thread polls a task at a
//! time; nobody waits beside unread bytes, at an open gate, or for a task that has ended; and in
//! the end nothing is left, not even memory.

use std::env;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::driver::{Played, Random};
use crate::sim::cast::{Stage, outsider, patrol};
use crate::sim::clock;
use crate::{Pinning, Reactor};

/// The time of a run that names no number of seeds.
const SECONDS: u64 = 5;

/// The number of seeds that reach every path.
const SEEDS_ENOUGH: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// Counts of the events of all seeds.
#[derive(Debug, Default)]
struct Figures {
    tasks: AtomicU64,
    stolen: AtomicU64,
    moved: AtomicU64,
    served: AtomicU64,
    stops: AtomicU64,
}

/// Returns the CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let mask = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| mask.is_set(*cpu))
        .collect()
}

/// Keeps the calling thread on a CPU, and with it all threads that it will start. The threads of a
/// play run one at a time, and a switch between two CPUs takes much longer than on one.
fn stay_on(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).unwrap();
}

/// Plays a seed.
///
/// # Errors
///
/// Returns the first faults, in words.
fn play(seed: u64, figures: &Figures) -> Result<Played, String> {
    let mut random = Random::new(seed);
    let builder = Reactor::builder().shards(2 + random.below(3) as usize);
    let builder = builder.event_interval(1 + random.below(8) as u32);
    let builder = builder.events_per_poll(1 + random.below(4) as usize);
    let reactor = Arc::new(builder.pinning(Pinning::None).build().unwrap());
    let clock = clock(&reactor);
    let stage = Stage::new(reactor.handle().clone(), clock.clone(), seed);
    clock.begin_play(seed);
    let mut threads = Vec::new();
    for _ in 0..1 + random.below(2) {
        let stage = Arc::clone(&stage);
        threads.push(clock.act(move || outsider(&stage)));
    }
    let checks = random.below(60) as u32;
    threads.push(clock.act({
        let stage = Arc::clone(&stage);
        move || patrol(&stage, checks)
    }));
    let stop = {
        let (stage, reactor) = (Arc::clone(&stage), Arc::clone(&reactor));
        move || {
            stage.stopping.store(true, SeqCst);
            reactor.handle().lifecycle().announce();
            reactor.stop();
        }
    };
    if random.below(2) == 0 {
        let (clock, stop) = (clock.clone(), stop.clone());
        let after = random.below(20_000);
        threads.push(clock.clone().act(move || {
            clock.idle(Duration::from_micros(after));
            stop();
        }));
    }
    let played = (|| {
        let mut rounds = 0;
        loop {
            clock.play()?;
            stage.check_waits();
            let faults = stage.take_faults();
            if !faults.is_empty() {
                return Err(faults.join("; "));
            }
            let left = stage.spawned.load(SeqCst) - stage.ended.load(SeqCst);
            if left == 0 {
                break;
            }
            rounds += 1;
            if rounds > 10 {
                return Err(format!("{left} tasks never end"));
            }
            stage.close();
        }
        let metrics = reactor.handle().metrics();
        for (figure, counted) in [
            (&figures.tasks, stage.spawned.load(SeqCst) as u64),
            (&figures.stolen, metrics.total(|shard| shard.tasks_stolen)),
            (
                &figures.moved,
                metrics.total(|shard| shard.registrations_moved_in),
            ),
            (&figures.served, metrics.total(|shard| shard.turns_served)),
        ] {
            figure.fetch_add(counted, SeqCst);
        }
        threads.push(clock.act(stop.clone()));
        let played = clock.play()?;
        if !clock.all_gone() {
            return Err("a shard does not end".into());
        }
        Ok(played)
    })();
    let played = match played {
        Ok(played) => played,
        Err(fault) => {
            clock.end_play();
            // Its shards may never end.
            mem::forget((reactor, stop, stage));
            return Err(fault);
        }
    };
    clock.end_play();
    figures.stops.fetch_add(played.stops, SeqCst);
    for thread in threads {
        if thread.join().is_err() {
            return Err("a thread panicked".into());
        }
    }
    stage.clear();
    drop(stop);
    let metrics = reactor.handle().metrics();
    let panics = metrics.total(|shard| shard.panics);
    let left = [
        ("tasks", metrics.total(|shard| shard.tasks)),
        ("timers", metrics.total(|shard| shard.timers)),
        ("registrations", metrics.total(|shard| shard.registrations)),
        ("registered descriptors", clock.registered() as u64),
        ("panics", panics),
    ];
    let shards: Vec<_> = reactor
        .handle()
        .all_shards()
        .iter()
        .map(Arc::downgrade)
        .collect();
    let reactor = Arc::try_unwrap(reactor).map_err(|_| "the reactor is still in use")?;
    drop(reactor);
    let faults = stage.take_faults();
    let stage = Arc::try_unwrap(stage).map_err(|_| "a task is still alive")?;
    drop(stage);
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    if let Some((kind, count)) = left.into_iter().find(|(_, count)| *count != 0) {
        return Err(format!("{count} {kind} left at the end"));
    }
    if shards.iter().any(|shard| shard.strong_count() > 0) {
        return Err("a shard was not released".into());
    }
    Ok(played)
}

#[test]
fn tasks_end_once_and_nothing_is_lost_under_any_schedule() {
    let figures = Figures::default();
    if let Some(seed) = number("SIM_SEED") {
        let played = play(seed, &figures);
        println!("seed {seed}: {played:?}, {figures:?}");
        played.unwrap();
        return;
    }
    let seeds = number("SIM_SEEDS");
    let seconds = number("SIM_SECONDS").unwrap_or(SECONDS);
    let first = number("SIM_FIRST_SEED").unwrap_or(0);
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let has_failed = AtomicBool::new(false);
    let work = &|| loop {
        let is_over = match seeds {
            Some(seeds) => next.load(SeqCst) >= first + seeds,
            None => started.elapsed().as_secs() >= seconds,
        };
        if is_over || has_failed.load(SeqCst) {
            return Ok(());
        }
        let seed = next.fetch_add(1, SeqCst);
        if let Err(fault) = play(seed, &figures) {
            has_failed.store(true, SeqCst);
            return Err(format!("SIM_SEED={seed}: {fault}"));
        }
    };
    let outcomes = thread::scope(|scope| {
        let play_on = |cpu: usize| {
            scope.spawn(move || {
                stay_on(cpu);
                work()
            })
        };
        let threads: Vec<_> = cpus().into_iter().map(play_on).collect();
        let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
        outcomes.collect::<Vec<_>>()
    });
    let seeds = next.load(SeqCst) - first;
    println!("{seeds} seeds in {:?}: {figures:?}", started.elapsed());
    for outcome in outcomes {
        outcome.unwrap_or_else(|fault| panic!("{fault}"));
    }
    if seeds >= SEEDS_ENOUGH {
        for figure in [&figures.stolen, &figures.moved, &figures.served] {
            assert!(
                figure.load(SeqCst) > 0,
                "the seeds reach everything: {figures:?}"
            );
        }
    }
}

#[test]
fn a_seed_plays_the_same_schedule_again() {
    let figures = Figures::default();
    for seed in 0..20 {
        let first = play(seed, &figures);
        assert_eq!(play(seed, &figures), first, "seed {seed}");
    }
}
