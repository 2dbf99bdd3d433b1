//! Headless Chromium.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::programs::process::{self, Ended};

/// The longest time for a page.
const LIMIT: Duration = Duration::from_secs(90);

/// The colour scheme that a reader prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Dark,
    Light,
}

impl Scheme {
    /// Returns Chromium's number.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Dark => 0,
            Self::Light => 1,
        }
    }
}

/// Opens a page with a new profile.
///
/// # Errors
/// Chromium fails or takes too long.
pub(super) fn browse(
    folder: &Path,
    scheme: Scheme,
    width: u32,
    page: &Path,
    options: &[String],
) -> Result<Ended> {
    let profile = folder.join("profile");
    let _ = fs::remove_dir_all(&profile);
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    let scheme = scheme.number();
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    command.arg(format!("--window-size={width},3000"));
    command.args(options);
    command.arg(format!("file://{}", page.display()));
    process::run(folder, LIMIT, &[0], &mut command).context("Chromium did not open the page")
}
