//! The server of a calibration: it answers after known delays and keeps a record of its own.
//!
//! It shares no code with the generator that it checks: no reactor, no histogram, no clock. A
//! connection has two blocking threads. One reads, even while the answers stall, and the system
//! stamps each request at its arrival (`arrival.rs`). The other waits until an answer is due,
//! stamps it and sends it. The first request of a connection is answered at once and not recorded,
//! because the generator does not measure it either. `calibrate.rs` starts a round, and takes the
//! record when its connections have closed. Tests: at the end of this file.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::arrival;
use super::delays::Delays;
use crate::run::random::Random;
use crate::run::template::INTENDED_LEN;

/// The longest time for the connections of a round to close after the generator is done.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// An interruption of the service, once in a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interruption {
    /// The time from the first request of the round to the interruption.
    pub(super) after: Duration,
    pub(super) kind: Kind,
}

/// A kind of interruption.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// The server stops for the rest of the round.
    Outage,
    /// The server stops, and starts again after this time.
    Restart(Duration),
    /// The server closes every connection after its requests are answered, and accepts new ones.
    Reload,
}

/// The server's record of one answered request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply {
    /// The intended time in the request, on the generator's clock.
    pub(super) intended: u64,
    /// The time at which the whole request had arrived.
    pub(super) arrived: Instant,
    /// The time at which its answer was written.
    pub(super) replied: Instant,
}

/// The server. It lives as long as the process.
#[derive(Debug)]
pub(super) struct DelayServer {
    address: SocketAddr,
    round: Arc<Mutex<Arc<Round>>>,
    listening: Arc<Listening>,
    size: usize,
}

/// The state of the listener: an interruption closes it, and the next round opens it.
#[derive(Debug)]
struct Listening {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Listening {
    fn set(&self, open: bool) {
        *self.open.lock() = open;
        self.changed.notify_all();
    }

    fn is_open(&self) -> bool {
        *self.open.lock()
    }

    fn wait_until(&self, open: bool) {
        let mut state = self.open.lock();
        self.changed.wait_while(&mut state, |state| *state != open);
    }
}

/// The state that the connections of one round share.
#[derive(Debug)]
struct Round {
    delays: Delays,
    /// The number of connections of the ramp. Their first requests are not recorded.
    connections: u32,
    /// The number of connections accepted so far.
    accepted: AtomicU32,
    began: OnceLock<Instant>,
    /// The open connections, for an interruption.
    streams: Mutex<Vec<TcpStream>>,
    done: Sender<Vec<Reply>>,
}

impl Round {
    fn new(delays: Delays, connections: u32, done: Sender<Vec<Reply>>) -> Self {
        Self {
            delays,
            connections,
            accepted: AtomicU32::new(0),
            began: OnceLock::new(),
            streams: Mutex::default(),
            done,
        }
    }

    /// Shuts all connections down.
    fn shut_down(&self, how: Shutdown) {
        let mut streams = self.streams.lock();
        for stream in streams.drain(..) {
            // The client may have closed it first.
            let _ = stream.shutdown(how);
        }
    }
}

/// A running round.
#[derive(Debug)]
pub(super) struct Record {
    round: Arc<Round>,
    done: Receiver<Vec<Reply>>,
}

impl DelayServer {
    /// Serves requests of `size` bytes on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port is free, or no thread can be started.
    pub(super) fn start(size: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (done, _) = mpsc::channel();
        let round = Round::new(Delays::default(), 0, done);
        let round = Arc::new(Mutex::new(Arc::new(round)));
        let listening = Arc::new(Listening {
            open: Mutex::new(true),
            changed: Condvar::new(),
        });
        let (current, open) = (Arc::clone(&round), Arc::clone(&listening));
        thread::Builder::new()
            .name("delays".to_owned())
            .spawn(move || {
                let mut listener = Some(listener);
                loop {
                    // If the port cannot be bound again, the client sees refused connections.
                    let bound = listener.take().or_else(|| TcpListener::bind(address).ok());
                    for stream in bound.iter().flat_map(TcpListener::incoming) {
                        if !open.is_open() {
                            break;
                        }
                        let round = Arc::clone(&current.lock());
                        // A connection that fails has no record, so the round finds the record
                        // incomplete.
                        let _ = stream.and_then(|stream| serve(stream, size, round));
                    }
                    drop(bound);
                    open.wait_until(true);
                }
            })?;
        Ok(Self {
            address,
            round,
            listening,
            size,
        })
    }

    /// Returns its address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the size of a request.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Begins a round: the server answers the next connections after these delays, and may
    /// interrupt them.
    pub(super) fn begin(
        &self,
        delays: Delays,
        connections: u32,
        interruption: Option<Interruption>,
    ) -> Record {
        let (sender, done) = mpsc::channel();
        let round = Arc::new(Round::new(delays, connections, sender));
        *self.round.lock() = Arc::clone(&round);
        self.listening.set(true);
        if let Some(interruption) = interruption {
            let (round, listening) = (Arc::downgrade(&round), Arc::clone(&self.listening));
            let address = self.address;
            thread::spawn(move || interrupt(interruption, &round, &listening, address));
        }
        Record { round, done }
    }
}

/// Interrupts a round at the right time, unless the round ends first.
fn interrupt(
    Interruption { after, kind }: Interruption,
    round: &Weak<Round>,
    listening: &Listening,
    address: SocketAddr,
) {
    let began = loop {
        match round.upgrade().map(|round| round.began.get().copied()) {
            None => return,
            Some(Some(began)) => break began,
            Some(None) => thread::sleep(Duration::from_millis(1)),
        }
    };
    thread::sleep((began + after).saturating_duration_since(Instant::now()));
    let Some(round) = round.upgrade() else { return };
    match kind {
        Kind::Reload => round.shut_down(Shutdown::Read),
        Kind::Outage | Kind::Restart(_) => {
            listening.set(false);
            // This connection wakes the accept loop, which then drops its listener.
            drop(TcpStream::connect(address));
            round.shut_down(Shutdown::Both);
        }
    }
    if let Kind::Restart(length) = kind {
        thread::sleep(length);
        listening.set(true);
    }
}

impl Record {
    /// Waits until all connections of the round have closed. Returns the replies on each, in order.
    ///
    /// # Errors
    /// Some did not close in time, or one of them failed.
    pub(super) fn take(self) -> io::Result<Vec<Vec<Reply>>> {
        let deadline = Instant::now() + CLOSE_MAX;
        let mut all = Vec::new();
        while all.len() < self.round.accepted.load(Ordering::Relaxed) as usize {
            let left = deadline.saturating_duration_since(Instant::now());
            let one = self.done.recv_timeout(left).map_err(|_| {
                io::Error::other("a connection of the calibration did not end as it should")
            })?;
            all.push(one);
        }
        Ok(all)
    }
}

/// Starts the two threads of a connection.
fn serve(stream: TcpStream, size: usize, round: Arc<Round>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    arrival::stamp(&stream)?;
    let number = round.accepted.fetch_add(1, Ordering::Relaxed);
    let clone = stream.try_clone()?;
    let mut streams = round.streams.lock();
    streams.push(clone);
    drop(streams);
    let (sender, due) = mpsc::channel();
    let (reading, begun) = (stream.try_clone()?, Arc::clone(&round));
    let name = |what: &str| thread::Builder::new().name(format!("delays {what}"));
    name("in").spawn(move || read(reading, size, number, &begun, &sender))?;
    name("out").spawn(move || {
        let record = write(&stream, &due);
        // The clone for an interruption would keep the connection open.
        let _ = stream.shutdown(Shutdown::Both);
        // The round may have been given up.
        let _ = round.done.send(record);
    })?;
    Ok(())
}

/// A pending answer.
struct Due {
    bytes: Vec<u8>,
    arrived: Instant,
    /// The arrival of the request; `None` for the first request of a connection, which is not
    /// recorded.
    at: Option<Instant>,
}

fn read(mut stream: TcpStream, size: usize, connection: u32, round: &Round, answers: &Sender<Due>) {
    let mut random = Random::new(connection.into());
    // The ramp sends one request on each of its connections.
    let mut first = connection < round.connections;
    loop {
        // The end of the stream ends the round. Any other error shows as missing answers.
        let Ok((bytes, arrived)) = arrival::read(&mut stream, size) else {
            return;
        };
        let at = (!std::mem::take(&mut first)).then(|| {
            let began = *round.began.get_or_init(|| arrived);
            round.delays.due(connection, began, arrived, &mut random)
        });
        if answers.send(Due { bytes, arrived, at }).is_err() {
            return;
        }
    }
}

/// Answers requests until they end or the connection is closed. Returns the record.
fn write(mut stream: &TcpStream, answers: &Receiver<Due>) -> Vec<Reply> {
    let mut record = Vec::new();
    for Due { bytes, arrived, at } in answers {
        let Some(at) = at else {
            if stream.write_all(&bytes).is_err() {
                break;
            }
            continue;
        };
        thread::sleep(at.saturating_duration_since(Instant::now()));
        let replied = Instant::now();
        if stream.write_all(&bytes).is_err() {
            break;
        }
        record.push(Reply {
            intended: intended(&bytes),
            arrived,
            replied,
        });
    }
    record
}

/// Reads the intended time at the beginning of a request; zero if it has none.
fn intended(request: &[u8]) -> u64 {
    let digits = request.get(..INTENDED_LEN).unwrap_or_default();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_record_leaves_out_the_first_request_of_a_connection() {
        let server = DelayServer::start(4).expect("a server");
        let record = server.begin(
            Delays {
                first: 20 * MS,
                apart: MS,
                ..Delays::default()
            },
            2,
            None,
        );
        let clients: Vec<_> = [1, 3]
            .into_iter()
            .map(|requests| {
                let address = server.address();
                thread::spawn(move || -> io::Result<Vec<Duration>> {
                    let mut stream = TcpStream::connect(address)?;
                    let mut took = Vec::new();
                    for _ in 0..requests {
                        let (began, mut answer) = (Instant::now(), [0; 4]);
                        stream.write_all(b"ping")?;
                        stream.read_exact(&mut answer)?;
                        assert_eq!(&answer, b"ping");
                        took.push(began.elapsed());
                    }
                    Ok(took)
                })
            })
            .collect();
        let took: Vec<_> = clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client").expect("answers"))
            .collect();
        let record = record.take().expect("both have closed");
        assert_eq!(record.concat().len(), 2);
        for reply in record.concat() {
            let held = reply.replied - reply.arrived;
            // The time that a client measures includes the time that the server held the request.
            assert!(
                held >= 20 * MS && took.iter().any(|took| *took >= held),
                "{held:?}"
            );
        }
    }
}
