//! The halves of [`UnixStream`].

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use reactor::{Interest, Ready};

use super::stream::UnixStream;
use crate::net::split::{delegate, half_io, split_halves};

split_halves!(UnixStream, SocketAddr);
