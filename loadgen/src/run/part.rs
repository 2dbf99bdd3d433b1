//! `--part`: one load on several processes or machines, each of which runs a part of it.
//!
//! A part opens its share of the connections and sends its share of the schedule. With fixed
//! arrivals the parts interleave exactly if they start at the same time (`--start-at`). `--part
//! auto` takes rank and size from the variables of Slurm, Open MPI, PMI or a Kubernetes Indexed
//! Job. Pure. Tests: at the end of this file and `tests/parts.rs`.

use std::fmt;
use std::str::FromStr;

/// One part of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// This part, counted from zero.
    index: u32,
    /// Parts in all.
    of: u32,
}

/// More parts than this are a mistake.
const PARTS_MAX: u32 = 100_000;

/// The variables of rank and size, by the system that sets them.
const VARIABLES: [(&str, &str); 4] = [
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
];

impl Part {
    /// The whole load.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    fn new(index: u32, of: u32) -> Result<Self, String> {
        if index < of && of <= PARTS_MAX {
            Ok(Self { index, of })
        } else {
            let number = u64::from(index) + 1;
            Err(format!(
                "part {number} of {of} is none: parts are 1/N to N/N"
            ))
        }
    }

    /// This part, counted from zero.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// Parts in all.
    #[must_use]
    pub fn of(self) -> u32 {
        self.of
    }

    /// Returns this part's share of a number of things.
    #[must_use]
    pub fn share(self, whole: u64) -> u64 {
        let of = u64::from(self.of);
        whole / of + u64::from(u64::from(self.index) < whole % of)
    }

    /// Reads rank and size from the environment. `of` is the size, if the text has it.
    fn from_environment(
        of: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let found = VARIABLES
            .into_iter()
            .find_map(|(rank, size)| Some((rank, variable(rank)?, size)));
        let Some((rank_name, rank, size_name)) = found else {
            let names: Vec<_> = VARIABLES.iter().map(|(rank, _)| *rank).collect();
            return Err(format!(
                "auto needs one of the variables {}",
                names.join(", ")
            ));
        };
        let size = of.map(str::to_owned).or_else(|| variable(size_name));
        let Some(size) = size else {
            return Err(format!(
                "{rank_name} has no size beside it: write --part auto/N"
            ));
        };
        match (rank.trim().parse(), size.trim().parse()) {
            (Ok(rank), Ok(size)) => Self::new(rank, size),
            _ => Err(format!("{rank_name}={rank:?} of {size:?} is no part")),
        }
    }
}

/// `2/8`, `auto` or `auto/8`.
impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, of) = match text.split_once('/') {
            Some((number, of)) => (number, Some(of)),
            None => (text, None),
        };
        if number == "auto" {
            return Self::from_environment(of, |name| std::env::var(name).ok());
        }
        match (number.parse::<u32>(), of.map(str::parse)) {
            (Ok(number @ 1..), Some(Ok(of))) => Self::new(number - 1, of),
            _ => Err(format!(
                "{text:?} is not a part, such as 2/8, auto or auto/8"
            )),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_add_up() {
        let parts: Vec<Part> = (1..=3)
            .map(|one| format!("{one}/3").parse().expect("a part"))
            .collect();
        for whole in [0, 1, 2, 3, 10, 1_000_003] {
            assert_eq!(
                parts.iter().map(|part| part.share(whole)).sum::<u64>(),
                whole
            );
        }
        assert_eq!(parts[1].to_string(), "2/3");
        for text in ["", "3", "0/3", "4/3", "x/3", "1/x", "1/0"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }

    #[test]
    fn rank_and_size_come_from_the_environment() {
        let of = |size, set: &[(&str, &str)]| {
            let found = |name: &str| {
                let mut set = set.iter();
                set.find(|(one, _)| *one == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            Part::from_environment(size, found).map(|part| part.to_string())
        };
        let slurm = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "8")];
        assert_eq!(of(None, &slurm).as_deref(), Ok("2/8"));
        assert_eq!(of(Some("4"), &slurm).as_deref(), Ok("2/4"));
        let kubernetes = [("JOB_COMPLETION_INDEX", "3")];
        assert!(
            of(None, &kubernetes)
                .expect_err("no size")
                .contains("auto/N")
        );
        assert_eq!(of(Some("4"), &kubernetes).as_deref(), Ok("4/4"));
        assert!(of(Some("3"), &kubernetes).is_err());
        assert!(of(None, &[]).expect_err("nothing").contains("SLURM_PROCID"));
    }
}
