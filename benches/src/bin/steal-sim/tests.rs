//! Tests of the engine: it agrees with the ideal queue if costs are zero, and it shows the effects
//! that the policy relies on. Also tests of the table.

use crate::costs::Costs;
use crate::engine::{Engine, Outcome};
use crate::ideal;
use crate::policy::{Moves, Policy, Push, Search, Serve, WakeTo};
use crate::table::{Table, quantile};
use crate::workload::{ClosedLoop, MS, Request, Service, Shape, US, Workload};

fn workload(shape: Shape, shards: usize, load: f64) -> Workload {
    Workload {
        shape,
        shards,
        connections: 256 * shards,
        load,
        service: Service::Exponential,
        mean: 100 * US,
    }
}

fn play(policy: Policy, shards: usize, requests: &[Request]) -> Outcome {
    Engine::open(policy, Costs::DEFAULT, shards, requests, 7)
}

fn p99(mut latencies: Vec<u64>) -> u64 {
    latencies.sort_unstable();
    quantile(&latencies, 0.99)
}

fn request(at: u64, connection: usize, service: u64) -> Request {
    Request {
        at,
        connection,
        service,
        measured: true,
    }
}

#[test]
fn the_ideal_queue_serves_in_order_on_every_server() {
    let requests = [request(0, 0, 10), request(1, 1, 10), request(2, 2, 10)];
    assert_eq!(ideal::latencies(&requests, 1), [10, 19, 28]);
    assert_eq!(ideal::latencies(&requests, 2), [10, 10, 18]);
    assert_eq!(ideal::latencies(&requests, 3), [10, 10, 10]);
}

/// The mean time in an M/M/1 system is the service time divided by the idle share.
#[test]
fn the_ideal_queue_agrees_with_the_theory_of_one_server() {
    let requests = workload(Shape::Even, 1, 0.5).draw(200_000, 3);
    let latencies = ideal::latencies(&requests, 1);
    let mean = latencies.iter().sum::<u64>() as f64 / latencies.len() as f64;
    let theory = 100.0 * US as f64 / (1.0 - 0.5);
    assert!(
        (mean / theory - 1.0).abs() < 0.03,
        "{mean} against {theory}"
    );
}

#[test]
fn arrivals_have_the_rate_and_the_skew_that_were_asked_for() {
    let workload = workload(Shape::Skew, 4, 0.7);
    let requests = workload.draw(100_000, 1);
    let busy: u64 = requests.iter().map(|request| request.service).sum();
    let until = requests.last().expect("there are requests").at;
    let load = busy as f64 / (4 * until) as f64;
    assert!((load - 0.7).abs() < 0.02, "{load}");
    let hot = requests
        .iter()
        .filter(|request| request.connection % 4 == 0)
        .count();
    // 90%, and a quarter of the rest.
    assert!((hot as f64 / 100_000.0 - 0.925).abs() < 0.01, "{hot}");
}

/// One shard without costs is the ideal queue with one server, to the nanosecond.
#[test]
fn one_shard_without_costs_is_the_ideal_queue() {
    let mut requests = workload(Shape::Even, 1, 0.8).draw(5_000, 5);
    // Each request has its own connection, because the ideal queue has no order within a
    // connection.
    for (connection, request) in requests.iter_mut().enumerate() {
        request.connection = connection;
    }
    let outcome = Engine::open(Policy::NONE, Costs::FREE, 1, &requests, 7);
    assert_eq!(outcome.latencies, ideal::latencies(&requests, 1));
}

/// Without costs and thresholds, sixteen skewed shards behave like the central queue.
#[test]
fn sharing_without_costs_comes_close_to_the_ideal_queue() {
    let requests = workload(Shape::Skew, 16, 0.7).draw(50_000, 5);
    let policy = Policy {
        push: Push::Time(0),
        search: Search::Scan,
        serve: Some(Serve {
            grace: 0,
            shortest: US,
            longest: US,
        }),
        ..Policy::CHOSEN
    };
    let outcome = Engine::open(policy, Costs::FREE, 16, &requests, 7);
    let ratio = p99(outcome.latencies) as f64 / p99(ideal::latencies(&requests, 16)) as f64;
    assert!(ratio < 1.1, "{ratio}");
}

#[test]
fn every_request_is_answered_once_under_every_policy() {
    let last_runner = Policy {
        wake_to: WakeTo::LastRunner,
        moves: Moves::SameShard(2),
        ..Policy::CHOSEN
    };
    for policy in [
        Policy::NONE,
        Policy::STEAL,
        Policy::PUSH,
        Policy::BOTH,
        Policy::CHOSEN,
        last_runner,
    ] {
        for shape in [
            Shape::Even,
            Shape::Skew,
            Shape::Shift { every: MS },
            Shape::Mix,
        ] {
            for shards in [1, 2, 16] {
                let requests = workload(shape, shards, 0.7).draw(2_000, 9);
                let outcome = play(policy, shards, &requests);
                let measured = requests.iter().filter(|request| request.measured).count();
                assert_eq!(
                    outcome.latencies.len(),
                    measured,
                    "{policy:?} {shape:?} {shards}"
                );
                assert_eq!(outcome.requests, requests.len() as u64);
                let shortest = requests.iter().map(|request| request.service).min();
                assert!(outcome.latencies.iter().min() >= shortest.as_ref());
            }
        }
    }
}

#[test]
fn a_seed_plays_the_same_run_again() {
    let requests = workload(Shape::Skew, 8, 0.7).draw(5_000, 2);
    let [first, second] = [(); 2].map(|()| play(Policy::CHOSEN, 8, &requests));
    assert_eq!(first.latencies, second.latencies);
    assert_eq!(first.counts.searches, second.counts.searches);
}

#[test]
fn no_policy_means_no_sharing() {
    let requests = workload(Shape::Skew, 4, 0.5).draw(2_000, 2);
    let counts = play(Policy::NONE, 4, &requests).counts;
    assert_eq!((counts.stolen, counts.moves, counts.searches), (0, 0, 0));
    assert_eq!((counts.notifies, counts.served, counts.ticks), (0, 0, 0));
}

/// A request that reaches a shard in a poll of 20 ms waits for its end, unless a sibling serves the
/// shard.
#[test]
fn a_stuck_shard_is_served_by_a_sibling() {
    let requests = [request(0, 0, 20 * MS), request(MS, 2, 10 * US)];
    let light = |policy| play(policy, 2, &requests).latencies[0];
    let kept = Policy {
        serve: None,
        ..Policy::CHOSEN
    };
    assert!(
        light(kept) > 18 * MS,
        "its latency comes first or second: {}",
        light(kept)
    );
    let served = light(Policy::CHOSEN);
    // The longest period, the wake and its own time.
    assert!(served < 1_700 * US, "{served}");
}

/// If its own events wake a sibling before its timer ends, the next check must not be delayed.
#[test]
fn a_busy_watcher_still_finds_the_stuck_shards() {
    let requests = Workload {
        mean: 20 * US,
        ..workload(Shape::Mix, 64, 0.7)
    }
    .draw(50_000, 4);
    let latency = p99(play(Policy::CHOSEN, 64, &requests).latencies);
    assert!(latency < 2 * MS, "{latency}");
}

/// A thief does not take a task that another thief is about to run.
#[test]
fn a_task_is_not_stolen_over_and_over() {
    let requests = workload(Shape::Skew, 64, 0.7).draw(20_000, 4);
    let outcome = play(Policy::CHOSEN, 64, &requests);
    let each = outcome.counts.stolen as f64 / outcome.requests as f64;
    assert!(each < 3.0, "{each}");
}

#[test]
fn registrations_move_under_skew_and_rest_under_steady_load() {
    let requests = workload(Shape::Skew, 16, 0.7).draw(50_000, 4);
    let skewed = play(Policy::CHOSEN, 16, &requests).counts.moves;
    assert!(skewed > 50, "{skewed}");
    let load = ClosedLoop {
        connections: 64,
        service: Service::Exponential,
        mean: 100 * US,
        pause: MS,
        until: 500 * MS,
    };
    let moves = |moves| {
        let policy = Policy {
            moves,
            ..Policy::CHOSEN
        };
        Engine::closed(policy, Costs::DEFAULT, 16, &load, 7)
            .counts
            .moves
    };
    assert_eq!(moves(Policy::CHOSEN.moves), 0);
    assert!(moves(Moves::Away(1)) > 100, "{}", moves(Moves::Away(1)));
}

/// At most 1.25 times the p99 of the ideal queue: sixteen shards, 70% load, skewed.
#[test]
fn the_chosen_policy_reaches_its_target() {
    let requests = Workload {
        mean: 200 * US,
        ..workload(Shape::Skew, 16, 0.7)
    }
    .draw(100_000, 1);
    let mut latencies = play(Policy::CHOSEN, 16, &requests).latencies;
    latencies.drain(..10_000);
    let ratio = p99(latencies) as f64 / p99(ideal::latencies(&requests, 16)) as f64;
    assert!(ratio <= 1.25, "{ratio}");
}

#[test]
fn a_quantile_is_the_smallest_value_with_that_share_below_or_at_it() {
    let sorted: Vec<u64> = (1..=100).collect();
    assert_eq!(quantile(&sorted, 0.5), 50);
    assert_eq!(quantile(&sorted, 0.99), 99);
    assert_eq!(quantile(&sorted, 0.999), 100);
    assert_eq!(quantile(&[3], 0.5), 3);
}

#[test]
fn a_table_has_two_forms() {
    let mut table = Table::new("Times", &["run", "us"]);
    table.row(vec!["first".to_owned(), "1.5".to_owned()]);
    assert_eq!(table.text(), "Times\nrun     us\nfirst  1.5\n\n");
    assert_eq!(
        table.markdown(),
        "### Times\n\n| run | us |\n|---|---:|\n| first | 1.5 |\n\n"
    );
}
