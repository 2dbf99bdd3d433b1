//! tokio's side: a runtime with one worker, which drives its epoll in the background.

pub(crate) mod side {
    use std::future::Future;

    pub(crate) use ::tokio::io::Interest;
    pub(crate) use ::tokio::io::{
        AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy,
    };
    pub(crate) use ::tokio::net::{
        TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixSocket,
        UnixStream, lookup_host, unix, unix::pipe,
    };

    use crate::common::support::DEADLINE;

    /// Runs a case with a runtime around it.
    pub(crate) fn run<F, Fut>(case: F)
    where
        F: FnOnce() -> Fut + Send + Clone + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let runtime = ::tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(async { ::tokio::time::timeout(DEADLINE, case()).await })
            .expect("the case did not end in time");
    }
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
