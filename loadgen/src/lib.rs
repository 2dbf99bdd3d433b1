//! A load generator for TCP services with very many connections.
#![forbid(unsafe_code)]

pub mod args;
pub mod clock;
pub mod compare;
pub mod embedded;
pub mod exchange;
pub mod failure;
pub mod histogram;
pub mod payload;
pub mod report;
pub mod schedule;
pub mod server_side;
pub mod sources;
pub mod stats;
