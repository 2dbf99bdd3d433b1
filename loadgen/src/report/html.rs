//! Reports as pages: one file each, that opens without a network, in light and in dark, on a phone
//! and on paper.
//!
//! [`run`] shows a run, [`comparison`] two contenders and [`sweep`] how a server bends under a
//! rising rate. Their parts are public, for other programs with reports to show:
//! [`Page`], [`Table`], [`ratios`], [`percentiles`]. Plots are SVG written here, rather than by a
//! plotting library, because those fix their colours while these follow the reader's scheme. Tests:
//! `html/tests.rs`; `cargo xtask pages` opens them in a browser.

mod axis;
mod chart;
mod comparison;
mod page;
mod percentiles;
mod run;
mod sweep;

pub use chart::{Ratio, Tone, ratios};
pub use comparison::comparison;
pub use page::{Page, Table, cards, details, escape, remarks};
pub use percentiles::percentiles;
pub use run::run;
pub use sweep::sweep;

#[cfg(test)]
mod tests;
