//! Texts of real machines and containers. `tests/cgroup_quota.rs` makes a real cgroup.

use std::collections::HashMap;
use std::path::Path;

use super::{tightest, unescaped};
use crate::cpus::CpuQuota;

/// A host with systemd and version 2 only.
const V2_MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
25 22 0:23 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate";

/// A host with both versions: the CPU controller is in version 1.
const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

const HYBRID_MEMBERSHIPS: &str = "\
3:cpuset:/
2:cpu,cpuacct:/user/build
0::/user";

fn quota(memberships: &str, mounts: &str, files: &[(&str, &str)]) -> Option<CpuQuota> {
    let files: HashMap<&Path, &str> = files
        .iter()
        .map(|&(path, text)| (Path::new(path), text))
        .collect();
    tightest(memberships, mounts, |path| {
        files.get(path).map(|&text| text.to_owned())
    })
}

fn cpus(time: u64, period: u64) -> Option<CpuQuota> {
    CpuQuota::new(time, period)
}

#[test]
fn version_2_has_one_file_for_both_numbers() {
    let file = "/sys/fs/cgroup/box/cpu.max";
    let read = |text| quota("0::/box\n", V2_MOUNTS, &[(file, text)]);
    assert_eq!(read("150000 100000\n"), cpus(150_000, 100_000));
    assert_eq!(read("max 100000\n"), None);
    assert_eq!(read("nonsense\n"), None);
    assert_eq!(read("100000 0\n"), None);
}

#[test]
fn version_1_has_a_file_for_each_number() {
    let read = |quota_us, period_us| {
        let files = [
            (
                "/sys/fs/cgroup/cpu,cpuacct/user/build/cpu.cfs_quota_us",
                quota_us,
            ),
            (
                "/sys/fs/cgroup/cpu,cpuacct/user/build/cpu.cfs_period_us",
                period_us,
            ),
        ];
        quota(HYBRID_MEMBERSHIPS, HYBRID_MOUNTS, &files)
    };
    assert_eq!(read("50000\n", "100000\n"), cpus(50_000, 100_000));
    assert_eq!(read("-1\n", "100000\n"), None);
}

#[test]
fn the_smallest_limit_of_all_ancestors_applies() {
    let files = [
        ("/sys/fs/cgroup/cpu.max", "400000 100000"),
        ("/sys/fs/cgroup/a/cpu.max", "20000 10000"),
        ("/sys/fs/cgroup/a/b/cpu.max", "max 100000"),
        ("/sys/fs/cgroup/a/b/c/cpu.max", "300000 100000"),
        ("/sys/fs/cgroup/other/cpu.max", "1000 100000"),
    ];
    assert_eq!(quota("0::/a/b/c", V2_MOUNTS, &files), cpus(20_000, 10_000));
    assert_eq!(quota("0::/", V2_MOUNTS, &files), cpus(400_000, 100_000));
}

/// Without a cgroup namespace, a container sees its path on the host, and a mount of its own part.
#[test]
fn a_container_without_a_namespace_sees_its_part_only() {
    let mounts = "\
700 690 0:29 /docker/1234 /sys/fs/cgroup/cpu ro,relatime master:11 - cgroup cgroup rw,cpu";
    let files = [
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
        ("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000"),
        ("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000"),
    ];
    let own = quota("4:cpu:/docker/1234", mounts, &files);
    assert_eq!(own, cpus(250_000, 100_000));
    let inner = quota("4:cpu:/docker/1234/inner", mounts, &files);
    assert_eq!(inner, cpus(100_000, 100_000));
    // A path that the mount does not contain: its root is all that can be seen.
    let elsewhere = quota("4:cpu:/docker/5678", mounts, &files);
    assert_eq!(elsewhere, cpus(250_000, 100_000));
}

/// A process outside the root of its cgroup namespace has a path that starts with `/..`.
#[test]
fn a_path_above_the_namespace_counts_as_its_root() {
    let files = [("/sys/fs/cgroup/cpu.max", "100000 100000")];
    assert_eq!(
        quota("0::/../other", V2_MOUNTS, &files),
        cpus(100_000, 100_000)
    );
}

#[test]
fn a_mount_that_contains_the_cgroup_is_preferred() {
    let mounts = "\
40 1 0:28 /unrelated /mnt/part rw - cgroup2 cgroup2 rw
41 1 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
    let files = [
        ("/mnt/part/cpu.max", "1000 100000"),
        ("/sys/fs/cgroup/box/cpu.max", "200000 100000"),
    ];
    assert_eq!(quota("0::/box", mounts, &files), cpus(200_000, 100_000));
}

#[test]
fn without_cgroups_there_is_no_limit() {
    assert_eq!(quota("", V2_MOUNTS, &[]), None);
    assert_eq!(quota("0::/box", "", &[]), None);
    assert_eq!(
        quota("garbage\n:::\n", "garbage - \n - cgroup2\n", &[]),
        None
    );
    let other = "9:name=systemd:/box\n3:cpuset:/box";
    assert_eq!(quota(other, HYBRID_MOUNTS, &[]), None);
}

#[test]
fn escapes_of_the_mount_table_are_undone() {
    assert_eq!(unescaped(r"/a\040b\134c"), Path::new(r"/a b\c"));
    assert_eq!(unescaped(r"/plain"), Path::new("/plain"));
    assert_eq!(unescaped(r"/odd\9\04"), Path::new(r"/odd\9\04"));
}

#[test]
fn the_limit_of_this_process_can_be_read() {
    // Its value is the machine's business. `None` is no limit.
    if let Some(quota) = super::cpu_quota() {
        assert!(quota.cpus_rounded_up() >= 1);
    }
}
