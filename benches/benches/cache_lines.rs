//! Measures the benefit of padded slots: two threads publish to neighbouring words.
//!
//! Measured: a compare-and-swap that adds a tick to the thread's own word, as publishing readiness
//! does, while a second thread does the same to the next word, `DISTANCE` bytes away. At 8 bytes
//! both words are on one cache line. At 64 they are on two lines that the prefetcher of many x86-64
//! machines fetches as a pair. At 128, the distance of slots in `table.rs`, they are on independent
//! lines. `alone` has no second thread.
//!
//! Held constant: the code of both threads, one word each, two CPUs if there are two. The library's
//! own words are private, so this is the same operation on words of the bench.
//!
//! Noise: when two threads share a line, each operation waits for the other CPU, and the time
//! depends on where the hypervisor runs the two. The padded figures should not differ from `alone`.
#![forbid(unsafe_code)]

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use benches::pin::pin_current;
use criterion::{Criterion, criterion_group, criterion_main};
use support::{cpus, criterion};

/// The increment of one direction's tick; any constant would do.
const TICK: u64 = 1 << 8;

/// Enough words for the largest distance, aligned like pages of slots.
#[repr(align(128))]
struct Page([AtomicU64; 32]);

impl Page {
    fn new() -> Arc<Self> {
        Arc::new(Self([const { AtomicU64::new(0) }; 32]))
    }
}

/// Publishes once: reads the word, changes it and swaps it in.
fn publish(word: &AtomicU64) {
    let add = |old: u64| Some(old.wrapping_add(TICK) | 1);
    let _ = black_box(word).fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
}

/// A second thread that publishes to `words[index]` until it is dropped.
struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Neighbour {
    fn start(page: &Arc<Page>, index: usize, cpu: Option<usize>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (page, stopped) = (Arc::clone(page), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            pin_current(cpu);
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..1000 {
                    publish(&page.0[index]);
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the neighbour does not panic");
        }
    }
}

fn neighbours(c: &mut Criterion) {
    let cpus = cpus(2);
    pin_current(cpus[0]);
    let mut group = c.benchmark_group("publish_beside_a_neighbour");
    group.bench_function("alone", |b| {
        let page = Page::new();
        b.iter(|| publish(&page.0[0]));
    });
    for distance in [8, 64, 128] {
        group.bench_function(format!("{distance} bytes away"), |b| {
            let page = Page::new();
            let _neighbour = Neighbour::start(&page, distance / 8, cpus[1]);
            b.iter(|| publish(&page.0[0]));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = criterion(); targets = neighbours }
criterion_main!(benches);
