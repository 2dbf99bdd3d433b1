//! The server of `cargo xtask peers`: nginx, one process on one CPU, with one page of 1 KiB.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::measure::cpus::{pinned, under};
use crate::programs::process::{PATIENCE, Running, eventually};

/// Another program may take the port before nginx has it.
const ATTEMPTS: u32 = 20;

#[derive(Debug)]
pub(crate) struct Nginx {
    server: Running,
    pub(crate) address: String,
}

/// Starts nginx on a free port, and waits until it takes connections.
///
/// # Errors
/// It does not start.
pub(crate) fn start(folder: &Path, cpu: u32, http2: bool) -> Result<Nginx> {
    let pages = folder.join("www");
    fs::create_dir(&pages)?;
    fs::write(pages.join("index.html"), [b'x'; 1024])?;
    let configuration = folder.join("nginx.conf");
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        fs::write(&configuration, configured(folder, &address, http2))?;
        let mut command = under(&pinned(&cpu.to_string()), "nginx");
        command.arg("-c").arg(&configuration);
        let mut server = Running::start("nginx", folder, &mut command)?;
        let mut listens = false;
        eventually("nginx listens", || {
            listens = TcpStream::connect(&address).is_ok();
            Ok(listens || server.has_ended()?)
        })?;
        // A listener that another program has there does not count.
        if listens && !server.has_ended()? {
            return Ok(Nginx { server, address });
        }
        let log = fs::read_to_string(folder.join("nginx.log")).unwrap_or_default();
        last = server.err() + &log;
        thread::sleep(Duration::from_millis(100));
    }
    bail!("nginx does not start: {last}")
}

impl Nginx {
    /// # Errors
    /// It does not end, or has ended before.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.server.signal(Signal::TERM)?;
        self.server.succeeds(PATIENCE)
    }
}

fn configured(folder: &Path, address: &str, http2: bool) -> String {
    let protocol = if http2 { " http2" } else { "" };
    let folder = folder.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("\t{kind}_temp_path {folder}/{kind};\n"));
    format!(
        "daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 16384; }}
http {{
\taccess_log off;
\tkeepalive_requests 1000000000;
\tkeepalive_timeout 1h;
{}\tserver {{
\t\tlisten {address}{protocol} backlog=1024;
\t\troot {folder}/www;
\t}}
}}
",
        temporary.concat()
    )
}
