//! Servers of Python: http.server, and the package websockets.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Check, Kind, Load, Site, start};
use crate::checks::report::Count;
use crate::programs::process;
use crate::programs::python;
use crate::programs::server::free_address;

const PYTHON: (&str, &str) = ("python3", "python3");

pub(super) fn kinds() -> [Kind; 3] {
    [
        Kind {
            name: "http.server",
            needs: &[PYTHON],
            start: start_http10,
            loads: http10(),
        },
        Kind {
            name: "http.server",
            needs: &[PYTHON],
            start: start_http11,
            loads: vec![
                Load::new("HTTP/1.1, closed loop", "http://{address}/file -c 4 -n 300")
                    .answered(300)
                    .check(Check::Is(Count::Established, 4)),
            ],
        },
        Kind {
            name: "websockets",
            needs: &[PYTHON],
            start: start_websockets,
            loads: websockets(),
        },
    ]
}

/// In HTTP/1.0 every answer is the last of its connection.
fn http10() -> Vec<Load> {
    let url = "http://{address}/file";
    vec![
        Load::new("HTTP/1.0, closed loop", format!("{url} -c 4 -n 200"))
            .answered(200)
            .check(Check::AtLeast(Count::ClosedByServer, 200)),
        Load::new("HTTP/1.0, open loop", format!("{url} -c 4 -n 100 -R 200")).answered(100),
    ]
}

/// The server records a line for each message. The first one of each connection is not measured.
fn websockets() -> Vec<Load> {
    vec![
        Load::new(
            "pipelined, two sizes",
            "ws://{address}/ -c 4 -P 4 -n 1000 --size 64:9,70k:1",
        )
        .answered(1000)
        .check(Check::Recorded("", 1004)),
        Load::new("open loop", "ws://{address}/ -c 4 -R 500 -n 500")
            .answered(500)
            .check(Check::Recorded("", 504)),
        // The server closes each connection after twenty messages.
        Load::new("connections that end", "ws://{address}/short -c 2 -n 200")
            .answered(200)
            .check(Check::AtLeast(Count::ClosedByServer, 9))
            .check(Check::Recorded("", 202)),
    ]
}

fn start_http10(folder: &Path) -> Result<Site> {
    let address = free_address()?;
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
    command.arg(make_pages(folder)?).arg(port(&address));
    start("python", folder, &address, &mut command)
}

fn start_http11(folder: &Path) -> Result<Site> {
    let address = free_address()?;
    let mut command = Command::new("python3");
    command.arg(process::source("checks/protocols/keep_alive.py"));
    command.arg(port(&address)).arg(make_pages(folder)?);
    start("python", folder, &address, &mut command)
}

fn start_websockets(folder: &Path) -> Result<Site> {
    let programs = python::environment("websockets", &[python::WEBSOCKETS])?;
    let address = free_address()?;
    let record = folder.join("messages");
    let mut command = python::script(&programs, "checks/protocols/websocket_echo.py");
    command.arg(port(&address)).arg(&record);
    let mut site = start("websockets", folder, &address, &mut command)?;
    site.record = Some(record);
    Ok(site)
}

fn make_pages(folder: &Path) -> Result<std::path::PathBuf> {
    let pages = folder.join("pages");
    fs::create_dir(&pages)?;
    fs::write(pages.join("file"), "hello")?;
    Ok(pages)
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}
