//! The scenarios of `cargo xtask bench`: the load of each, its contenders and its server threads.

use Contenders::{Base, Only, Others};
use Load::{Closed, Own, Percent, Work};

/// 70% of two CPUs in requests of 200 us.
const WORK: &str = "-c 32 --rate 7k --arrivals poisson --work 200us";

/// A load that all of its contenders serve.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The name of its folder.
    pub(crate) name: &'static str,
    /// Its line of the help.
    about: &'static str,
    /// Its description in the report, with placeholders for connections and rate.
    title: &'static str,
    pub(crate) load: Load,
    /// The load of a second generator that runs at the same time.
    pub(crate) beside: Option<&'static str>,
    pub(crate) contenders: Contenders,
    /// With two threads, the server has both CPUs and the generator shares them.
    pub(crate) threads: u32,
}

/// Options of loadgen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// A closed loop over the connections of the command line, with these options.
    Closed(&'static str),
    /// An open loop at a percentage of the rate of the slowest contender of `base`.
    Percent(u32),
    /// The open loop of the service `work`, with these options.
    Work(&'static str),
    /// These options, which include the connections.
    Own(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Contenders {
    /// Those of --only, for the number of rounds that `cargo xtask budgets` needs.
    Base,
    /// Those of --others.
    Others,
    Only(&'static [&'static str]),
}

/// The contenders that serve `work`.
const WORKERS: Contenders = Only(&["tokio-mt-work", "demo-work", "demo-work-no-stealing"]);

const STREAMERS: Contenders = Only(&["demo-helpers", "demo-helpers-no-stealing"]);

/// Every scenario, in the order of a run.
pub(crate) const ALL: [Scenario; 18] = [
    Scenario {
        contenders: Base,
        ..one_thread(
            "base",
            "64 connections, 64 bytes, closed loop, one server thread",
            "{connections} connections, 64 bytes, closed loop, one server thread",
            Closed(""),
        )
    },
    one_thread(
        "size-1k",
        "messages of 1 KiB",
        "Messages of 1 KiB",
        Closed("--size 1k"),
    ),
    one_thread(
        "size-16k",
        "messages of 16 KiB",
        "Messages of 16 KiB",
        Closed("--size 16k"),
    ),
    one_thread("conns-1", "one connection", "One connection", Own("-c 1")),
    one_thread(
        "conns-1000",
        "1,000 connections",
        "1,000 connections",
        Own("-c 1000"),
    ),
    one_thread(
        "conns-19000",
        "19,000 connections, all active",
        "19,000 connections, all active",
        Own("-c 19000 --timeout 30s"),
    ),
    one_thread(
        "active-64",
        "19,000 connections, 64 active",
        "19,000 connections, 64 active",
        Own("-c 19000 --active 64 --timeout 30s"),
    ),
    one_thread(
        "active-1900",
        "19,000 connections, 10% active",
        "19,000 connections, 10% active",
        Own("-c 19000 --active 1900 --timeout 30s"),
    ),
    one_thread(
        "rate-30",
        "open loop at 30% of the rate of the slowest contender of 'base'",
        "Open loop, 30% of saturation: {rate} requests per second",
        Percent(30),
    ),
    one_thread(
        "rate-60",
        "... at 60%",
        "Open loop, 60% of saturation: {rate} requests per second",
        Percent(60),
    ),
    Scenario {
        contenders: Base,
        ..one_thread(
            "rate-80",
            "... at 80%, with the contenders of 'base'",
            "Open loop, 80% of saturation: {rate} requests per second",
            Percent(80),
        )
    },
    one_thread(
        "churn",
        "connect, one echo, close: here each echo is a connection",
        "Connect, one echo, close",
        Closed("--requests-per-conn 1"),
    ),
    two_threads(
        "threads-2",
        "two server threads on both CPUs, which the generator shares",
        "Two server threads on both CPUs, which the generator shares",
        Closed(""),
        Others,
    ),
    two_threads(
        "bulk",
        "the same, with 8 connections that stream messages of 64 KiB",
        "Eight connections that stream messages of 64 KiB, two server threads",
        Own("-c 8 --size 64k --pipeline 4"),
        STREAMERS,
    ),
    two_threads(
        "even",
        "the same, open loop: requests of 200 us of CPU time, 70% of both CPUs in total",
        "Even load: requests of 200 us, 70% of two CPUs",
        Work(""),
        WORKERS,
    ),
    two_threads(
        "skew",
        "the same, with 90% of the requests on a quarter of the connections, all of one shard",
        "Skewed load: the same, with 90% of the requests on 8 of 32 connections",
        Work("--hot 25%:90%"),
        WORKERS,
    ),
    two_threads(
        "shift",
        "the same, and every 500 ms that quarter belongs to the other shard",
        "Shifting load: the same, with another 8 connections every 500 ms",
        Work("--hot 25%:90% --hot-shift 500ms"),
        WORKERS,
    ),
    Scenario {
        beside: Some("-c 2 --rate 40 --arrivals poisson --work 20ms"),
        ..two_threads(
            "mix",
            "short requests beside two connections whose requests each take 20 ms of CPU time",
            "Short requests beside two connections whose requests take 20 ms",
            Own("-c 32 --rate 3k --arrivals poisson --work 10us"),
            WORKERS,
        )
    },
];

const fn one_thread(
    name: &'static str,
    about: &'static str,
    title: &'static str,
    load: Load,
) -> Scenario {
    Scenario {
        name,
        about,
        title,
        load,
        beside: None,
        contenders: Others,
        threads: 1,
    }
}

const fn two_threads(
    name: &'static str,
    about: &'static str,
    title: &'static str,
    load: Load,
    contenders: Contenders,
) -> Scenario {
    Scenario {
        contenders,
        threads: 2,
        ..one_thread(name, about, title, load)
    }
}

impl Scenario {
    /// Returns loadgen's options, for this number of connections if the scenario has no own. `rate`
    /// is that of [`Percent`].
    pub(crate) fn options(&self, connections: u32, rate: Option<u64>) -> Vec<String> {
        let options = match self.load {
            Closed(more) => format!("-c {connections} {more}"),
            Percent(_) => format!("-c {connections} --rate {}", rate.unwrap_or_default()),
            Work(more) => format!("{WORK} {more}"),
            Own(all) => all.to_owned(),
        };
        options.split_whitespace().map(str::to_owned).collect()
    }

    /// Returns the description for the report.
    pub(crate) fn title(&self, connections: u32, rate: Option<u64>) -> String {
        self.title
            .replace("{connections}", &connections.to_string())
            .replace("{rate}", &rate.unwrap_or_default().to_string())
    }
}

/// The scenarios of a command line.
#[derive(Debug, Clone)]
pub(crate) struct List(pub(crate) Vec<&'static Scenario>);

impl List {
    pub(crate) fn all() -> Self {
        Self(ALL.iter().collect())
    }

    /// Only `base`.
    pub(crate) fn base() -> Self {
        Self(vec![&ALL[0]])
    }

    /// Reads names with commas in between.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let known = |name: &str| {
            let found = ALL.iter().find(|scenario| scenario.name == name);
            found.ok_or_else(|| {
                let names = ALL.map(|scenario| scenario.name).join(", ");
                format!("no scenario '{name}'; there are: {names}")
            })
        };
        let list = text.split(',').map(known).collect::<Result<Vec<_>, _>>()?;
        let mut loads = list.iter().map(|scenario| scenario.load);
        if loads.any(|load| matches!(load, Percent(_))) && list[0].name != "base" {
            return Err(
                "the scenarios 'rate-…' take their rate from 'base': name it first".to_owned(),
            );
        }
        Ok(Self(list))
    }
}

/// Returns the end of the help.
pub(crate) fn help() -> String {
    let mut lines = vec!["Scenarios:".to_owned()];
    lines.extend(ALL.map(|scenario| format!("  {:<13} {}", scenario.name, scenario.about)));
    lines.push(
        "\nOptions after -- go to every loadgen run, for instance -- --pipeline 8.\n\
         Tables go to the terminal. target/bench/ gets bench.json, bench.html, SCENARIO/NAME.json \
         with all rounds of a contender (as 'loadgen compare A.json B.json' takes them), and \
         table.txt."
            .to_owned(),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::contenders::known;

    #[test]
    fn a_rate_needs_the_rate_of_base() {
        let names =
            |text| Ok::<_, String>(List::parse(text)?.0.iter().map(|one| one.name).collect());
        assert_eq!(names("base,rate-80"), Ok(vec!["base", "rate-80"]));
        assert_eq!(names("even,base"), Ok(vec!["even", "base"]));
        assert!(names("rate-80,base").unwrap_err().contains("name it first"));
        assert!(
            names("base,evne")
                .unwrap_err()
                .contains("no scenario 'evne'")
        );
        assert!(names("").is_err());
    }

    #[test]
    fn the_placeholders_are_filled() {
        for scenario in &ALL {
            let title = scenario.title(64, Some(7));
            assert!(!title.contains(['{', '}']), "{title}");
            assert!(!scenario.options(64, Some(7)).is_empty());
            let has_rate = scenario.title.contains("{rate}");
            assert_eq!(has_rate, matches!(scenario.load, Percent(_)));
        }
        let [rate, ..] = &List::parse("base,rate-30").unwrap().0[1..] else {
            panic!("one more");
        };
        assert_eq!(rate.options(64, Some(7)), ["-c", "64", "--rate", "7"]);
    }

    #[test]
    fn every_contender_exists() {
        for scenario in &ALL {
            if let Only(names) = scenario.contenders {
                assert!(names.iter().all(|name| known(name).is_ok()), "{names:?}");
            }
        }
    }
}
