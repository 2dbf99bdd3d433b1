//! Twelve kinds of attacker hold nine tenths of a server's connections. Honest clients beside them
//! are served without an error, and everything comes back afterwards.
//!
//! The test is a short form. The long form takes its size from the environment:
//!
//! ```text
//! ATTACK_CONNECTIONS=10000 ATTACK_SECONDS=60 \
//!     cargo test --release -p server-demo --test attackers -- --nocapture
//! ```
//!
//! It prints the honest clients' answer times without attackers and with them, and the rate at
//! which each kind attacks.

mod common;

use std::env;
use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use asyncfd::net::TcpStream;
use reactor::time::{sleep, timeout};
use reactor::{Pinning, Reactor};
use rustix::net::SendFlags;
use rustix::process::Signal;

use common::{DEADLINE, Demo, column, connect, eventually, round_trip};

/// The time between two requests of an honest client, for each honest client there is. All of them
/// together send 500 requests a second, or more if that would let the idle timeout end them.
const SPACING: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The steps a second of all attackers that pause between two steps. Each pauses as long as this
/// rate demands, and longer if its kind is a slow one. Kinds that stream have no pause, and the
/// test prints the sum of what all kinds did. Both sides run on one machine, and the attackers may
/// not take all of the honest clients' CPU. `ATTACK_RATE` sets another rate.
const ATTACK_RATE: usize = 20_000;

/// The longest time between two acts of an attacker; the idle timeout is longer.
const ATTACK_PAUSE_MAX: Duration = Duration::from_secs(1);

/// The bytes of an honest request.
const REQUEST: usize = 64;

/// The time within which nearly all honest requests must be answered, on a machine that does much
/// else. The figures of a quiet machine are in RELIABILITY.md.
const P99_MAX: Duration = Duration::from_secs(5);

/// The growth of the server's memory that the short form allows.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug)]
enum Attacker {
    /// Connects and sends nothing.
    Idle,
    /// Sends a byte at a time.
    Drips,
    /// Writes and never reads.
    NeverReads,
    /// Sends large pieces, and reads their echo one byte at a time.
    ReadsSlowly,
    /// Ends its own direction and does not read the answer.
    HalfCloses,
    /// Resets its connection with an answer on its way.
    Resets,
    /// Connects and closes at once.
    Closes,
    /// Sends random bytes in pieces of random size.
    Junk,
    /// Sends urgent data.
    Urgent,
    /// Streams without an end.
    Huge,
    /// Shuts its reading side and goes on writing.
    ShutsReading,
    /// Falls silent in the middle of a large request.
    Stops,
}

const KINDS: [Attacker; 12] = [
    Attacker::Idle,
    Attacker::Drips,
    Attacker::NeverReads,
    Attacker::ReadsSlowly,
    Attacker::HalfCloses,
    Attacker::Resets,
    Attacker::Closes,
    Attacker::Junk,
    Attacker::Urgent,
    Attacker::Huge,
    Attacker::ShutsReading,
    Attacker::Stops,
];

const PIECE: [u8; 16 * 1024] = [b'a'; 16 * 1024];

impl Attacker {
    /// Attacks over one connection, until the attack or the server ends it.
    async fn attack(self, field: &Field, mut random: u64) -> io::Result<()> {
        let stream = TcpStream::connect(field.server).await?;
        let acted = || field.acts[self as usize].fetch_add(1, SeqCst);
        let mut byte = [0];
        acted();
        match self {
            Self::Idle => {
                let _ = stream.closed().await?;
            }
            Self::Drips => loop {
                stream.write_all(b"x").await?;
                stream.read_exact(&mut byte).await?;
                acted();
                sleep(field.pause(100)).await;
            },
            Self::NeverReads => loop {
                stream.write_all(&PIECE).await?;
                acted();
            },
            Self::ReadsSlowly => loop {
                let write = stream.write(&PIECE);
                if let Ok(written) = timeout(field.pause(20), write).await {
                    written?;
                }
                if stream.read(&mut byte).await? == 0 {
                    break;
                }
                acted();
            },
            Self::HalfCloses => {
                stream.write_all(&PIECE).await?;
                stream.shutdown_std(Shutdown::Write)?;
                acted();
                sleep(Duration::from_secs(1)).await;
            }
            Self::Resets => {
                stream.write_all(&PIECE).await?;
                stream.set_zero_linger()?;
                acted();
            }
            Self::Closes => {}
            Self::Junk => {
                let mut answer = [0; 4096];
                loop {
                    random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
                    let bytes: Vec<u8> = (0..random >> 52)
                        .map(|index| (random >> (index % 56)).to_le_bytes()[0])
                        .collect();
                    stream.write_all(&bytes).await?;
                    stream.write_all(b"\0").await?;
                    if stream.read(&mut answer).await? == 0 {
                        break;
                    }
                    acted();
                    sleep(field.pause(5)).await;
                }
            }
            Self::Urgent => loop {
                for _ in 0..16 {
                    rustix::net::send(&stream, b"!", SendFlags::OOB)?;
                    acted();
                }
                sleep(field.pause(5)).await;
            },
            Self::Huge => {
                let mut answer = vec![0; PIECE.len()];
                loop {
                    stream.write_all(&PIECE).await?;
                    stream.read_exact(&mut answer).await?;
                    acted();
                }
            }
            Self::ShutsReading => {
                stream.shutdown_std(Shutdown::Read)?;
                loop {
                    stream.write_all(&PIECE[..512]).await?;
                    acted();
                    sleep(field.pause(10)).await;
                }
            }
            Self::Stops => {
                stream.write_all(&PIECE[..10_000]).await?;
                acted();
                let _ = stream.closed().await?;
            }
        }
        Ok(())
    }
}

/// The state that all clients share.
struct Field {
    server: SocketAddr,
    is_over: AtomicBool,
    /// The time between two acts of an attacker.
    pause: Duration,
    /// The connections that attackers of each kind have used, and what they did.
    lives: [AtomicU64; KINDS.len()],
    acts: [AtomicU64; KINDS.len()],
    /// The answer times of the honest clients.
    answers: Mutex<Vec<Duration>>,
}

impl Field {
    /// Returns the time between two acts of an attacker whose kind waits at least so long.
    fn pause(&self, millis: u64) -> Duration {
        Duration::from_millis(millis)
            .max(self.pause)
            .min(ATTACK_PAUSE_MAX)
    }
}

/// Attacks again and again, until it is aborted.
async fn attacker(field: Arc<Field>, number: usize) {
    let kind = KINDS[number % KINDS.len()];
    loop {
        field.lives[kind as usize].fetch_add(1, SeqCst);
        // The server or the attack itself has ended the connection.
        let _ = kind.attack(&field, number as u64 + 1).await;
        // A machine has a limited number of ports, and a closed connection keeps one for a minute.
        sleep(field.pause(300)).await;
    }
}

/// Sends requests and checks each answer. Returns the first failure: a panic prints a backtrace,
/// and that would keep this thread from the other clients.
async fn honest(field: Arc<Field>, number: usize, clients: usize) -> Result<(), String> {
    let connected = TcpStream::connect(field.server).await;
    let stream = connected.map_err(|error| format!("client {number} connects: {error}"))?;
    let mut answer = [0; REQUEST];
    let mut message = 0;
    let pause = PAUSE_MAX.min(SPACING * u32::try_from(clients).unwrap());
    // Not all at the same time.
    sleep(pause.mul_f64(number as f64 / clients as f64)).await;
    let mut last = Instant::now();
    while !field.is_over.load(SeqCst) {
        let request = common::payload(number, message, REQUEST);
        let sent = Instant::now();
        let exchange = async {
            stream.write_all(&request).await?;
            stream.read_exact(&mut answer).await.map(drop)
        };
        let failure = match timeout(DEADLINE, exchange).await {
            Ok(Ok(())) if request == answer => None,
            Ok(Ok(())) => Some("another answer".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer".to_owned()),
        };
        if let Some(failure) = failure {
            let idle = sent - last;
            return Err(format!(
                "client {number}, message {message}, idle for {idle:?}: {failure}"
            ));
        }
        last = Instant::now();
        field.answers.lock().unwrap().push(last - sent);
        message += 1;
        sleep(pause).await;
    }
    Ok(())
}

/// The answer times of honest clients, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn quantile(&self, of_thousand: usize) -> Duration {
        self.0[(self.0.len() - 1) * of_thousand / 1000]
    }

    fn print(&self, when: &str) {
        println!(
            "{when}: {} requests, p50 {:?}, p99 {:?}, most {:?}",
            self.0.len(),
            self.quantile(500),
            self.quantile(990),
            self.quantile(1000)
        );
    }
}

/// Runs honest clients and attackers for some time. Returns the honest clients' answer times, and
/// the connections and the acts of the attackers of each kind.
fn play(
    server: SocketAddr,
    clients: usize,
    attackers: usize,
    time: Duration,
) -> (Times, [(u64, u64); KINDS.len()]) {
    let reactor = || {
        let builder = Reactor::builder().shards(1).pinning(Pinning::None);
        builder.build().unwrap()
    };
    let (good, bad) = (reactor(), reactor());
    let rate = number("ATTACK_RATE", ATTACK_RATE);
    let field = Arc::new(Field {
        server,
        is_over: AtomicBool::new(false),
        pause: Duration::from_secs_f64(attackers as f64 / rate as f64),
        lives: [const { AtomicU64::new(0) }; KINDS.len()],
        acts: [const { AtomicU64::new(0) }; KINDS.len()],
        answers: Mutex::default(),
    });
    let attacks: Vec<_> = (0..attackers)
        .map(|number| bad.spawn(attacker(Arc::clone(&field), number)))
        .collect();
    let honest: Vec<_> = (0..clients)
        .map(|number| good.spawn(honest(Arc::clone(&field), number, clients)))
        .collect();
    std::thread::sleep(time);
    field.is_over.store(true, SeqCst);
    let ends = honest
        .into_iter()
        .map(|client| good.block_on(client).unwrap());
    let failures: Vec<_> = ends.filter_map(Result::err).collect();
    assert!(
        failures.is_empty(),
        "{} of {clients} honest clients failed, such as: {:#?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    attacks.iter().for_each(reactor::JoinHandle::abort);
    for attack in attacks {
        assert!(bad.block_on(attack).unwrap_err().is_cancelled());
    }
    let mut answers = std::mem::take(&mut *field.answers.lock().unwrap());
    answers.sort_unstable();
    let count = |kind: usize| {
        (
            field.lives[kind].load(SeqCst),
            field.acts[kind].load(SeqCst),
        )
    };
    (Times(answers), std::array::from_fn(count))
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Returns the server's private memory.
fn memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

fn number(name: &str, usual: usize) -> usize {
    env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

#[test]
fn honest_clients_are_served_beside_twelve_kinds_of_attacker() {
    let connections = number("ATTACK_CONNECTIONS", 240);
    let time = Duration::from_secs(number("ATTACK_SECONDS", 3) as u64);
    let honest = connections / 10;
    let attackers = connections - honest;
    let mut demo = Demo::start(&[
        "--listen",
        "127.0.0.1:0",
        "--shards",
        "2",
        "--idle-timeout",
        if connections <= 240 { "2s" } else { "5s" },
        "--write-timeout",
        "1s",
    ]);
    let server = demo.addr();
    round_trip(&mut connect(server), 0, 0, REQUEST);
    assert!(eventually(|| descriptors(demo.pid()) > 0));
    let (alone, _) = play(server, honest, 0, time / 2);
    alone.print("honest clients alone");
    assert!(eventually(|| memory_kib(demo.pid()) > 0));
    std::thread::sleep(Duration::from_millis(100));
    let (open, memory) = (descriptors(demo.pid()), memory_kib(demo.pid()));

    let (beside, attacks) = play(server, honest, attackers, time);
    beside.print("beside the attackers");
    let times = |quantile| {
        beside
            .quantile(quantile)
            .div_duration_f64(alone.quantile(quantile))
    };
    println!(
        "with attackers / alone: p50 {:.1}, p99 {:.1}",
        times(500),
        times(990)
    );
    let mut total = 0;
    for (kind, (lives, acts)) in KINDS.iter().zip(attacks) {
        println!("{kind:?}: {lives} connections, {acts} acts");
        assert!(lives > 0 && acts > 0, "{kind:?} attacks");
        total += acts;
    }
    let rate = total as f64 / time.as_secs_f64();
    println!(
        "{attackers} attackers: {rate:.0} acts a second, {:.1} of each",
        rate / attackers as f64
    );
    assert!(
        beside.quantile(990) < P99_MAX,
        "p99 {:?}",
        beside.quantile(990)
    );

    // The last attackers are cut off by the timeouts.
    let all_gone = eventually(|| descriptors(demo.pid()) <= open);
    assert!(
        all_gone,
        "{} descriptors, {open} before",
        descriptors(demo.pid())
    );
    let after = memory_kib(demo.pid());
    println!("{open} descriptors again; {memory} KiB before, {after} KiB after");
    if connections <= 240 {
        assert!(
            after < memory + GROWTH_MAX_KIB,
            "{memory} KiB before, {after} after"
        );
    }
    round_trip(&mut connect(server), 1, 0, REQUEST);
    demo.signal(Signal::TERM);
    assert!(demo.wait().success());
    // It is the server's limits that end the attacks.
    let summary = demo.rest_of_stdout();
    println!("{summary}");
    for limit in ["idle", "unread"] {
        assert!(
            column(&summary, limit) > 0,
            "no connection was ended as {limit}"
        );
    }
}
