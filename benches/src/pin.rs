//! The CPU of each serving thread.

use std::io;
use std::str::FromStr;

/// The value of `--pin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The CPUs this process may use, in order; further threads stay unpinned.
    Auto,
    /// No thread is pinned.
    None,
    /// These CPUs, in this order; further threads stay unpinned.
    Cpus(Vec<usize>),
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            list => list
                .split(',')
                .map(|cpu| {
                    cpu.trim()
                        .parse()
                        .map_err(|_| format!("'{cpu}' is not a CPU number"))
                })
                .collect::<Result<_, _>>()
                .map(Self::Cpus),
        }
    }
}

impl Pin {
    /// Returns the CPU of each of `threads` threads, or `None` for an unpinned one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] when the list names a CPU that this process may not use.
    pub fn plan(&self, threads: usize) -> io::Result<Vec<Option<usize>>> {
        let allowed: Vec<usize> = core_affinity::get_core_ids()
            .unwrap_or_default()
            .into_iter()
            .map(|c| c.id)
            .collect();
        self.plan_within(threads, &allowed)
    }

    fn plan_within(&self, threads: usize, allowed: &[usize]) -> io::Result<Vec<Option<usize>>> {
        let cpus = match self {
            Self::None => &[],
            Self::Auto => allowed,
            Self::Cpus(list) => list.as_slice(),
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
    fn the_flag_takes_two_words_and_lists() {
        assert_eq!("auto".parse(), Ok(Pin::Auto));
        assert_eq!("none".parse(), Ok(Pin::None));
        assert_eq!("3, 0".parse(), Ok(Pin::Cpus(vec![3, 0])));
        assert!("".parse::<Pin>().is_err());
        assert!("0,x".parse::<Pin>().is_err());
    }

    #[test]
    fn threads_beyond_the_cpus_stay_unpinned() {
        let allowed = [1, 4];
        assert_eq!(
            Pin::Auto.plan_within(3, &allowed).unwrap(),
            [Some(1), Some(4), None]
        );
        assert_eq!(Pin::None.plan_within(2, &allowed).unwrap(), [None, None]);
        assert_eq!(
            Pin::Cpus(vec![4]).plan_within(2, &allowed).unwrap(),
            [Some(4), None]
        );
    }

    #[test]
    fn a_cpu_outside_the_mask_is_an_error() {
        let error = Pin::Cpus(vec![0]).plan_within(1, &[1, 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
