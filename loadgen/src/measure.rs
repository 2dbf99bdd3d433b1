//! The measuring core: time, histograms, counters, the time series and statistics.

pub mod clock;
pub(crate) mod counters;
pub(crate) mod cpu;
pub mod failure;
pub mod histogram;
pub(crate) mod series;
pub mod server_side;
pub(crate) mod slices;
pub mod stats;
pub mod units;
