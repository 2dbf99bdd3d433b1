//! The server of a calibration: it answers after known delays and keeps a record of its own.
//!
//! It shares nothing with what it checks: no reactor, no histogram, no clock of the generator's. A
//! connection has two blocking threads. One reads, also while the answers stall; the system stamps
//! each request as it arrives (`arrival.rs`); the other waits until an answer is due, stamps it and sends it. The
//! first request of a connection is answered at once and not recorded, since the generator does not
//! measure it either. `calibrate.rs` starts a round and takes the record when its connections have
//! closed. Tests: at the end of this file.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::arrival;
use crate::run::random::Random;

/// The longest time for the connections of a round to close once the generator is done.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// When answers are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Delays {
    /// So long after each request.
    Constant(PerConnection),
    /// The same, but what falls due within a stall waits for its end.
    Stall {
        /// After each request.
        delay: PerConnection,
        /// From the first request of the round to the stall.
        after: Duration,
        /// The length of the stall.
        length: Duration,
    },
    /// A least delay and an exponential one on top, up to a most.
    Exponential {
        least: Duration,
        mean: Duration,
        most: Duration,
    },
}

/// A delay that is constant on each connection and not the same on any two.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PerConnection {
    /// That of connection zero.
    pub(super) first: Duration,
    /// The additional delay of each further connection.
    pub(super) apart: Duration,
}

impl PerConnection {
    fn of(self, connection: u32) -> Duration {
        self.first + self.apart * connection
    }
}

impl Delays {
    /// When the answer to a request that arrived at `arrived` on this connection of the round is
    /// due; the load began at `began`.
    fn due(
        self,
        connection: u32,
        began: Instant,
        arrived: Instant,
        random: &mut Random,
    ) -> Instant {
        match self {
            Self::Constant(delay) => arrived + delay.of(connection),
            Self::Stall {
                delay,
                after,
                length,
            } => {
                let (due, from) = (arrived + delay.of(connection), began + after);
                if (from..from + length).contains(&due) {
                    from + length
                } else {
                    due
                }
            }
            Self::Exponential { least, mean, most } => {
                let delay = least + mean.mul_f64(-random.next_unit().ln());
                arrived + delay.min(most)
            }
        }
    }
}

/// The server's record of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply {
    /// When all of the request was there.
    pub(super) arrived: Instant,
    /// When its answer was given to the system.
    pub(super) replied: Instant,
}

/// The server; it lives as long as the process.
#[derive(Debug)]
pub(super) struct DelayServer {
    address: SocketAddr,
    round: Arc<Mutex<Arc<Round>>>,
    size: usize,
}

/// The state that the connections of one round share.
#[derive(Debug)]
struct Round {
    delays: Delays,
    /// Connections accepted so far.
    accepted: AtomicU32,
    began: OnceLock<Instant>,
    done: Sender<Vec<Reply>>,
}

/// The record of a round in the making.
#[derive(Debug)]
pub(super) struct Record {
    connections: usize,
    done: Receiver<Vec<Reply>>,
}

impl DelayServer {
    /// Serves requests of `size` bytes on a free port of the loopback interface.
    ///
    /// # Errors
    /// There is no port or no thread.
    pub(super) fn start(size: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (done, _) = mpsc::channel();
        let round = Arc::new(Mutex::new(Arc::new(Round {
            delays: Delays::Constant(PerConnection::default()),
            accepted: AtomicU32::new(0),
            began: OnceLock::new(),
            done,
        })));
        let current = Arc::clone(&round);
        thread::Builder::new()
            .name("delays".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    let round = Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner));
                    // A connection that fails leaves its record out, and the round finds that it is
                    // not whole.
                    let _ = stream.and_then(|stream| serve(stream, size, round));
                }
            })?;
        Ok(Self {
            address,
            round,
            size,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of a request.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Lets the next `connections` connections be answered after these delays.
    pub(super) fn begin(&self, delays: Delays, connections: usize) -> Record {
        let (sender, done) = mpsc::channel();
        *self.round.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Round {
            delays,
            accepted: AtomicU32::new(0),
            began: OnceLock::new(),
            done: sender,
        });
        Record { connections, done }
    }
}

impl Record {
    /// Waits until all connections of the round have closed; what was replied on each, in order.
    ///
    /// # Errors
    /// They did not all close in time, or one of them failed.
    pub(super) fn take(self) -> io::Result<Vec<Vec<Reply>>> {
        let deadline = Instant::now() + CLOSE_MAX;
        let mut all = Vec::new();
        for _ in 0..self.connections {
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
    let (sender, due) = mpsc::channel();
    let (reading, begun) = (stream.try_clone()?, Arc::clone(&round));
    let name = |what: &str| thread::Builder::new().name(format!("delays {what}"));
    name("in").spawn(move || read(reading, size, number, &begun, &sender))?;
    name("out").spawn(move || {
        if let Ok(record) = write(stream, &due) {
            // The round may have been given up.
            let _ = round.done.send(record);
        }
    })?;
    Ok(())
}

/// An answer to come.
struct Due {
    bytes: Vec<u8>,
    arrived: Instant,
    /// When; `None` for the first of a connection, which is not recorded.
    at: Option<Instant>,
}

fn read(mut stream: TcpStream, size: usize, connection: u32, round: &Round, answers: &Sender<Due>) {
    let mut random = Random::new(connection.into());
    let mut first = true;
    loop {
        // The end of the stream is the end of the round; anything else shows in what is missing.
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

fn write(mut stream: TcpStream, answers: &Receiver<Due>) -> io::Result<Vec<Reply>> {
    let mut record = Vec::new();
    for Due { bytes, arrived, at } in answers {
        if let Some(at) = at {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            let replied = Instant::now();
            record.push(Reply { arrived, replied });
        }
        stream.write_all(&bytes)?;
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_stall_holds_what_falls_due_in_it() {
        let (began, mut random) = (Instant::now(), Random::new(0));
        let delays = Delays::Stall {
            delay: PerConnection {
                first: 10 * MS,
                apart: MS,
            },
            after: 100 * MS,
            length: 50 * MS,
        };
        for (arrived, due) in [
            (0, 10),
            (89, 99),
            (90, 150),
            (120, 150),
            (140, 150),
            (145, 155),
        ] {
            assert_eq!(
                delays.due(0, began, began + arrived * MS, &mut random),
                began + due * MS,
                "arrived at {arrived} ms"
            );
        }
        let third = delays.due(2, began, began, &mut random);
        assert_eq!(third, began + 12 * MS);
    }

    #[test]
    fn a_distribution_keeps_to_its_bounds_and_mean() {
        let (began, mut random) = (Instant::now(), Random::new(1));
        let delays = Delays::Exponential {
            least: 10 * MS,
            mean: 5 * MS,
            most: 100 * MS,
        };
        let sample = |_| delays.due(0, began, began, &mut random) - began;
        let delays: Vec<Duration> = (0..10_000).map(sample).collect();
        let mean = delays.iter().sum::<Duration>() / 10_000;
        assert!((14_800..15_200).contains(&mean.as_micros()), "{mean:?}");
        assert!(
            delays
                .iter()
                .all(|delay| (10 * MS..=100 * MS).contains(delay))
        );
    }

    #[test]
    fn the_record_leaves_out_the_first_request_of_a_connection() {
        let server = DelayServer::start(4).expect("a server");
        let record = server.begin(
            Delays::Constant(PerConnection {
                first: 20 * MS,
                apart: MS,
            }),
            2,
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
            // The time that a client saw contains the time that the server held the request.
            assert!(
                held >= 20 * MS && took.iter().any(|took| *took >= held),
                "{held:?}"
            );
        }
    }
}
