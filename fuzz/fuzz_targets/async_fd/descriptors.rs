//! The descriptors of a program: the open file under each number, and its state in the kernel.

use std::cell::{OnceCell, RefCell};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{io, iter};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::PipeFlags;

use crate::step::{Half, Kind, Side};

/// There are few, so that programs reuse the same numbers.
const OPEN_MAX: usize = 6;

#[derive(Default)]
pub struct Descriptors {
    open: Vec<Open>,
    pairs: u32,
}

struct Open {
    fd: OwnedFd,
    pair: Pair,
}

/// The connection that a descriptor is an end of. An operation on one end affects both ends, and no
/// other connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(u32);

thread_local! {
    /// One for the whole process: each listener would leave its port behind for a while.
    static LISTENER: OnceCell<TcpListener> = const { OnceCell::new() };
}

impl Descriptors {
    pub fn pair(&mut self, kind: Kind) {
        if self.open.len() + 2 > OPEN_MAX {
            return;
        }
        let pair: [OwnedFd; 2] = match kind {
            Kind::Unix => UnixStream::pair().map(|(a, b)| [a.into(), b.into()]),
            Kind::Tcp => tcp_pair().map(|pair| pair.map(OwnedFd::from)),
            Kind::Pipe => rustix::pipe::pipe_with(PipeFlags::NONBLOCK)
                .map(|(a, b)| [a, b])
                .map_err(io::Error::from),
        }
        .expect("there are descriptors left");
        for fd in &pair {
            fcntl_setfl(fd, OFlags::NONBLOCK).expect("it is open");
        }
        self.pairs += 1;
        let pair = pair.map(|fd| Open {
            fd,
            pair: Pair(self.pairs),
        });
        self.open.extend(pair);
    }

    fn index(&self, which: u8) -> Option<usize> {
        usize::from(which).checked_rem(self.open.len())
    }

    /// Returns the number of a descriptor, and its pair.
    pub fn get(&self, which: u8) -> Option<(RawFd, Pair)> {
        let open = &self.open[self.index(which)?];
        Some((open.fd.as_raw_fd(), open.pair))
    }

    pub fn close(&mut self, which: u8) {
        if let Some(index) = self.index(which) {
            self.open.swap_remove(index);
        }
    }

    pub fn dup(&mut self, which: u8) {
        if let Some(index) = self.index(which).filter(|_| self.open.len() < OPEN_MAX) {
            let Open { fd, pair } = &self.open[index];
            let fd = fd.try_clone().expect("there are descriptors left");
            self.open.push(Open { fd, pair: *pair });
        }
    }

    pub fn dup2(&mut self, from: u8, to: u8) {
        if let (Some(from), Some(to)) = (self.index(from), self.index(to)) {
            if let Ok([from, to]) = self.open.get_disjoint_mut([from, to]) {
                rustix::io::dup2(&from.fd, &mut to.fd).expect("both are open");
                to.pair = from.pair;
            }
        }
    }

    pub fn shutdown(&self, which: u8, half: Half) {
        if let Some(index) = self.index(which) {
            let half = match half {
                Half::Read => rustix::net::Shutdown::Read,
                Half::Write => rustix::net::Shutdown::Write,
                Half::Both => rustix::net::Shutdown::Both,
            };
            // A pipe is not a socket, and a peer may be gone.
            let _ = rustix::net::shutdown(&self.open[index].fd, half);
        }
    }

    /// Returns the pair of the file that is open under a number.
    pub fn pair_of(&self, number: RawFd) -> Option<Pair> {
        let mut open = self.open.iter();
        Some(open.find(|open| open.fd.as_raw_fd() == number)?.pair)
    }

    fn at(&self, number: RawFd) -> &OwnedFd {
        let mut open = self.open.iter().map(|open| &open.fd);
        open.find(|fd| fd.as_raw_fd() == number)
            .expect("a registration that nobody betrayed has its descriptor")
    }

    /// Reads or writes once through a number.
    pub fn transfer(&self, number: RawFd, side: Side, len: u16) -> io::Result<usize> {
        transfer(self.at(number), side, len)
    }

    pub fn transfer_of(&self, which: u8, side: Side, len: u16) {
        if let Some(index) = self.index(which) {
            let _ = transfer(&self.open[index].fd, side, len);
        }
    }

    /// Reads or writes until no more bytes move.
    pub fn transfer_all(&self, which: u8, side: Side) {
        if let Some(index) = self.index(which) {
            let transfers = iter::from_fn(|| transfer(&self.open[index].fd, side, u16::MAX).ok());
            transfers.take_while(|bytes| *bytes > 0).for_each(drop);
        }
    }

    /// Returns poll(2)'s result for a number.
    pub fn kernel(&self, number: RawFd) -> PollFlags {
        let asked = PollFlags::IN | PollFlags::OUT | PollFlags::PRI | PollFlags::RDHUP;
        let mut fds = [PollFd::new(self.at(number), asked)];
        rustix::event::poll(&mut fds, Some(&Timespec::default())).expect("no signal comes");
        fds[0].revents()
    }
}

fn transfer(fd: &OwnedFd, side: Side, len: u16) -> io::Result<usize> {
    const BYTES: usize = u16::MAX as usize + 1;
    thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BYTES]));
    BUFFER.with_borrow_mut(|buffer| {
        let buffer = &mut buffer[..usize::from(len) + 1];
        match side {
            Side::Read => Ok(rustix::io::read(fd, buffer)?),
            Side::Write => Ok(rustix::io::write(fd, buffer)?),
        }
    })
}

/// Returns two ends that are reset when they close, and so do not stay in TIME_WAIT.
fn tcp_pair() -> io::Result<[TcpStream; 2]> {
    LISTENER.with(|listener| {
        let listener =
            listener.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("there is a loopback"));
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        for end in [&near, &far] {
            rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO))?;
        }
        Ok([near, far])
    })
}
