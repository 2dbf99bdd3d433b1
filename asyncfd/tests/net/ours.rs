//! Our side.

pub(crate) mod side {
    pub(crate) use crate::common::run;
    pub(crate) use asyncfd::Interest;
    pub(crate) use asyncfd::net::{UdpSocket, UnixDatagram};
}

#[path = "cases/udp.rs"]
mod udp;
#[path = "cases/unix_datagram.rs"]
mod unix_datagram;
