//! Unix sockets: the listener, the stream, and the stream's halves.

#![forbid(unsafe_code)]

mod listener;
mod stream;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::split::{half_io, split_halves};

pub use listener::UnixListener;
pub use stream::UnixStream;

split_halves!(UnixStream);
