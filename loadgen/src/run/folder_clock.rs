//! Compares the wall clock of this machine with that of the file server that holds a folder.
//!
//! The parts of a load start at one wall-clock moment, so their clocks have to agree. All of them
//! write into one folder. A part makes an empty folder in it, sets its time to "now" several times,
//! and reads its own clock before and after each call. Over NFS and 9P the server fills in that
//! time, so the offsets of all machines refer to one clock. On any other file system the machine
//! itself fills it in. The offset is then near zero and says nothing about other machines. The time
//! is set on a folder and not on a file, because an NFS client that holds a file for writing may
//! set its time by itself. Tests: at the end of this file and `tests/parts.rs`.

use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use crate::report::clocks::PartClock;
use crate::run::part::Part;

/// The number of time stamps. The result is the smallest interval that all of them allow.
const READINGS: u32 = 16;
/// The pause between two stamps, so that the readings spread over the longest tick.
const PAUSE: Duration = Duration::from_micros(700);
/// The longest tick of a kernel's clock for files (100 per second), and so the maximum age of a
/// stamp.
const TICK_NS: i64 = 10_000_000;
/// The maximum age of a stamp on a file system that stores whole seconds. FAT stores only even
/// seconds.
const COARSE_NS: i64 = 2_000_000_000;
/// The file systems whose server fills in the time "now". SMB and most FUSE file systems take the
/// client's time.
const STAMPED_BY_SERVER: [&str; 4] = ["nfs", "nfs4", "9p", "virtiofs"];

/// One stamp, with the own clock before and after it, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Reading {
    before: i64,
    stamp: i64,
    after: i64,
}

/// Compares the clocks for one part.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn compare(folder: &Path, part: Part) -> io::Result<PartClock> {
    let stamped = tempfile::Builder::new()
        .prefix(".loadgen-clock-")
        .tempdir_in(folder)?;
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let now = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let mut readings = Vec::new();
    for _ in 0..READINGS {
        let before = unix_ns(SystemTime::now());
        utimensat(CWD, stamped.path(), &now, AtFlags::empty())?;
        let after = unix_ns(SystemTime::now());
        let stamp = unix_ns(fs::metadata(stamped.path())?.modified()?);
        readings.push(Reading {
            before,
            stamp,
            after,
        });
        sleep(PAUSE);
    }
    let (offset_ms, bound_ms) = offset(&readings);
    let file_system = file_system(folder);
    Ok(PartClock {
        part: part.to_string(),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        stamped_by_server: file_system
            .as_deref()
            .is_some_and(|name| STAMPED_BY_SERVER.contains(&name)),
        file_system,
        offset_ms,
        bound_ms,
    })
}

fn unix_ns(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the offset of the own clock and its maximum error, in milliseconds.
///
/// The server read its clock between `before` and `after`, and the stamp is at most one tick older
/// than its clock was then. So each reading allows an interval of offsets, and the true offset is
/// in all of them. If they have no offset in common, a clock was set in between, and the result
/// covers all of them.
#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn offset(readings: &[Reading]) -> (f64, f64) {
    let whole_seconds = readings.iter().all(|one| one.stamp % 1_000_000_000 == 0);
    let tick = if whole_seconds { COARSE_NS } else { TICK_NS };
    let lows = readings.iter().map(|one| one.before - one.stamp - tick);
    let highs = readings.iter().map(|one| one.after - one.stamp);
    let ends = |low: Option<i64>, high: Option<i64>| low.zip(high).expect("more than no reading");
    let (mut low, mut high) = ends(lows.clone().max(), highs.clone().min());
    if low > high {
        (low, high) = ends(lows.min(), highs.max());
    }
    let ms = |ns: i64| ns as f64 / 1e6;
    (ms(low + (high - low) / 2), ms(high - low) / 2.0)
}

/// Returns the name of the file system that holds a folder.
#[cfg(target_os = "linux")]
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = procfs::process::Process::myself().ok()?.mountinfo().ok()?;
    let holding = mounts
        .0
        .into_iter()
        .filter(|mount| folder.starts_with(&mount.mount_point));
    // Of several file systems mounted at one place, the last one hides the others.
    let mount = holding.max_by_key(|mount| mount.mount_point.components().count())?;
    Some(mount.fs_type)
}

#[cfg(not(target_os = "linux"))]
fn file_system(_folder: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the readings of a clock that is `ahead` of the server, if stamps have this
    /// resolution.
    fn readings(ahead: i64, grain: i64) -> Vec<Reading> {
        (0..16)
            .map(|at| {
                let server = 1_800_000_000_000_000_000 + at * 1_300_000;
                let stamp = server - server % grain;
                Reading {
                    before: server + ahead - 200_000,
                    stamp,
                    after: server + ahead + 900_000,
                }
            })
            .collect()
    }

    #[test]
    fn the_offset_is_within_its_bound() {
        for ahead in [0_i32, 250_000_000, -3_000_000] {
            for (grain, bound_most) in [
                (1, 6.0),
                (4_000_000, 5.0),
                (10_000_000, 2.0),
                (1_000_000_000, 1_010.0),
            ] {
                let (offset_ms, bound_ms) = offset(&readings(ahead.into(), grain));
                let wrong_ms = (offset_ms - f64::from(ahead) / 1e6).abs();
                assert!(
                    wrong_ms <= bound_ms,
                    "{ahead} {grain}: {offset_ms} {bound_ms}"
                );
                assert!(bound_ms < bound_most, "{grain}: {bound_ms}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_meanwhile_widens_the_bound() {
        let mut both = readings(0, 1);
        both.extend(readings(500_000_000, 1));
        let (offset_ms, bound_ms) = offset(&both);
        for ahead_ms in [0.0, 500.0] {
            assert!(
                (offset_ms - ahead_ms).abs() <= bound_ms,
                "{offset_ms} {bound_ms}"
            );
        }
    }

    #[test]
    fn this_machine_agrees_with_its_own_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = "2/3".parse().expect("a part");
        let clock = compare(folder.path(), part).expect("it can be written");
        assert!(clock.offset_ms.abs() <= clock.bound_ms, "{clock:?}");
        assert_eq!(clock.part, "2/3");
        assert!(!clock.host.is_empty());
        assert!(cfg!(not(target_os = "linux")) || clock.file_system.is_some());
        let left = fs::read_dir(folder.path()).expect("readable").count();
        assert_eq!(left, 0, "the stamped folder is removed");
    }
}
