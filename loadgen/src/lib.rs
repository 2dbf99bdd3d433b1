//! A load generator for TCP services with very many connections. It runs on the sharded reactor
//! that it was written to measure.
//!
//! The program (`src/main.rs`) is [`cli::main`]. A run goes through four stages, each named after
//! its module:
//!
//! ```text
//!  main thread                     shard threads (-t), one Rc<Shard> each
//!  cli       flags
//!  session   limits, target, reactor
//!  coordinator                     supervisor  a tick every 10 ms: commands, silence, end
//!   spawns supervisors         ─▶    ramp        opens connections, replaces those that end
//!   waits for events           ◀─    dispatch    open loop: hands out scheduled requests
//!   Go                         ─▶    connection  a task each: Transport + Exchange
//!   CPU and memory, before and       counters    counters and histograms, plain fields
//!   after the measured part
//!   Close                      ─▶  results
//!  summary   warnings, exit code
//!  report    text, JSON, ...
//! ```
//!
//! Each folder imports from those below it, and no files import each other in a circle
//! (`tests/layout.rs`).
//!
//! | folder | holds |
//! |---|---|
//! | [`cli`] | the command line: flags, the config file, targets, completions |
//! | [`tools`] | calibrate, compare, merge, sweep |
//! | [`run`] | a run: its setup, plan and session, the main thread, and all that runs on a shard |
//! | [`report`] | the result as data, and its formats |
//! | [`measure`] | time, histograms, counters, the time series, thresholds, statistics |
#![forbid(unsafe_code)]

pub mod cli;
mod console;
pub mod exit_error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod measure;
pub mod report;
pub mod run;
pub mod tools;
