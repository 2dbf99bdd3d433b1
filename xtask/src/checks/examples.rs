//! `cargo xtask examples`: each example of asyncfd/examples/ with independent clients (nc, curl,
//! the standard library's sockets) and an independent web server (Python's). Every byte of their
//! output is compared, and each server exits cleanly at SIGTERM or SIGINT.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Arguments;
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::checks::trial;
use crate::programs::process::{self, Running, eventually, need};
use crate::programs::server::Server;

/// The longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest time for a server to end. It does not wait for idle clients.
const END: Duration = Duration::from_secs(4);

/// Runs the examples that the arguments of a test program choose.
///
/// # Errors
/// A program is missing, or the build fails.
pub(crate) fn run(build: bool, arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.list {
        for (program, package) in [
            ("nc", "netcat-openbsd"),
            ("curl", "curl"),
            ("python3", "python3"),
        ] {
            need(program, package)?;
        }
        if build {
            process::build(&["--package", "shard-asyncfd", "--examples"])?;
        }
    }
    let programs = std::path::absolute(process::target_folder().join("debug/examples"))?;
    let examples: [(&str, Body); 7] = [
        ("chat", chat),
        ("proxy", proxy),
        ("udp_echo", udp_echo),
        ("unix_service", unix_service),
        ("timeouts", timeouts),
        ("counters", counters),
        ("rebalance", rebalance),
    ];
    let trials = examples.into_iter().map(|(name, body)| {
        let programs = programs.clone();
        trial::new(name, move |folder| {
            let folder = folder.to_owned();
            body(&Case { programs, folder })
        })
    });
    Ok(libtest_mimic::run(arguments, trials.collect()).exit_code())
}

type Body = fn(&Case) -> Result<()>;

/// The programs under test, and a folder for the files of one case.
#[derive(Debug)]
struct Case {
    programs: PathBuf,
    folder: PathBuf,
}

impl Case {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts an example and waits until it listens.
    fn start(&self, example: &str, arguments: &[&str]) -> Result<Server> {
        let mut command = Command::new(self.programs.join(example));
        Server::start(example, &self.folder, command.args(arguments))
    }

    /// Runs nc, which sends `input`, closes its side, and prints the answer.
    fn nc(&self, target: &[&str], input: &str) -> Result<String> {
        let (from, to) = (self.file("nc.in"), self.file("nc.out"));
        fs::write(&from, input)?;
        let mut nc = Command::new("timeout");
        nc.args(["20", "nc", "-N"]).args(target);
        nc.stdin(fs::File::open(from)?)
            .stdout(fs::File::create(&to)?);
        ensure!(nc.status()?.success(), "nc failed");
        Ok(fs::read_to_string(to)?)
    }
}

fn connect(server: &Server) -> Result<TcpStream> {
    let stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn stop(server: Server, which: Signal) -> Result<()> {
    server.stop(which, END)
}

fn same(found: &str, expected: &str) -> Result<()> {
    ensure!(found == expected, "'{found}' came, and not '{expected}'");
    Ok(())
}

/// Reads a line with its end.
fn line(lines: &mut impl std::io::BufRead) -> Result<String> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    Ok(line)
}

fn chat(case: &Case) -> Result<()> {
    let server = case.start("chat", &["127.0.0.1:0"])?;
    // A member that uses nc, which sends the bytes of its standard input.
    let member = |name: &str| -> Result<_> {
        let mut nc = Command::new("nc");
        nc.args(["-v", "-N", "127.0.0.1", server.port()]);
        let (nc, input) = Running::start_with_input(name, &case.folder, &mut nc)?;
        eventually("a member connects", || Ok(nc.err().contains("succeeded")))?;
        Ok((nc, input, case.file(&format!("{name}.out"))))
    };
    let hears = |file: &Path, line: &str| {
        eventually(line, || {
            Ok(fs::read_to_string(file)?.lines().any(|heard| heard == line))
        })
    };
    let (_ann, mut to_ann, heard_by_ann) = member("ann")?;
    let (_bob, mut to_bob, heard_by_bob) = member("bob")?;
    hears(&heard_by_ann, "* 2 came")?;
    // One line in two pieces, and two lines in one piece.
    to_bob.write_all(b"hel")?;
    to_bob.write_all(b"lo\nagain\n")?;
    hears(&heard_by_ann, "2: again")?;
    to_ann.write_all(b"hi bob\n")?;
    hears(&heard_by_bob, "1: hi bob")?;
    drop(to_bob);
    hears(&heard_by_ann, "* 2 left")?;
    stop(server, Signal::TERM)?;
    let heard = fs::read_to_string(&heard_by_ann)?;
    same(&heard, "* 2 came\n2: hello\n2: again\n* 2 left\n")?;
    // A member does not receive its own lines.
    same(&fs::read_to_string(&heard_by_bob)?, "1: hi bob\n")?;

    let server = case.start("chat", &["127.0.0.1:0"])?;
    let deaf = small_receiver(&server)?;
    let mut listener = BufReader::new(connect(&server)?);
    // The third member joins last. If the others hear of it, they have joined too.
    let mut speaker = connect(&server)?;
    same(&line(&mut listener)?, "* 3 came\n")?;
    let said = "x".repeat(999);
    // A member that does not read is removed, and the others stay.
    for round in 0.. {
        ensure!(round < 20_000, "the deaf one is still there");
        speaker.write_all(format!("{said}\n").as_bytes())?;
        let mut heard = line(&mut listener)?;
        let left = heard == "* 1 left\n";
        if left {
            heard = line(&mut listener)?;
        }
        same(&heard, &format!("3: {said}\n"))?;
        if left {
            break;
        }
    }
    (&deaf).read_to_end(&mut Vec::new())?;
    stop(server, Signal::TERM)
}

/// Connects a client with a small receive buffer.
fn small_receiver(server: &Server) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    let address: SocketAddr = server.address().parse()?;
    socket.connect(&address.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

fn proxy(case: &Case) -> Result<()> {
    let pages = case.file("www");
    fs::create_dir(&pages)?;
    let mut large = vec![0; 3_000_000];
    fastrand::Rng::with_seed(1).fill(&mut large);
    fs::write(pages.join("large"), &large)?;
    let mut web = Command::new("python3");
    web.args([
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
    ]);
    let mut web = Running::start("web", &case.folder, web.arg(&pages))?;
    let said = web.says("Serving HTTP on 127.0.0.1 port ")?;
    let port = said.split_whitespace().next().context("a port")?;
    let server = case.start("proxy", &["127.0.0.1:0", &format!("localhost:{port}")])?;
    let url = format!("http://{}/large", server.address());
    let curl = || {
        let mut curl = Command::new("curl");
        curl.args(["--no-progress-meter", "--fail", "--max-time", "20"]);
        curl.stderr(Stdio::null());
        curl
    };
    let mut downloads = curl();
    downloads.args(["--parallel", "--parallel-max", "8"]);
    let files: Vec<_> = (1..=20)
        .map(|number| case.file(&format!("large.{number}")))
        .collect();
    for file in &files {
        downloads.arg("--output").arg(file).arg(&url);
    }
    ensure!(downloads.status()?.success(), "curl failed");
    for file in &files {
        ensure!(fs::read(file)? == large, "{} came changed", file.display());
    }
    // If an upstream is missing, only its own clients lose their connections.
    drop(web);
    let code = curl().arg(&url).stdout(Stdio::null()).status()?.code();
    // Code 28 is a timeout.
    ensure!(
        !matches!(code, None | Some(0 | 28)),
        "curl ended with {code:?} and no upstream"
    );
    stop(server, Signal::INT)?;

    // The proxy passes on the end of one direction: this upstream answers only after that end.
    let upstream = TcpListener::bind("127.0.0.1:0")?;
    let address = upstream.local_addr()?.to_string();
    let reversed = thread::spawn(move || -> std::io::Result<()> {
        let (mut client, _) = upstream.accept()?;
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes)?;
        bytes.reverse();
        client.write_all(&bytes)
    });
    let server = case.start("proxy", &["127.0.0.1:0", &address])?;
    same(&case.nc(&["127.0.0.1", server.port()], "olleh")?, "hello")?;
    reversed.join().ok().context("the upstream panicked")??;
    stop(server, Signal::TERM)
}

fn udp_echo(case: &Case) -> Result<()> {
    let server = case.start("udp_echo", &["127.0.0.1:0"])?;
    let address: SocketAddr = server.address().parse()?;
    let clients: Vec<_> = (0..3)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let mut random = fastrand::Rng::with_seed(1);
    let mut came = vec![0; 65_536];
    for round in 0..50 {
        for size in [0, 1, 1_472, 9_000 + round, 60_000] {
            let mut sent = vec![0; size];
            random.fill(&mut sent);
            for client in &clients {
                client.set_read_timeout(Some(PATIENCE))?;
                client.send_to(&sent, address)?;
                let (size, peer) = client.recv_from(&mut came)?;
                ensure!(peer == address, "an answer from {peer}");
                ensure!(
                    came[..size] == sent,
                    "{} bytes came back as {size}",
                    sent.len()
                );
            }
        }
    }
    stop(server, Signal::TERM)
}

fn unix_service(case: &Case) -> Result<()> {
    let path = case.file("service.sock");
    let path_text = path.to_str().context("a path in UTF-8")?;
    let server = case.start("unix_service", &[path_text])?;
    let nc = |input| case.nc(&["-U", path_text], input);
    same(
        &nc("ping\nwhat\nping\n")?,
        "pong\ncommands: ping, uptime, stats\npong\n",
    )?;
    let mut client = UnixStream::connect(&path)?;
    client.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(client.try_clone()?);
    for piece in ["pi", "ng\nupt", "ime\nstats\n"] {
        client.write_all(piece.as_bytes())?;
    }
    same(&line(&mut lines)?, "pong\n")?;
    let number = |text: &str| text.parse::<u64>().is_ok();
    let uptime = line(&mut lines)?;
    ensure!(
        uptime.strip_suffix(" s\n").is_some_and(number),
        "the uptime is '{uptime}'"
    );
    let stats = line(&mut lines)?;
    let words: Vec<_> = stats.trim_end().split(' ').collect();
    let shape = matches!(
        words[..],
        ["shard", "0:", a, "descriptors,", b, "tasks,", c, "polls"] if [a, b, c].into_iter().all(number)
    );
    ensure!(shape, "the statistics are '{stats}'");
    // A line without an end ends the connection.
    client.write_all(&[b'x'; 64])?;
    same(&line(&mut lines)?, "")?;
    // A killed server leaves its socket behind, and the next one takes it over. A clean exit
    // removes it.
    drop(server);
    ensure!(
        fs::metadata(&path)?.file_type().is_socket(),
        "nothing was left behind"
    );
    let server = case.start("unix_service", &[path_text])?;
    same(&nc("ping\n")?, "pong\n")?;
    stop(server, Signal::INT)?;
    ensure!(!path.exists(), "the socket is still there");
    Ok(())
}

fn timeouts(case: &Case) -> Result<()> {
    let server = case.start("timeouts", &["127.0.0.1:0", "1500"])?;
    let begun = Instant::now();
    let mut idle = connect(&server)?;
    idle.write_all(b"hello\n")?;
    let mut answer = String::new();
    idle.read_to_string(&mut answer)?;
    ensure!(
        begun.elapsed() >= Duration::from_millis(1_500),
        "the connection ended too early"
    );
    same(&answer, "hello\ntimeout\n")?;
    // A client that keeps sending is served for longer than the timeout.
    let mut busy = BufReader::new(connect(&server)?);
    for number in 1..=8 {
        let sent = format!("{number}\n");
        busy.get_mut().write_all(sent.as_bytes())?;
        same(&line(&mut busy)?, &sent)?;
        thread::sleep(Duration::from_millis(250));
    }
    busy.get_ref().shutdown(Shutdown::Write)?;
    same(&line(&mut busy)?, "")?;
    stop(server, Signal::TERM)
}

fn counters(case: &Case) -> Result<()> {
    let server = case.start("counters", &["127.0.0.1:0"])?;
    let clients: Vec<_> = (0..30).map(|_| connect(&server)).collect::<Result<_>>()?;
    for mut client in &clients {
        client.write_all(b"incr\nincr\nincr\nincr\nincr\n")?;
        client.shutdown(Shutdown::Write)?;
    }
    for client in clients {
        let answers = BufReader::new(client).lines().count();
        ensure!(answers == 5, "{answers} answers instead of five");
    }
    let total = case.nc(&["127.0.0.1", server.port()], "total\n")?;
    same(&total, "150\n")?;
    stop(server, Signal::INT)
}

fn rebalance(case: &Case) -> Result<()> {
    let server = case.start("rebalance", &["127.0.0.1:0", "3"])?;
    let clients: Vec<_> = (0..60).map(|_| connect(&server)).collect::<Result<_>>()?;
    let mut random = fastrand::Rng::with_seed(1);
    let begun = Instant::now();
    while !server.program().out().contains("[20, 20, 20]\n") {
        ensure!(begun.elapsed() < PATIENCE, "the shards are still uneven");
        // Two messages at once, so that one may arrive while its connection moves.
        let mut message = || {
            let mut message = vec![0; random.usize(1..=9_000)];
            random.fill(&mut message);
            message
        };
        let sent: Vec<_> = clients.iter().map(|_| [message(), message()]).collect();
        for index in 0..2 {
            for (mut client, messages) in clients.iter().zip(&sent) {
                client.write_all(&messages[index])?;
            }
        }
        for (mut client, messages) in clients.iter().zip(&sent) {
            let mut came = vec![0; messages.iter().map(Vec::len).sum()];
            client.read_exact(&mut came)?;
            ensure!(
                came == messages.concat(),
                "an answer of {} bytes came changed",
                came.len()
            );
        }
    }
    stop(server, Signal::TERM)
}
