//! Echo server: a bare epoll loop, the least work that any reactor can do.
//!
//! One loop per thread, each with its own listener. A connection is its socket and, while the peer
//! does not read, the bytes that wait for it. The system calls are `recv` and `send`, as in all
//! servers here.
//!
//! `--trigger edge` (the default) registers edge-triggered, as mio does: a short read means
//! drained. `--trigger level` is simpler and makes the kernel check each socket once more per turn.
#![forbid(unsafe_code)]

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use benches::args::ServerArgs;
use benches::end::End;
use benches::{EVENTS_MAX, listen, sockets, threads};
use clap::{Parser, ValueEnum};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use server_demo::READ_BUFFER;
use slab::Slab;

/// Echo server on a bare epoll loop per thread.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// The registration mode of sockets.
    #[arg(long, value_enum, default_value = "edge")]
    trigger: Trigger,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Trigger {
    Edge,
    Level,
}

fn main() -> io::Result<()> {
    let Args { server, trigger } = Args::parse();
    listen::raise_descriptor_limit();
    let end = End::new()?;
    threads::start(&server, move |listener| Loop::new(listener, trigger)?.run())?;
    end.wait(server.until_eof);
    Ok(())
}

/// The listener's event; connections have their slab index.
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    /// Bytes read and not yet written. Not empty only while the socket is registered for output.
    rest: Vec<u8>,
}

struct Loop {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Slab<Connection>,
    scratch: Box<[u8]>,
    trigger: EventFlags,
}

impl Loop {
    fn new(listener: TcpListener, trigger: Trigger) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Always level-triggered: connections left in the backlog by one turn are reported in the
        // next.
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            listener,
            connections: Slab::new(),
            scratch: vec![0; READ_BUFFER].into_boxed_slice(),
            trigger: match trigger {
                Trigger::Edge => EventFlags::ET,
                Trigger::Level => EventFlags::empty(),
            },
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                let (token, flags) = (event.data.u64(), event.flags);
                if token == LISTENER {
                    self.accept()?;
                } else {
                    self.serve(token, flags);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _peer)) => {
                    if listen::set_up(&stream).is_err() {
                        continue; // Reset before it was served.
                    }
                    let entry = self.connections.vacant_entry();
                    let data = EventData::new_u64(entry.key() as u64);
                    epoll::add(&self.epoll, &stream, data, input(self.trigger))?;
                    entry.insert(Connection {
                        stream,
                        rest: Vec::new(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    eprintln!("warning: accept failed: {error}");
                    std::thread::sleep(Duration::from_millis(10));
                    return Ok(());
                }
            }
        }
    }

    /// A batch names each socket once, and a socket is closed only when its own event is handled.
    /// So a slab index that an accept in the same batch reuses has no event left there.
    fn serve(&mut self, token: u64, flags: EventFlags) {
        let Some(key) = usize::try_from(token)
            .ok()
            .filter(|key| self.connections.contains(*key))
        else {
            return;
        };
        let connection = &mut self.connections[key];
        let served = connection.echo(&mut self.scratch, flags, self.trigger);
        let kept = match served {
            Ok(Outcome::Waiting) => true,
            Ok(Outcome::Rearm) => {
                let direction = if connection.rest.is_empty() {
                    input(self.trigger)
                } else {
                    EventFlags::OUT | self.trigger
                };
                let data = EventData::new_u64(token);
                epoll::modify(&self.epoll, &connection.stream, data, direction).is_ok()
            }
            Ok(Outcome::Closed) | Err(_) => false,
        };
        if !kept {
            // Closing the socket removes it from the epoll set.
            self.connections.remove(key);
        }
    }
}

fn input(trigger: EventFlags) -> EventFlags {
    EventFlags::IN | EventFlags::RDHUP | trigger
}

enum Outcome {
    /// Drained; the registration stays as it is.
    Waiting,
    /// The socket must be watched for the other direction. Re-arming reports the current readiness.
    Rearm,
    Closed,
}

impl Connection {
    fn echo(
        &mut self,
        scratch: &mut [u8],
        flags: EventFlags,
        trigger: EventFlags,
    ) -> io::Result<Outcome> {
        if !self.rest.is_empty() {
            return self.flush();
        }
        // After a FIN that came with the data there is no other edge, so read on to the end.
        let last = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        loop {
            let n = match sockets::receive(&self.stream, scratch) {
                Ok(0) => return Ok(Outcome::Closed),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Outcome::Waiting);
                }
                Err(error) => return Err(error),
            };
            let sent = match sockets::send(&self.stream, &scratch[..n]) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            if sent < n {
                self.rest = scratch[sent..n].to_vec();
                return Ok(Outcome::Rearm);
            }
            if !last && (n < scratch.len() || !trigger.contains(EventFlags::ET)) {
                return Ok(Outcome::Waiting);
            }
        }
    }

    /// Writes the waiting bytes. While there are any, nothing is read, so a peer that does not read
    /// holds at most one scratch buffer's worth of memory.
    fn flush(&mut self) -> io::Result<Outcome> {
        match sockets::send(&self.stream, &self.rest) {
            Ok(sent) => {
                self.rest.drain(..sent);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.rest.is_empty() {
            self.rest = Vec::new();
            return Ok(Outcome::Rearm);
        }
        Ok(Outcome::Waiting)
    }
}
