//! The CPU of each serving thread.

use std::io;

use reactor::Pinning;

/// Returns the CPU of each of `threads` threads, or `None` for an unpinned one. Threads beyond the
/// CPUs stay unpinned.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when the list names a CPU that this process may not use.
pub fn plan(pinning: &Pinning, threads: usize) -> io::Result<Vec<Option<usize>>> {
    let allowed: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|c| c.id)
        .collect();
    plan_within(pinning, threads, &allowed)
}

fn plan_within(
    pinning: &Pinning,
    threads: usize,
    allowed: &[usize],
) -> io::Result<Vec<Option<usize>>> {
    let cpus = match pinning {
        Pinning::Auto => allowed,
        Pinning::Cpus(list) => list.as_slice(),
        _ => &[],
    };
    if let Some(stranger) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("this process may not run on CPU {stranger}, only on {allowed:?}"),
        ));
    }
    Ok((0..threads)
        .map(|thread| cpus.get(thread).copied())
        .collect())
}

/// Pins the calling thread to `cpu`, or does nothing for `None`.
///
/// A refusal is reported on standard error and the thread goes on unpinned, as a shard does.
pub fn pin_current(cpu: Option<usize>) {
    if let Some(id) = cpu
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        eprintln!("warning: could not pin a thread to CPU {id}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_beyond_the_cpus_stay_unpinned() {
        let allowed = [1, 4];
        assert_eq!(
            plan_within(&Pinning::Auto, 3, &allowed).unwrap(),
            [Some(1), Some(4), None]
        );
        assert_eq!(
            plan_within(&Pinning::None, 2, &allowed).unwrap(),
            [None, None]
        );
        assert_eq!(
            plan_within(&Pinning::Cpus(vec![4]), 2, &allowed).unwrap(),
            [Some(4), None]
        );
    }

    #[test]
    fn a_cpu_outside_the_mask_is_an_error() {
        let error = plan_within(&Pinning::Cpus(vec![0]), 1, &[1, 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
