//! TCP: the listener, the stream, the stream's halves, and the socket before it is either.

#![forbid(unsafe_code)]

mod listener;
mod socket;
mod stream;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use reactor::{Interest, Ready};

use super::split::{delegate, half_io, split_halves};

pub use listener::{Incoming, TcpListener};
pub use socket::TcpSocket;
pub use stream::TcpStream;

split_halves!(TcpStream, SocketAddr);
