//! A load generator for TCP services with very many connections, written on the sharded reactor it is there to measure.
//!
//! The program (`src/main.rs`) is [`cli::main`]. A run goes through four stages, each named after its module:
//!
//! ```text
//!  main thread                     shard threads (-t), one Rc<Shard> each
//!  run       arguments, limits,
//!            target, reactor
//!  conduct   spawns a supervisor ─▶ supervise   a tick every 10 ms: commands, silence, end
//!            waits for events    ◀─   ramp        opens connections, each served once; replaces those that end
//!            Go                  ─▶   dispatch    open loop: hands out scheduled requests
//!            CPU and memory at        connection  a task each: Transport + Exchange
//!            both ends of the         tally       counters and histograms, plain fields
//!            measured part
//!            Close               ─▶ results
//!  conclude  merge, warnings, exit code
//!  report    text, JSON
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`args`], `config`, [`completions`], [`cli`], [`run`], `session`, `target` | the command line, and a run from there to the exit code |
//! | `plan`, `control`, `conduct`, `conclude` | a run as data; how the threads speak; the main thread; the verdict |
//! | `shard`, `supervise`, `ramp`, `churn`, `dispatch`, `connection`, `backoff`, [`bad_client`], `link`, `news` | what runs on a shard |
//! | `transport`, `scratch`, [`sources`] | the three I/O surfaces, shared buffers, source addresses |
//! | [`exchange`], [`protocol`], [`payload`], [`sizes`], [`schedule`] | the conversation without I/O, what is said in it, verifiable bytes and how many, intended send times |
//! | [`clock`], [`histogram`], `tally`, `slices`, `series`, [`failure`] | time, latencies, counters, the time series, errors by kind |
//! | [`server_side`], [`embedded`] | CPU time and memory of a process; the server in a child process |
//! | [`slo`], [`sweep`], [`calibrate`] | thresholds on a report; the rate at which one breaks; the generator against a server with known delays |
//! | [`report`], [`compare`], [`merge`], [`stats`] | results, rendered; two contenders; several processes; the statistics |
//! | [`output`] | the files of `-o` |
#![forbid(unsafe_code)]

pub mod args;
mod backoff;
pub mod bad_client;
pub mod calibrate;
mod churn;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod completions;
mod conclude;
mod conduct;
mod config;
mod connection;
mod control;
mod cpu;
mod dispatch;
pub mod embedded;
pub mod exchange;
pub mod failure;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod histogram;
mod link;
pub mod merge;
mod news;
pub mod output;
pub mod payload;
mod plan;
mod progress;
pub mod protocol;
mod ramp;
pub mod report;
pub mod run;
pub mod schedule;
mod scratch;
mod series;
pub mod server_side;
mod session;
mod shard;
mod signals;
pub mod sizes;
mod slices;
pub mod slo;
pub mod sources;
pub mod stats;
mod supervise;
pub mod sweep;
mod tally;
mod target;
mod transport;
