//! The pages, and the loads that write them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Page;
use crate::programs::demo::run_load;

pub(super) fn all() -> [Page; 4] {
    let run = &["latency", "time", "errors", "run"];
    [
        Page {
            name: "open",
            plots: 3,
            sections: run,
            write: open,
        },
        Page {
            name: "failing",
            plots: 4,
            sections: run,
            write: failing,
        },
        Page {
            name: "comparison",
            plots: 3,
            sections: &["ratios", "latency", "rounds"],
            write: comparison,
        },
        Page {
            name: "sweep",
            plots: 2,
            sections: &["knee", "steps"],
            write: sweep,
        },
    ]
}

/// Runs a load that writes a page; its verdict does not matter here.
fn load(loadgen: &Path, folder: &Path, line: &str, page: &Path) -> Result<()> {
    let mut command = Command::new(loadgen);
    command.arg("-q").args(line.split_whitespace());
    run_load(folder, &[0, 1, 2, 3], command.arg("-o").arg(page))?;
    Ok(())
}

fn open(loadgen: &Path, folder: &Path, page: &Path) -> Result<()> {
    load(loadgen, folder, "-c 50 -d 2s --warmup 100ms -R 2k", page)
}

fn failing(loadgen: &Path, folder: &Path, page: &Path) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || fail_later(&listener));
    let line = format!("{address} -c 4 -d 3s --warmup 0s -R 200");
    load(loadgen, folder, &line, page)
}

/// An echo server that stops for a while, and later closes every connection.
fn fail_later(listener: &TcpListener) {
    let begun = Instant::now();
    let serve = move |mut client: TcpStream| -> std::io::Result<()> {
        let mut bytes = [0; 65_536];
        loop {
            let length = client.read(&mut bytes)?;
            let now = begun.elapsed().as_secs_f64();
            if length == 0 || now > 2.2 {
                return Ok(());
            }
            if now > 1.0 && now < 1.2 {
                thread::sleep(Duration::from_millis(400));
            }
            client.write_all(&bytes[..length])?;
        }
    };
    for client in listener.incoming().flatten() {
        thread::spawn(move || serve(client));
    }
}

fn comparison(loadgen: &Path, folder: &Path, page: &Path) -> Result<()> {
    let sides = ["a", "b"].map(|side| folder.join(format!("{side}.json")));
    for side in &sides {
        let mut rounds = String::new();
        for _ in 0..6 {
            let mut command = Command::new(loadgen);
            command.args(["-q", "-c", "10", "-n", "2000", "--format", "json"]);
            rounds += &run_load(folder, &[0], &mut command)?.out;
        }
        fs::write(side, rounds)?;
    }
    let mut command = Command::new(loadgen);
    command.arg("compare").args(sides).arg("-o").arg(page);
    run_load(folder, &[0], &mut command)?;
    Ok(())
}

/// Sweeps up to a rate that no machine sustains, and beyond it.
fn sweep(loadgen: &Path, folder: &Path, page: &Path) -> Result<()> {
    let line = "-c 20 --sweep 2k..32m*20 -d 300ms --warmup 50ms";
    load(loadgen, folder, line, page)
}
