//! A connection with TLS.
//!
//! The session of rustls is a state machine without I/O. This file moves its records through the
//! socket, with the surface `helpers`. A wait holds only the session's own buffers. Connecting
//! includes the handshake. Tests: `tests/tls.rs`.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use socket2::Socket;

use crate::run::plan::Plan;
use crate::run::scratch::Scratch;
use crate::run::transport::{Stream, Transport};

/// An encrypted connection.
#[derive(Debug)]
pub(crate) struct Encrypted<S> {
    stream: S,
    session: RefCell<ClientConnection>,
    /// The duration of the handshake.
    handshake: Duration,
}

/// The socket in the form that the session needs.
struct Io<'a, S>(&'a S);

impl<S: Stream> Read for Io<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl<S: Stream> Write for Io<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Stream> Encrypted<S> {
    /// Sends the waiting records.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            match session.write_tls(&mut Io(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads records. Zero bytes mean the end of the stream.
    fn poll_records(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match session.read_tls(&mut Io(&self.stream)) {
                Ok(bytes) => {
                    let wrong = |error| io::Error::new(ErrorKind::InvalidData, error);
                    session.process_new_packets().map_err(wrong)?;
                    return Poll::Ready(Ok(bytes));
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.session.borrow().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_records(cx)) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => {
                    // The alert tells the server why.
                    let _ = self.poll_flush(cx);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, scratch: &Scratch) -> Poll<io::Result<usize>> {
        loop {
            let plain = scratch.lend(|buffer| self.session.borrow_mut().reader().read(buffer));
            match plain {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The server ended the connection without a TLS close, as many servers do.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                plain => return Poll::Ready(plain),
            }
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_records(cx))?;
        }
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        scratch: &Scratch,
        fill: &impl Fn(&mut [u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        // Waiting records go first, so that the session holds at most one buffer of records.
        ready!(self.poll_flush(cx))?;
        let wrote = scratch.lend(|buffer| {
            let filled = fill(buffer);
            self.session.borrow_mut().writer().write(&buffer[..filled])
        })?;
        // The rest is sent by the next read or write.
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(wrote))
    }
}

impl<S: Stream> Transport for Encrypted<S> {
    async fn connect(socket: Socket, plan: &Plan) -> io::Result<Self> {
        let tls = plan.tls.as_ref().expect("the caller chose TLS");
        let session = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone())
            .map_err(io::Error::other)?;
        let mut encrypted = Self {
            stream: S::connect(socket, &plan.target).await?,
            session: RefCell::new(session),
            handshake: Duration::ZERO,
        };
        let connected = Instant::now();
        poll_fn(|cx| encrypted.poll_handshake(cx)).await?;
        encrypted.handshake = connected.elapsed();
        // A server without ALPN goes on with its only protocol.
        let http2 = tls.config.alpn_protocols.iter().any(|name| name == b"h2");
        if http2 && encrypted.session.borrow().alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the server does not offer HTTP/2 (ALPN)"));
        }
        Ok(encrypted)
    }

    fn handshake(&self) -> Option<Duration> {
        Some(self.handshake)
    }

    fn read(&self, scratch: &Scratch) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_read(cx, scratch))
    }

    fn write(
        &self,
        scratch: &Scratch,
        fill: impl Fn(&mut [u8]) -> usize,
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_write(cx, scratch, &fill))
    }
}
