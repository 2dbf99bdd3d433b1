//! The counts of callgrind by function, and the slope between two runs.
//!
//! Only functions of the program itself count. The cost of the C library depends on the machine (it
//! chooses its memcpy by the CPU's features), and the cost of the dynamic linker on the system.
//! Neither is this project's code.

use std::collections::BTreeMap;
use std::collections::HashMap;

/// Instructions of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// In the function itself, including the functions inlined into it.
    pub own: f64,
    /// Including all functions that it calls.
    pub inclusive: f64,
}

/// Instructions by function.
pub type Costs = BTreeMap<String, Cost>;

/// Returns the cost of one round by function: the difference between two profiles, divided by the
/// difference in rounds.
///
/// Functions that cost less than a tenth of an instruction per round are left out.
#[must_use]
pub fn slope(first: &str, second: &str, rounds: f64) -> Costs {
    let first = read(first);
    let mut slope = read(second);
    for (function, cost) in &mut slope {
        let before = first.get(function).copied().unwrap_or_default();
        cost.own = (cost.own - before.own) / rounds;
        cost.inclusive = (cost.inclusive - before.inclusive) / rounds;
    }
    slope.retain(|_, cost| cost.own.abs() >= 0.1);
    slope
}

/// Reads a profile: the text that `valgrind --tool=callgrind` writes.
fn read(profile: &str) -> Costs {
    let mut objects = Names::default();
    let mut functions = Names::default();
    let (mut ours, mut function, mut is_call) = (false, String::new(), false);
    let mut costs = Costs::new();
    for line in profile.lines() {
        if let Some((key, value)) = line.split_once('=') {
            match key {
                // The program itself is not a shared object.
                "ob" => ours = !objects.resolve(value).contains(".so"),
                "cob" => drop(objects.resolve(value)),
                // A recursive call of a function is counted separately, as NAME'2.
                "fn" => {
                    let name = functions.resolve(value);
                    function = name.split('\'').next().unwrap_or_default().to_owned();
                }
                "cfn" => drop(functions.resolve(value)),
                "calls" => is_call = true,
                _ => {}
            }
            continue;
        }
        // Header lines have colons. A cost line is a position and a count.
        let Some((position, count)) = line.split_once(' ') else {
            continue;
        };
        if position.contains(':') {
            continue;
        }
        let (Ok(count), true) = (count.trim().parse::<f64>(), ours) else {
            is_call = false;
            continue;
        };
        let cost = costs.entry(function.clone()).or_default();
        cost.inclusive += count;
        if !is_call {
            cost.own += count;
        }
        is_call = false;
    }
    costs
}

/// The names of a profile. It has each name in full once, as `(7) name`, and then only as `(7)`.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn resolve(&mut self, value: &str) -> String {
        let (number, name) = value.split_once(' ').unwrap_or((value, ""));
        if !number.starts_with('(') {
            return value.to_owned();
        }
        if !name.is_empty() {
            self.0.insert(number.to_owned(), name.to_owned());
        }
        self.0.get(number).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
version: 1
events: Ir

ob=(1) /bin/server
fl=(1) a.rs
fn=(1) run
10 5
cob=(2) /lib/libc.so.6
cfn=(2) memcpy
calls=1 0
11 1000
+1 7
cfn=(3) poll
calls=3 20
* 60

fn=(3)
20 30
fe=(9) b.rs
30 30
fn=(4) poll'2
30 4

ob=(2)
fn=(2)
1 1000

totals: 1076
";

    #[test]
    fn a_profile_is_read_function_by_function() {
        let costs = read(PROFILE);
        let cost = |own, inclusive| Cost { own, inclusive };
        assert_eq!(costs["run"], cost(12.0, 1072.0));
        assert_eq!(
            costs["poll"],
            cost(64.0, 64.0),
            "inlined and recursive parts are its own"
        );
        assert!(!costs.contains_key("memcpy"), "the C library is not ours");
    }

    #[test]
    fn the_slope_is_what_one_more_round_costs() {
        let second = PROFILE
            .replace("20 30", "20 50")
            .replace("fn=(1) run", "fn=(1) renamed");
        let slope = slope(PROFILE, &second, 10.0);
        assert_eq!(slope["poll"].own, 2.0);
        assert_eq!(slope["renamed"].own, 1.2);
        assert!(!slope.contains_key("run"), "it is not in the second run");
    }
}
