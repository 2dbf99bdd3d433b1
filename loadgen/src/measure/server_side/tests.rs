use super::*;

fn reading(user: Nanos, system: Nanos, threads: &[(i32, Nanos, Nanos)]) -> CpuReading {
    let threads = threads
        .iter()
        .map(|&(thread, ran, waited)| ThreadReading {
            thread,
            ran,
            waited,
        })
        .collect();
    CpuReading {
        user,
        system,
        threads,
    }
}

#[test]
fn the_scheduler_gives_the_total_and_the_ticks_the_split() {
    let before = reading(100, 300, &[(1, 1_000, 5), (2, 50, 0)]);
    let after = reading(130, 390, &[(1, 1_100, 8), (2, 110, 1)]);
    assert_eq!(
        after.since(&before),
        CpuUsed {
            user: 40,
            system: 120,
            waited: 4
        }
    );
}

#[test]
fn where_threads_changed_the_ticks_decide() {
    let before = reading(100, 300, &[(1, 1_000, 0)]);
    let after = reading(130, 390, &[(1, 1_100, 0), (2, 10, 0)]);
    assert_eq!(
        after.since(&before),
        CpuUsed {
            user: 30,
            system: 90,
            waited: 0
        }
    );
}

#[test]
fn less_than_a_tick_is_still_counted() {
    let before = reading(0, 0, &[(1, 1_000, 0)]);
    let after = reading(0, 0, &[(1, 1_900, 0)]);
    assert_eq!(after.since(&before).total(), 900);
}

#[cfg(target_os = "linux")]
#[test]
fn this_process_uses_cpu_and_memory() {
    let probe = Probe::this_process().expect("/proc is there");
    let before = probe.cpu().expect("we live");
    let start = std::time::Instant::now();
    let mut spun = 0_u64;
    // Wait for at least two ticks: the current CPU time is counted at the next tick.
    while probe.cpu().expect("we live").since(&before).total() < 20_000_000 {
        spun = std::hint::black_box(spun + 1);
        assert!(start.elapsed().as_secs() < 20, "CPU time does not grow");
    }
    assert!(probe.resident().expect("we live") > 100_000);
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_is_touched_is_seen() {
    const SIZE: usize = 32 << 20;
    let probe = Probe::this_process().expect("/proc is there");
    let before = probe.resident().expect("we live");
    let block = std::hint::black_box(vec![1_u8; SIZE]);
    let grown = probe.resident().expect("we live").saturating_sub(before);
    drop(block);
    // Other tests of this process allocate and free memory at the same time.
    assert!(grown > (SIZE as u64) / 2, "grew by {grown}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_is_gone_is_an_error() {
    let mut child = std::process::Command::new("true")
        .spawn()
        .expect("a program that ends");
    let pid = i32::try_from(child.id()).expect("a pid");
    child.wait().expect("it ends");
    let error = Probe::new(pid)
        .and_then(|probe| probe.cpu())
        .expect_err("it is gone");
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
}
