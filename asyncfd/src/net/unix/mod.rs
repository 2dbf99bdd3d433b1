//! Unix sockets: the listener, the stream, the stream's halves, and the datagram socket.

#![forbid(unsafe_code)]

mod datagram;
mod listener;
mod socket;
mod stream;
mod ucred;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll};

use reactor::{Interest, Ready};

use super::split::{delegate, half_io, split_halves};

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use socket::UnixSocket;
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
pub use ucred::{UCred, gid_t, pid_t, uid_t};

pub use super::pipe;

split_halves!(UnixStream, SocketAddr);
