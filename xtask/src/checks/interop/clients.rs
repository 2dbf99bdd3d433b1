//! curl and h2load.

use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::programs::process::{self, PATIENCE, Running};

/// The longest time for one client.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn curl_command() -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--noproxy", "*", "--max-time", "30"]);
    command
}

/// Returns the body that curl gets.
///
/// # Errors
/// It fails.
pub(super) fn curl(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = curl_command();
    Ok(process::run(folder, LIMIT, &[0], command.args(arguments))?.out)
}

/// Makes 5,000 requests by eight clients of h2load, all of which succeed.
///
/// # Errors
/// Some do not.
pub(super) fn h2load(folder: &Path, options: &[&str], url: &str) -> Result<()> {
    let mut command = Command::new("h2load");
    command.args(options);
    command.args(["--requests=5000", "--clients=8", url]);
    let said = process::run(folder, LIMIT, &[0], &mut command)?.out;
    ensure!(
        said.contains("status codes: 5000 2xx"),
        "h2load did not get 5,000 answers"
    );
    Ok(())
}

/// Sends one half of a body, lets the event happen, and sends the other half. The client gets both
/// back.
///
/// # Errors
/// It gets something else.
pub(super) fn answers_whole(
    client: &mut Running,
    mut body: ChildStdin,
    event: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // The request has to reach the server before the event, and the event before the rest.
    let pause = || std::thread::sleep(Duration::from_millis(500));
    body.write_all(b"before ")?;
    pause();
    event()?;
    pause();
    body.write_all(b"after")?;
    drop(body);
    client.succeeds(PATIENCE)?;
    let answer = client.out();
    ensure!(answer == "before after", "the answer was cut: '{answer}'");
    Ok(())
}
