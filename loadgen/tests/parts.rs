//! One load on several processes: parts, a common beginning, and their sum.

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{run, serve, start};
use std::io::{Read, Write};

#[test]
fn parts_make_one_load_and_a_missing_one_is_named() {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    let server = serve(move |_, mut stream| {
        let mut request = [0; 64];
        while stream.read_exact(&mut request).is_ok() {
            counted.fetch_add(1, SeqCst);
            stream.write_all(&request)?;
        }
        Ok(())
    });
    let folder = tempfile::tempdir().expect("a folder");
    let unix = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
    };
    let begin = unix() + Duration::from_secs(3);
    let parts: Vec<_> = (1..=3)
        .map(|part| {
            start(&format!(
                "{server} -c 10 -R 300 -d 2s --warmup 0 -q --part {part}/3 --start-at {} -o {}",
                begin.as_secs_f64(),
                folder.path().display()
            ))
        })
        .collect();
    for part in parts {
        part.finish().expect_code(0);
    }
    assert!(unix() >= begin + Duration::from_secs(2));
    let merged = run(&format!("merge {} --format json", folder.path().display()));
    let report = merged.expect_code(0).report();
    assert_eq!(
        (report.connections.requested, report.connections.connected),
        (10, 10)
    );
    assert_eq!(
        (report.requests.scheduled, report.requests.answered),
        (600, 600)
    );
    // The first request of each connection is not measured.
    assert_eq!(requests.load(SeqCst), 610);
    let mut clocks = report.clocks;
    clocks.sort_by(|one, other| one.part.cmp(&other.part));
    let parts: Vec<_> = clocks.iter().map(|clock| clock.part.as_str()).collect();
    assert_eq!(parts, ["1/3", "2/3", "3/3"]);
    for clock in &clocks {
        assert!(clock.offset_ms.abs() <= clock.bound_ms, "{clock:?}");
    }
    let rate = report.settings.rate.expect("an open loop");
    assert_eq!(rate.to_string(), "300");
    // A busy machine may be slightly late, but the parts still begin together.
    assert!(
        (2.0..2.5).contains(&report.elapsed_s),
        "{}",
        report.elapsed_s
    );

    fs::remove_file(folder.path().join("part-2-of-3.json")).expect("written");
    run(&format!("merge {}", folder.path().display())).expect_code(1);
    let text = run(&format!("merge {}", folder.path().display())).stdout;
    assert!(text.starts_with("FAIL: parts are missing: 2/3\n"), "{text}");
    assert!(text.contains("  Clocks: one machine"), "{text}");
}

#[test]
fn a_part_that_is_none_is_refused() {
    for (args, words) in [
        ("--part 4/3", "parts are 1/N to N/N"),
        ("--part auto", "SLURM_PROCID"),
        ("-c 2 --part 3/3", "--part 3/3 has no connection"),
        ("--start-at soon", "seconds since 1970"),
    ] {
        run(args).expect_code(2).expect_message(words);
    }
}
