//! Reports as HTML pages. Each is a single file that works without a network, with light and dark
//! colours, on a phone and on paper.
//!
//! [`run`] shows a run, [`comparison`] two contenders, and [`sweep`] a server under a rising rate.
//! Their parts are public, for the reports of other programs: [`Page`], [`Table`], [`ratios`],
//! [`percentiles`]. This module writes its own SVG plots, because plotting libraries fix the
//! colours, and these plots follow the reader's colour scheme. Tests: `html/tests.rs`; `cargo xtask
//! pages` opens them in a browser.

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
