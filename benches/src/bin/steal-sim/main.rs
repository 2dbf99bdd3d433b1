//! Simulates policies for sharing work between shards, and compares them with one ideal central
//! queue.
//!
//! The tables behind `benches/docs/stealing-policy.md`. The model has arrivals, service times, the
//! costs of a wake, of a search and of a steal, and the turn of a shard. It has no caches, no
//! network and no other process: every shard has its own CPU. `workload.rs` draws the requests,
//! `engine.rs` simulates the shards, `balance.rs` and `policy.rs` have the decisions, `costs.rs`
//! the costs, `ideal.rs` the central queue, `tables.rs` the runs, and `table.rs` prints them. The
//! same seed gives the same table. Tests: `tests.rs`.
#![forbid(unsafe_code)]

use clap::{Parser, ValueEnum};

mod balance;
mod costs;
mod engine;
mod ideal;
mod policy;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod workload;

use tables::Runs;

/// Simulates policies for sharing work between shards.
#[derive(Parser)]
struct Args {
    /// Tables to print; all of them without this flag
    #[arg(value_enum)]
    tables: Vec<Table>,

    /// Requests of each run
    #[arg(long, default_value_t = 200_000)]
    requests: usize,

    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print Markdown
    #[arg(long)]
    markdown: bool,
}

/// A set of runs that compares one aspect of the policies.
#[derive(Clone, Copy, ValueEnum)]
enum Table {
    /// Compares policies with and without each part.
    Policies,
    /// Compares the conditions on which a loaded shard wakes a sibling.
    Push,
    /// Compares the amounts that one steal takes, and the numbers of shards that search at once.
    Search,
    /// Compares the shard that a woken task goes to, and the time at which a registration moves.
    Moves,
    /// Varies the time that a sibling is stuck before others serve its epoll.
    Serve,
    /// Tests the chosen policy with different costs of a wake.
    Wake,
    /// Tests the chosen policy with every number of shards and every load.
    Chosen,
    /// Measures the cost for steady connections.
    Steady,
    /// Varies the latest start of sharing.
    Caution,
}

fn main() {
    let args = Args::parse();
    let runs = Runs {
        requests: args.requests,
        seed: args.seed,
    };
    let asked = if args.tables.is_empty() {
        Table::value_variants()
    } else {
        &args.tables
    };
    for table in asked {
        let table = match table {
            Table::Policies => runs.policies(),
            Table::Push => runs.push(),
            Table::Search => runs.search(),
            Table::Moves => runs.moves(),
            Table::Serve => runs.serve(),
            Table::Wake => runs.wake(),
            Table::Chosen => runs.chosen(),
            Table::Steady => runs.steady(),
            Table::Caution => runs.caution(),
        };
        print!(
            "{}",
            if args.markdown {
                table.markdown()
            } else {
                table.text()
            }
        );
    }
}
