//! The programs around a run: calibration, comparison, the sum of several processes, and the sweep
//! over rates.

pub mod calibrate;
pub mod compare;
pub mod merge;
pub mod sweep;
