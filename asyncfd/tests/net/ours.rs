//! This crate's side.

pub(crate) mod side {
    pub(crate) use crate::common::run;
    pub(crate) use asyncfd::Interest;
    pub(crate) use asyncfd::io::{BufReader, copy};
    pub(crate) use asyncfd::net::{
        TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixSocket,
        UnixStream, lookup_host, unix, unix::pipe,
    };
}

#[cfg(feature = "bytes")]
#[path = "cases/buf.rs"]
mod buf;
#[path = "cases/io.rs"]
mod io;
#[path = "cases/names.rs"]
mod names;
#[path = "cases/pipe.rs"]
mod pipe;
#[path = "cases/tcp.rs"]
mod tcp;
#[path = "cases/udp.rs"]
mod udp;
#[path = "cases/unix.rs"]
mod unix;
#[path = "cases/unix_datagram.rs"]
mod unix_datagram;
