//! The result of a run as plain data, and the formats that show it.
//!
//! [`Report`] is the JSON schema; `loadgen/docs/outputs.md` describes the formats. Depends on
//! `measure` alone. Tests: `report/tests.rs`.

mod build;
pub mod clocks;
pub mod comparison;
pub mod csv;
mod data;
pub(crate) mod gate;
pub mod hgrm;
pub mod hlog;
pub mod html;
pub mod json;
mod merge;
pub mod metrics;
pub mod output;
pub mod rate;
pub(crate) mod read;
pub(crate) mod series;
pub mod settings;
pub mod slo;
pub mod sweep;
pub(crate) mod sweep_table;
pub mod text;
pub mod threshold;
pub(crate) mod width;
mod wire;

pub use data::*;
pub use read::read;
pub use series::{Interval, TimeSeries};
pub use settings::{Machine, Settings, Target};

#[cfg(test)]
pub(crate) mod tests;
