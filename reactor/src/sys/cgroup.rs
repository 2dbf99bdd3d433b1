//! The CPU limit of the cgroups that this process belongs to, version 1 and version 2.
//!
//! The limit is the smallest one among the process's own cgroup and the ancestors that are mounted.
//! `std::thread::available_parallelism` honours it too, but rounds down, so 1.5 CPUs count as one,
//! and its answer does not tell a limit from the mask of the calling thread. The `num_cpus` crate
//! rounds up, but keeps its first answer for the life of the process. Neither finds the limit of a
//! thread that is pinned. Hence these files are parsed here.
//!
//! [`tightest`] takes the text of the files, so that tests can play any machine. The builder calls
//! [`cpu_quota`] once per reactor. Tests are in `cgroup/tests.rs`.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::cpus::CpuQuota;

#[cfg(test)]
mod tests;

pub(crate) fn cpu_quota() -> Option<CpuQuota> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let memberships = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    tightest(&memberships, &mounts, read)
}

/// Returns the smallest limit that applies. `memberships` is the text of `/proc/self/cgroup`,
/// `mounts` that of `/proc/self/mountinfo`, and `read` returns the text of a cgroup's file.
fn tightest(
    memberships: &str,
    mounts: &str,
    read: impl Fn(&Path) -> Option<String>,
) -> Option<CpuQuota> {
    memberships
        .lines()
        .filter_map(Membership::parse)
        .filter_map(|membership| {
            let mount = Mount::of(&membership, mounts)?;
            let cgroup = mount.directory_of(membership.path);
            cgroup
                .ancestors()
                .take_while(|directory| directory.starts_with(&mount.point))
                .filter_map(|directory| membership.version.limit(directory, &read))
                .min()
        })
        .min()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// Returns the limit of one cgroup, or `None` if it has none.
    fn limit(self, directory: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<CpuQuota> {
        let (quota, period) = match self {
            Self::V1 => (
                read(&directory.join("cpu.cfs_quota_us"))?,
                read(&directory.join("cpu.cfs_period_us"))?,
            ),
            Self::V2 => {
                let limits = read(&directory.join("cpu.max"))?;
                let (quota, period) = limits.trim().split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
        };
        // No limit is -1 in version 1 and "max" in version 2: neither is a positive number.
        CpuQuota::new(quota.trim().parse().ok()?, period.trim().parse().ok()?)
    }
}

/// A line of `/proc/self/cgroup`: `ID:CONTROLLERS:PATH`.
struct Membership<'a> {
    version: Version,
    path: &'a str,
}

impl<'a> Membership<'a> {
    /// Parses a line, or returns `None` if its hierarchy does not limit CPU time.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = if id == "0" && controllers.is_empty() {
            Version::V2
        } else if has_cpu(controllers) {
            Version::V1
        } else {
            return None;
        };
        Some(Self { version, path })
    }
}

/// A mounted hierarchy: the cgroup `root` is at the directory `point`.
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Finds the mount of a membership's hierarchy. One that contains the cgroup is preferred.
    fn of(membership: &Membership<'_>, mounts: &str) -> Option<Self> {
        let mut found = None;
        for line in mounts.lines() {
            let Some(mount) = Self::parse(line, membership.version) else {
                continue;
            };
            if Path::new(membership.path).starts_with(&mount.root) {
                return Some(mount);
            }
            found.get_or_insert(mount);
        }
        found
    }

    /// Parses a line of `/proc/self/mountinfo`:
    /// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE OPTIONS`.
    fn parse(line: &str, version: Version) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next()?;
        let is_wanted = match version {
            Version::V1 => kind == "cgroup" && has_cpu(filesystem.nth(1)?),
            Version::V2 => kind == "cgroup2",
        };
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        is_wanted.then(|| Self {
            root: unescaped(root),
            point: unescaped(point),
        })
    }

    /// Returns the directory of a cgroup. A cgroup outside the mount counts as the mount's root,
    /// which is then the topmost one that this process can see.
    fn directory_of(&self, path: &str) -> PathBuf {
        match Path::new(path).strip_prefix(&self.root) {
            Ok(rest) if !rest.components().any(|part| part == Component::ParentDir) => {
                self.point.join(rest)
            }
            _ => self.point.clone(),
        }
    }
}

fn has_cpu(list: &str) -> bool {
    list.split(',').any(|name| name == "cpu")
}

/// Replaces the kernel's octal escapes, such as `\040` for a space.
fn unescaped(field: &str) -> PathBuf {
    let mut parts = field.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escaped = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) if byte.is_ascii() => {
                path.push(char::from(byte));
                path.push_str(&part[3..]);
            }
            _ => {
                path.push('\\');
                path.push_str(part);
            }
        }
    }
    PathBuf::from(path)
}
