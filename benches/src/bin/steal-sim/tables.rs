//! The runs behind each table.

use crate::costs::Costs;
use crate::engine::{Engine, Outcome};
use crate::ideal;
use crate::policy::{Amount, Moves, Policy, Push, Search, Searchers, Serve, WakeTo};
use crate::table::{Table, quantile};
use crate::workload::{ClosedLoop, MS, Request, Service, Shape, US, Workload};

/// The number of connections registered on each shard at first.
const CONNECTIONS_PER_SHARD: usize = 256;
/// The offered load of every open run.
const LOAD: f64 = 0.7;
/// The hot shard changes this often.
const SHIFT: Shape = Shape::Shift { every: 10 * MS };

const OPEN: [&str; 11] = [
    "run",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "p99/ideal",
    "p99.9/ideal",
    "stolen/req",
    "moves/req",
    "wasted/req",
    "notify/req",
    "ticks/req",
];

/// The size and the seed of all runs.
pub(crate) struct Runs {
    pub(crate) requests: usize,
    pub(crate) seed: u64,
}

/// An open workload, with the latencies of the ideal queue.
struct Offered {
    workload: Workload,
    requests: Vec<Request>,
    ideal: Vec<u64>,
}

impl Runs {
    fn offer(&self, shape: Shape, shards: usize, service: Service, mean: u64) -> Offered {
        let workload = Workload {
            shape,
            shards,
            connections: CONNECTIONS_PER_SHARD * shards,
            load: LOAD,
            service,
            mean,
        };
        let requests = workload.draw(self.requests, self.seed);
        let ideal = settled(ideal::latencies(&requests, shards));
        Offered {
            workload,
            requests,
            ideal,
        }
    }

    fn play(&self, table: &mut Table, name: &str, offered: &Offered, policy: Policy, costs: Costs) {
        let shards = offered.workload.shards;
        let outcome = Engine::open(policy, costs, shards, &offered.requests, self.seed);
        table.row(open_row(name, offered, outcome));
    }

    pub(crate) fn policies(&self) -> Table {
        let mut table = Table::new(
            "Policies: 16 shards, 70% load, skewed, exponential service",
            &OPEN,
        );
        let kinds = [
            ("none", Policy::NONE),
            ("steal when idle", Policy::STEAL),
            ("push when loaded", Policy::PUSH),
            ("both", Policy::BOTH),
            (
                "both, move",
                Policy {
                    moves: Policy::CHOSEN.moves,
                    ..Policy::BOTH
                },
            ),
            (
                "both, serve",
                Policy {
                    serve: Policy::CHOSEN.serve,
                    ..Policy::BOTH
                },
            ),
            ("chosen", Policy::CHOSEN),
        ];
        for mean in [10, 25, 200] {
            let offered = self.offer(Shape::Skew, 16, Service::Exponential, mean * US);
            table.row(ideal_row(&format!("{mean} us: ideal"), &offered));
            for (name, policy) in kinds {
                self.play(
                    &mut table,
                    &format!("{mean} us: {name}"),
                    &offered,
                    policy,
                    Costs::DEFAULT,
                );
            }
        }
        table
    }

    pub(crate) fn push(&self) -> Table {
        let mut table = Table::new(
            "Push: 16 shards, 70% load, exponential service, the other settings as chosen",
            &OPEN,
        );
        let rules = [
            Push::Never,
            Push::Count(61),
            Push::Count(1),
            Push::Time(10 * US),
            Push::Time(50 * US),
            Push::Time(100 * US),
            Push::Time(150 * US),
            Push::Time(300 * US),
        ];
        for (shape, mean) in [
            (Shape::Skew, 10),
            (Shape::Skew, 200),
            (Shape::Even, 10),
            (Shape::Even, 200),
        ] {
            let offered = self.offer(shape, 16, Service::Exponential, mean * US);
            for push in rules {
                let name = format!("{} {mean} us: {push}", shape.name());
                let policy = Policy {
                    push,
                    ..Policy::CHOSEN
                };
                self.play(&mut table, &name, &offered, policy, Costs::DEFAULT);
            }
        }
        table
    }

    pub(crate) fn search(&self) -> Table {
        let mut table = Table::new(
            "Search: 70% load, skewed, exponential service of 25 us",
            &OPEN,
        );
        for shards in [16, 64] {
            let offered = self.offer(Shape::Skew, shards, Service::Exponential, 25 * US);
            for amount in [Amount::One, Amount::Half, Amount::All] {
                let policy = Policy {
                    amount,
                    ..Policy::CHOSEN
                };
                self.play(
                    &mut table,
                    &format!("{shards} shards: take {amount:?}"),
                    &offered,
                    policy,
                    Costs::DEFAULT,
                );
            }
            let bounds = [
                Searchers::AtMost(1),
                Searchers::AtMost(2),
                Searchers::AtMost(4),
                Searchers::HalfOfShards,
                Searchers::Unbounded,
            ];
            for searchers in bounds {
                for search in [Search::Scan, Search::Mask] {
                    let policy = Policy {
                        searchers,
                        search,
                        ..Policy::CHOSEN
                    };
                    let name = format!("{shards} shards: {searchers:?}, {search:?}");
                    self.play(&mut table, &name, &offered, policy, Costs::DEFAULT);
                }
            }
        }
        table
    }

    pub(crate) fn moves(&self) -> Table {
        let mut table = Table::new("Moves: 16 shards, 70% load, exponential service", &OPEN);
        let mut rules = vec![Moves::Never];
        rules.extend([1, 2, 4, 8, 16, 32].map(Moves::Away));
        rules.extend([1, 4, 16].map(Moves::SameShard));
        for (shape, mean) in [(Shape::Skew, 10), (SHIFT, 10), (Shape::Even, 200)] {
            let offered = self.offer(shape, 16, Service::Exponential, mean * US);
            for &moves in &rules {
                let policy = Policy {
                    moves,
                    ..Policy::CHOSEN
                };
                self.play(
                    &mut table,
                    &format!("{} {mean} us: {moves}", shape.name()),
                    &offered,
                    policy,
                    Costs::DEFAULT,
                );
            }
            for moves in [
                Moves::Never,
                Moves::Away(1),
                Moves::Away(16),
                Moves::SameShard(16),
            ] {
                let name = format!("{} {mean} us: to the last runner, {moves}", shape.name());
                let policy = Policy {
                    moves,
                    wake_to: WakeTo::LastRunner,
                    ..Policy::CHOSEN
                };
                self.play(&mut table, &name, &offered, policy, Costs::DEFAULT);
            }
        }
        table
    }

    pub(crate) fn serve(&self) -> Table {
        let mut table = Table::new(
            "Serve: 70% load, exponential service, by how long a sibling is stuck before",
            &OPEN,
        );
        let loads = [
            (Shape::Mix, 2, 20),
            (Shape::Mix, 16, 20),
            (Shape::Mix, 64, 20),
            (Shape::Skew, 16, 200),
            (Shape::Even, 16, 25),
        ];
        for (shape, shards, mean) in loads {
            let offered = self.offer(shape, shards, Service::Exponential, mean * US);
            let load = format!("{} {mean} us, {shards} shards", shape.name());
            table.row(ideal_row(&format!("{load}: ideal"), &offered));
            self.play(
                &mut table,
                &format!("{load}: none"),
                &offered,
                Policy::NONE,
                Costs::DEFAULT,
            );
            let times = [
                (20, 20, 1_600),
                (20, 50, 50),
                (20, 50, 1_600),
                (20, 50, 12_800),
                (50, 50, 1_600),
                (300, 200, 2_000),
                (1_000, 1_000, 2_000),
                (3_000, 2_000, 2_000),
            ];
            let policy = Policy {
                serve: None,
                ..Policy::CHOSEN
            };
            self.play(
                &mut table,
                &format!("{load}: never"),
                &offered,
                policy,
                Costs::DEFAULT,
            );
            for (grace, shortest, longest) in times {
                let name =
                    format!("{load}: after {grace} us, look every {shortest} to {longest} us");
                let serve = Some(Serve {
                    grace: grace * US,
                    shortest: shortest * US,
                    longest: longest * US,
                });
                let policy = Policy {
                    serve,
                    ..Policy::CHOSEN
                };
                self.play(&mut table, &name, &offered, policy, Costs::DEFAULT);
            }
        }
        table
    }

    pub(crate) fn wake(&self) -> Table {
        let mut table = Table::new(
            "Wake: the chosen policy, 16 shards, 70% load, exponential service",
            &OPEN,
        );
        for (shape, mean) in [
            (Shape::Skew, 10),
            (Shape::Skew, 25),
            (Shape::Skew, 200),
            (Shape::Even, 25),
        ] {
            let offered = self.offer(shape, 16, Service::Exponential, mean * US);
            for wake in [5, 20, 50] {
                let name = format!("{} {mean} us: wake {wake} us", shape.name());
                self.play(
                    &mut table,
                    &name,
                    &offered,
                    Policy::CHOSEN,
                    Costs::DEFAULT.with_wake(wake * US),
                );
            }
        }
        table
    }

    pub(crate) fn chosen(&self) -> Table {
        let mut table = Table::new("Chosen: every load at 70%", &OPEN);
        let loads = [
            (Shape::Even, 25),
            (Shape::Even, 200),
            (Shape::Skew, 25),
            (Shape::Skew, 200),
            (SHIFT, 200),
            (Shape::Mix, 20),
        ];
        for (shape, mean) in loads {
            for service in Service::ALL {
                for shards in [2, 8, 16, 64] {
                    let offered = self.offer(shape, shards, service, mean * US);
                    let name = format!(
                        "{} {mean} us {}, {shards} shards",
                        shape.name(),
                        service.name()
                    );
                    self.play(&mut table, &name, &offered, Policy::CHOSEN, Costs::DEFAULT);
                }
            }
        }
        table
    }

    pub(crate) fn caution(&self) -> Table {
        let columns = [
            "push after, lasting, stuck after",
            "skew 25 us",
            "skew 200 us",
            "even 200 us",
            "mix 20 us",
            "stolen/s, 15 us",
            "stolen/s, 220 us",
        ];
        let title = "Caution: p99/ideal of 16 shards at 70% load, beside the steals of closed loops (2 shards, 8 \
                     connections, exponential: 15 us with pauses of 20 us, 220 us with pauses of 400 us)";
        let mut table = Table::new(title, &columns);
        let open = [
            (Shape::Skew, 25),
            (Shape::Skew, 200),
            (Shape::Even, 200),
            (Shape::Mix, 20),
        ];
        let offered =
            open.map(|(shape, mean)| self.offer(shape, 16, Service::Exponential, mean * US));
        for push in [50, 100, 150] {
            for lasting in [0, 1, 3] {
                for grace in [50, 300, 2_000] {
                    let policy = Policy {
                        push: Push::Time(push * US),
                        lasting,
                        serve: Some(Serve {
                            grace: grace * US,
                            shortest: (grace * US).min(200 * US),
                            longest: 2_000 * US,
                        }),
                        ..Policy::CHOSEN
                    };
                    let mut row = vec![format!("{push} us, {lasting} turns, {grace} us")];
                    row.extend(offered.each_ref().map(|offered| self.p99(offered, policy)));
                    row.extend(
                        [(15, 20), (220, 400)]
                            .map(|(mean, pause)| self.steals(policy, mean, pause)),
                    );
                    table.row(row);
                }
            }
        }
        table
    }

    /// Returns the p99 of a policy with 16 shards, as a multiple of the ideal queue's.
    fn p99(&self, offered: &Offered, policy: Policy) -> String {
        let outcome = Engine::open(policy, Costs::DEFAULT, 16, &offered.requests, self.seed);
        let p99 = quantile(&settled(outcome.latencies), 0.99) as f64;
        format!("{:.2}", p99 / quantile(&offered.ideal, 0.99) as f64)
    }

    /// Returns the steals of a second, with 8 connections on 2 shards.
    fn steals(&self, policy: Policy, mean: u64, pause: u64) -> String {
        let (first, both) = self.two_seconds(policy, 2, 8, mean, pause);
        (both.counts.stolen - first.counts.stolen).to_string()
    }

    /// Runs one second, and the same run with a second more. The difference is the second without
    /// the warm-up.
    fn two_seconds(
        &self,
        policy: Policy,
        shards: usize,
        connections: usize,
        mean: u64,
        pause: u64,
    ) -> (Outcome, Outcome) {
        let run = |seconds: u64| {
            let load = ClosedLoop {
                connections,
                service: Service::Exponential,
                mean: mean * US,
                pause: pause * US,
                until: seconds * 1_000 * MS,
            };
            Engine::closed(policy, Costs::DEFAULT, shards, &load, self.seed)
        };
        (run(1), run(2))
    }

    pub(crate) fn steady(&self) -> Table {
        let columns = [
            "run", "req/s", "p50 us", "p99 us", "stolen/s", "moves/s", "notify/s", "wasted/s",
        ];
        let mut table = Table::new(
            "Steady: closed loops, the second of two simulated seconds",
            &columns,
        );
        let loads = [
            (2, 64, 2, 20),
            (2, 8, 15, 20),
            (16, 64, 2, 20),
            (16, 64, 100, 1_000),
        ];
        let rules = [
            (WakeTo::Dispatcher, Moves::Never),
            (WakeTo::Dispatcher, Moves::Away(1)),
            (WakeTo::Dispatcher, Moves::Away(4)),
            (WakeTo::Dispatcher, Moves::Away(16)),
            (WakeTo::LastRunner, Moves::Away(16)),
            (WakeTo::LastRunner, Moves::SameShard(16)),
        ];
        for (shards, connections, mean, pause) in loads {
            for &(wake_to, moves) in &rules {
                let policy = Policy {
                    moves,
                    wake_to,
                    ..Policy::CHOSEN
                };
                let name = format!(
                    "{shards} shards, {connections} x {mean} us, pause {pause} us: {wake_to:?}, {moves}"
                );
                let (first, both) = self.two_seconds(policy, shards, connections, mean, pause);
                table.row(steady_row(&name, &first, &both));
            }
        }
        table
    }
}

/// Returns the latencies after the first tenth, which is the warm-up, sorted.
fn settled(mut latencies: Vec<u64>) -> Vec<u64> {
    latencies.drain(..latencies.len() / 10);
    latencies.sort_unstable();
    latencies
}

fn us(time: u64) -> String {
    format!("{:.1}", time as f64 / US as f64)
}

fn ideal_row(name: &str, offered: &Offered) -> Vec<String> {
    let at = |q| us(quantile(&offered.ideal, q));
    let mut row = vec![name.to_owned(), at(0.5), at(0.99), at(0.999)];
    row.resize(OPEN.len(), "-".to_owned());
    row
}

fn open_row(name: &str, offered: &Offered, outcome: Outcome) -> Vec<String> {
    let latencies = settled(outcome.latencies);
    let at = |q| quantile(&latencies, q);
    let ratio = |q| format!("{:.2}", at(q) as f64 / quantile(&offered.ideal, q) as f64);
    let counts = outcome.counts;
    let each = |count: u64| format!("{:.4}", count as f64 / outcome.requests as f64);
    vec![
        name.to_owned(),
        us(at(0.5)),
        us(at(0.99)),
        us(at(0.999)),
        ratio(0.99),
        ratio(0.999),
        each(counts.stolen),
        each(counts.moves),
        each(counts.wasted),
        each(counts.notifies),
        each(counts.ticks),
    ]
}

fn steady_row(name: &str, first: &Outcome, both: &Outcome) -> Vec<String> {
    let mut latencies = both.latencies[first.latencies.len()..].to_vec();
    latencies.sort_unstable();
    let in_second = |count: fn(&Outcome) -> u64| (count(both) - count(first)).to_string();
    vec![
        name.to_owned(),
        in_second(|outcome| outcome.requests),
        us(quantile(&latencies, 0.5)),
        us(quantile(&latencies, 0.99)),
        in_second(|outcome| outcome.counts.stolen),
        in_second(|outcome| outcome.counts.moves),
        in_second(|outcome| outcome.counts.notifies),
        in_second(|outcome| outcome.counts.wasted),
    ]
}
