//! TCP: the listener, the stream, the stream's halves, and the socket before it is either.

#![forbid(unsafe_code)]

mod listener;
mod socket;
mod stream;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::split::{half_io, split_halves};

pub use listener::{Incoming, TcpListener};
pub use socket::TcpSocket;
pub use stream::TcpStream;

split_halves!(TcpStream);
