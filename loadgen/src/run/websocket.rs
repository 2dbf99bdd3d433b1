//! WebSocket: each request is one binary message with unique bytes, and the server sends the same
//! messages back in order.
//!
//! `tungstenite` does the opening handshake, the frames and the answers to pings. Here it works on
//! a [`Pipe`] instead of a socket. Only with the feature `websocket`. Tests: `tests/websocket.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr as _;

use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::client::{ClientHandshake, Request};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::{Message, WebSocket};

use crate::measure::clock::{Nanos, Stamp};
use crate::run::dialogue::Dialogue;
use crate::run::payload::Payload;
use crate::run::pipe::Pipe;
use crate::run::protocol::{ProtocolSpec, Upgrade, Verdict, Wrong};

/// One connection of the WebSocket echo.
pub(crate) struct WebSocketEcho {
    state: State,
    payload: Payload,
    verify: bool,
    planned: u64,
    /// The number of requests given to the WebSocket.
    sent: u64,
    answered: u64,
    in_flight: VecDeque<Stamp>,
    /// True if the server announced a close.
    over: bool,
    /// The last received bytes.
    received: usize,
}

enum State {
    Opening(Box<MidHandshake<ClientHandshake<Pipe>>>),
    Open(Box<WebSocket<Pipe>>),
    /// The handshake failed, and nothing else is sent.
    Failed,
}

impl fmt::Debug for WebSocketEcho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketEcho")
            .field("open", &matches!(self.state, State::Open(_)))
            .field("planned", &self.planned)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

/// Builds the request that opens a WebSocket.
///
/// # Errors
/// The address or a field is not valid. The text says which.
pub(crate) fn request(upgrade: &Upgrade) -> Result<Request, String> {
    let url = &upgrade.url;
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| format!("{url}: {error}"))?;
    for (name, value) in &upgrade.fields {
        let wrong = || format!("-H {name}: this is no field");
        let field = HeaderName::from_str(name).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        request.headers_mut().insert(field, value);
    }
    Ok(request)
}

impl WebSocketEcho {
    fn pipe(&self) -> Option<&Pipe> {
        match &self.state {
            State::Opening(handshake) => Some(handshake.get_ref().get_ref()),
            State::Open(socket) => Some(socket.get_ref()),
            State::Failed => None,
        }
    }

    fn pipe_mut(&mut self) -> Option<&mut Pipe> {
        match &mut self.state {
            State::Opening(handshake) => Some(handshake.get_mut().get_mut()),
            State::Open(socket) => Some(socket.get_mut()),
            State::Failed => None,
        }
    }

    fn malformed(&self, error: impl fmt::Display) -> Box<Wrong> {
        Box::new(Wrong::Malformed {
            request: self.answered,
            why: format!("WebSocket: {error}").into(),
        })
    }

    /// Continues the handshake.
    fn open(&mut self) -> Result<(), Box<Wrong>> {
        let State::Opening(handshake) = std::mem::replace(&mut self.state, State::Failed) else {
            unreachable!("the caller knows the state")
        };
        match handshake.handshake() {
            Ok((socket, _)) => self.state = State::Open(Box::new(socket)),
            Err(HandshakeError::Interrupted(handshake)) => {
                self.state = State::Opening(Box::new(handshake));
            }
            Err(HandshakeError::Failure(error)) => return Err(self.malformed(error)),
        }
        Ok(())
    }

    /// Gives the planned requests to the WebSocket after it has opened.
    fn send(&mut self) {
        let State::Open(socket) = &mut self.state else {
            return;
        };
        while self.sent < self.planned {
            let mut bytes = vec![0; self.payload.size(self.sent)];
            self.payload.fill(self.sent, 0, &mut bytes);
            self.sent += 1;
            // A pipe takes all bytes. A closed WebSocket sends nothing, and the next connection
            // sends its requests.
            if socket.send(Message::Binary(bytes.into())).is_err() {
                return;
            }
        }
    }

    /// Compares a message with the oldest request.
    fn take(&mut self, message: &[u8]) -> Result<Stamp, Box<Wrong>> {
        let request = self.answered;
        let Some(stamp) = self.in_flight.pop_front() else {
            return Err(Wrong::unasked(message));
        };
        let size = self.payload.size(request);
        if message.len() != size {
            self.in_flight.push_front(stamp);
            let came = message.len();
            return Err(self.malformed(format!("a message of {came} bytes instead of {size}")));
        }
        if self.verify
            && let Err(at) = self.payload.verify(request, 0, message)
        {
            self.in_flight.push_front(stamp);
            return Err(Box::new(Wrong::Byte {
                request,
                at,
                expected: self.payload.byte(request, at),
                got: message[at],
                looks_like: None,
            }));
        }
        self.answered += 1;
        Ok(stamp)
    }

    /// Reads the available messages. This also writes the answers to pings and to a close.
    fn read(&mut self, mut answered: impl FnMut(Stamp, Verdict, Nanos)) -> Result<(), Box<Wrong>> {
        loop {
            let State::Open(socket) = &mut self.state else {
                return Ok(());
            };
            match socket.read() {
                Ok(Message::Binary(bytes)) => {
                    let stamp = self.take(&bytes)?;
                    answered(stamp, Verdict::GOOD, 0);
                }
                Ok(Message::Text(text)) => {
                    let stamp = self.take(text.as_bytes())?;
                    answered(stamp, Verdict::GOOD, 0);
                }
                Ok(Message::Close(_)) => self.over = true,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(());
                }
                Err(error) => return Err(self.malformed(error)),
            }
        }
    }
}

impl Dialogue for WebSocketEcho {
    const PEER_MAY_CLOSE: bool = true;
    const TIMES_FIRST_BYTE: bool = false;
    const SAYS_GOODBYE: bool = true;
    const PLANS_ANY_TIME: bool = true;

    fn begin(protocol: &ProtocolSpec, seed: u64, connection: u64, pipeline: usize) -> Self {
        let ProtocolSpec::WebSocket {
            sizes,
            verify,
            upgrade,
        } = protocol
        else {
            panic!("{} is no WebSocket", protocol.name())
        };
        let request = request(upgrade).expect("the command line checks it");
        let handshake = ClientHandshake::start(Pipe::default(), request, None)
            .expect("the command line checks it");
        let mut echo = Self {
            state: State::Opening(Box::new(handshake)),
            payload: Payload::new(seed, connection, sizes),
            verify: *verify,
            planned: 0,
            sent: 0,
            answered: 0,
            in_flight: VecDeque::with_capacity(pipeline),
            over: false,
            received: 0,
        };
        echo.open().expect("it only writes its request");
        echo
    }

    fn plan(&mut self, stamp: Stamp) {
        self.planned += 1;
        self.in_flight.push_back(stamp);
        self.send();
    }

    fn planned(&self) -> u64 {
        self.planned
    }

    fn has_output(&self) -> bool {
        self.pipe().is_some_and(Pipe::has_output)
    }

    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn answered(&self) -> u64 {
        self.answered
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn refuted(&self) -> usize {
        self.received
    }

    fn oldest_in_flight(&self) -> Option<Stamp> {
        self.in_flight.front().copied()
    }

    fn take_in_flight(&mut self) -> impl Iterator<Item = Stamp> {
        self.in_flight.drain(..)
    }

    fn fill(&self, out: &mut [u8]) -> usize {
        self.pipe().map_or(0, |pipe| pipe.fill(out))
    }

    fn wrote(&mut self, bytes: usize) {
        if let Some(pipe) = self.pipe_mut() {
            pipe.wrote(bytes);
        }
    }

    fn received(
        &mut self,
        bytes: &[u8],
        _now: Nanos,
        answered: impl FnMut(Stamp, Verdict, Nanos),
    ) -> Result<(), Box<Wrong>> {
        self.received = bytes.len();
        if let Some(pipe) = self.pipe_mut() {
            pipe.push(bytes);
        }
        if matches!(self.state, State::Opening(_)) {
            self.open()?;
            self.send();
        }
        self.read(answered)
    }
}
