//! Unix sockets: the listener, the stream, the stream's halves, and the datagram socket.

#![forbid(unsafe_code)]

mod datagram;
mod halves;
mod listener;
mod socket;
mod stream;
mod ucred;

pub use datagram::UnixDatagram;
pub use halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use listener::{Incoming, UnixListener};
pub use socket::UnixSocket;
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
pub use ucred::{UCred, gid_t, pid_t, uid_t};

pub use super::pipe;
