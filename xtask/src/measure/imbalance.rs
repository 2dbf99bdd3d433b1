//! `cargo xtask imbalance`: how evenly each accept policy of server-demo spreads connections over
//! shards, under an even load and under uneven ones. It prints the table of ARCHITECTURE.md;
//! server-demo/examples/imbalance.rs describes the loads.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::programs::process;

#[derive(Debug, Args)]
pub(crate) struct Imbalance {
    /// Shards of the server
    #[arg(long, value_name = "N", default_value_t = 4)]
    shards: u32,
    /// Connections to hold
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: u32,
}

impl Imbalance {
    /// # Errors
    /// The measurement failed, or took more than three minutes.
    pub(crate) fn run(self) -> Result<()> {
        let package = ["--package", "server-demo"];
        process::build(
            &[
                &package[..],
                &["--bin", "server-demo", "--example", "imbalance"],
            ]
            .concat(),
        )?;
        let built = process::target_folder().join("debug");
        let mut measure = Command::new("timeout");
        measure.args(["--kill-after=5", "180"]);
        measure
            .arg(built.join("examples/imbalance"))
            .arg(built.join("server-demo"));
        measure.args([self.shards.to_string(), self.connections.to_string()]);
        anyhow::ensure!(measure.status()?.success(), "the measurement failed");
        Ok(())
    }
}
