//! Measures how evenly each accept policy spreads connections: the largest number on one shard,
//! divided by an even share.
//!
//! ```console
//! $ cargo xtask imbalance [--shards N] [--connections N]
//! ```
//!
//! It starts a new server for each policy and each load, holds the connections, and reads the live
//! count of each shard (SIGUSR1). The loads are:
//!
//! - *even*: connections from ports that the kernel chooses.
//! - *one listener*: connections from addresses that the kernel's hash maps to the first shard's
//!   listener. They are found once, by trial. The hash uses the two addresses and a secret that
//!   lasts until the next boot, so each server listens on the same port.
//! - *long and short*: one connection that stays, then for each other shard one that closes before
//!   the next long one opens.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use server_demo::{AcceptPolicy, limits};
use socket2::{Domain, Socket, Type};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The longest time to wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server program, killed when dropped.
struct Server {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    addr: SocketAddr,
    shards: usize,
}

/// The counts of one shard: accepted, handed on, and live.
#[derive(Clone, Copy)]
struct Shard {
    live: u64,
    handed_on: u64,
}

impl Server {
    fn start(
        program: &str,
        policy: AcceptPolicy,
        shards: usize,
        listen: SocketAddr,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["echo", "--listen", &listen.to_string(), "--pin", "none"])
            .args(["--shards", &shards.to_string(), "--accept", policy.name()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let line = stdout.next().ok_or("the server did not start")??;
        let addr = line.strip_prefix("listening on ").ok_or("no address")?;
        Ok(Self {
            addr: addr.parse()?,
            child,
            stdout,
            shards,
        })
    }

    fn report(&mut self) -> Result<Vec<Shard>> {
        kill_process(Pid::from_child(&self.child), Signal::USR1)?;
        let heading = self.stdout.next().ok_or("no report")??;
        let mut shards = Vec::new();
        for _ in 0..self.shards {
            let line = self.stdout.next().ok_or("half a report")??;
            let field = |name: &str| -> Result<u64> {
                let end = heading.find(name).ok_or("no such column")? + name.len();
                let number = line[..end].split(' ').next_back().ok_or("an empty line")?;
                Ok(number.parse()?)
            };
            shards.push(Shard {
                live: field("live")?,
                handed_on: field("handed on")?,
            });
        }
        let _sums = self.stdout.next().ok_or("half a report")??;
        Ok(shards)
    }

    /// Waits until `connections` are live.
    fn holding(&mut self, connections: usize) -> Result<Vec<Shard>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let report = self.report()?;
            let live: u64 = report.iter().map(|shard| shard.live).sum();
            if live == connections as u64 {
                return Ok(report);
            }
            if Instant::now() > end {
                return Err(format!("{live} connections are live, and not {connections}").into());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects, from the given address if there is one. Closing sends a reset, so that the address is
/// free again at once.
fn connect(to: SocketAddr, from: Option<SocketAddrV4>) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    if let Some(from) = from {
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(from).into())?;
    }
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// One exchange, after which the server has placed the connection.
fn exchange(mut stream: &TcpStream) -> Result<()> {
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])?;
    Ok(())
}

/// Finds `wanted` addresses whose connections reach the first shard's listener.
fn addresses_of_one_listener(server: &mut Server, wanted: usize) -> Result<Vec<SocketAddrV4>> {
    let mut found = Vec::new();
    // Addresses of the loopback interface other than the usual one, and ports below the kernel's
    // ephemeral range.
    let hosts = (2..=254).map(|host| Ipv4Addr::new(127, 0, 0, host));
    for from in
        hosts.flat_map(|host| (10_000..10_250).map(move |port| SocketAddrV4::new(host, port)))
    {
        let Ok(stream) = connect(server.addr, Some(from)) else {
            continue;
        };
        exchange(&stream)?;
        if server.holding(1)?[0].live == 1 {
            found.push(from);
        }
        drop(stream);
        server.holding(0)?;
        if found.len() == wanted {
            return Ok(found);
        }
    }
    Err("too few addresses lead to the first listener".into())
}

#[derive(Clone, Copy)]
enum Load<'a> {
    Even,
    OneListener(&'a [SocketAddrV4]),
    LongAndShort,
}

/// Holds connections under a load and returns the counts of each shard.
fn hold(server: &mut Server, load: Load<'_>, connections: usize) -> Result<Vec<Shard>> {
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        let from = match load {
            Load::OneListener(addresses) => Some(addresses[number]),
            _ => None,
        };
        let stream = connect(server.addr, from)?;
        exchange(&stream)?;
        held.push(stream);
        if let Load::LongAndShort = load {
            let short: Vec<TcpStream> = (1..server.shards)
                .map(|_| connect(server.addr, None))
                .collect::<Result<_>>()?;
            for mut stream in short {
                // The server has freed the place by the time the end of the stream arrives.
                stream.shutdown(Shutdown::Write)?;
                stream.read_to_end(&mut Vec::new())?;
            }
        }
    }
    server.holding(connections)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments
        .next()
        .ok_or("usage: imbalance SERVER SHARDS CONNECTIONS")?;
    let shards: usize = arguments.next().ok_or("how many shards?")?.parse()?;
    let connections: usize = arguments.next().ok_or("how many connections?")?.parse()?;
    limits::raise_nofile()?;

    let mut probe = Server::start(
        &program,
        AcceptPolicy::ReusePort,
        shards,
        "127.0.0.1:0".parse()?,
    )?;
    let addr = probe.addr;
    let addresses = addresses_of_one_listener(&mut probe, connections)?;
    drop(probe);

    println!(
        "{connections} connections on {shards} shards: the most on a shard, over an even share (handed on)\n"
    );
    println!("| policy | even | one listener | long and short |\n|---|---|---|---|");
    for policy in AcceptPolicy::ALL {
        print!("| {policy} |");
        for load in [
            Load::Even,
            Load::OneListener(&addresses),
            Load::LongAndShort,
        ] {
            let mut server = Server::start(&program, policy, shards, addr)?;
            let held = hold(&mut server, load, connections)?;
            let most = held.iter().map(|shard| shard.live).max().unwrap_or(0);
            let handed_on: u64 = held.iter().map(|shard| shard.handed_on).sum();
            print!(
                " {:.2}",
                (most as f64) * (shards as f64) / (connections as f64)
            );
            if policy == AcceptPolicy::Hybrid {
                print!(" ({handed_on})");
            }
            print!(" |");
        }
        println!();
    }
    Ok(())
}
