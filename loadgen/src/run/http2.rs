//! HTTP/2: the streams of one connection, each with one request and its response.
//!
//! `h2` has frames, header compression and flow control. It works on a [`Pipe`] instead of a
//! socket. It is polled after each event of the connection, so its wakers only record that another
//! poll is needed. Requests wait here while the server allows no further stream. With the feature
//! `http2` only. Tests: `tests/http2.rs`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::client::{Builder, Connection, SendRequest};
use h2::{Reason, client::ResponseFuture};
use http::{Request, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::measure::clock::{Nanos, Stamp};
use crate::run::dialogue::Dialogue;
use crate::run::pipe::Pipe;
use crate::run::protocol::{Answers, ProtocolSpec, STREAM_RESET, Verdict, Wrong, is_good};
use crate::run::template::Requests;

/// The flow-control window: the bytes that a server may send on one stream, and on the whole
/// connection, before it learns that they were read.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// The maximum number of header fields of a request.
const FIELDS_MAX: usize = 128;

/// A [`Pipe`] that `h2` reads and writes.
struct Io(Rc<RefCell<Pipe>>);

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.borrow_mut().read(buffer.initialize_unfilled()) {
            Ok(bytes) => {
                buffer.advance(bytes);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.borrow_mut().write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Records that something has to be polled again.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The end of one stream: its number, the status, and the time of the first byte.
type Outcome = (u64, Result<(u16, Nanos), h2::Error>);

/// The streams of one connection.
pub(crate) struct Streams {
    pipe: Rc<RefCell<Pipe>>,
    connection: Connection<Io, Bytes>,
    sender: SendRequest<Bytes>,
    requests: Requests,
    /// True if the connection is encrypted.
    secure: bool,
    responses: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome>>>>,
    /// Requests without a stream.
    waiting: VecDeque<Stamp>,
    /// Requests with a stream, by their numbers.
    open: BTreeMap<u64, Stamp>,
    /// Streams that ended and were not reported yet.
    ended: Vec<Outcome>,
    planned: u64,
    /// The number of streams begun so far.
    begun: u64,
    answered: u64,
    /// True if the server takes no further stream.
    closing: bool,
    /// True if the connection has ended.
    finished: bool,
    /// The failure of the connection as a whole.
    fault: Option<String>,
    /// The time at which the last bytes arrived, for the responses.
    now: Rc<Cell<Nanos>>,
    received: usize,
    woken: Arc<Woken>,
    waker: Waker,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("waiting", &self.waiting.len())
            .field("open", &self.open.len())
            .field("answered", &self.answered)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

/// Waits for one complete response.
async fn response(number: u64, head: ResponseFuture, now: Rc<Cell<Nanos>>) -> Outcome {
    let whole = async {
        let (head, mut body) = head.await?.into_parts();
        let first_byte = now.get();
        while let Some(bytes) = body.data().await {
            let bytes = bytes?;
            body.flow_control().release_capacity(bytes.len())?;
        }
        body.trailers().await?;
        Ok((head.status.as_u16(), first_byte))
    };
    (number, whole.await)
}

/// Converts a request of HTTP/1.1, which the template writes, to one of HTTP/2, with its body.
///
/// # Errors
/// Its path or a field is not valid. The text says which.
pub(crate) fn request(text: &[u8], secure: bool) -> Result<(Request<()>, Bytes), String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let parsed = head.parse(text).map_err(|error| error.to_string())?;
    let httparse::Status::Complete(length) = parsed else {
        return Err("the head of the request has no end".to_owned());
    };
    let scheme = if secure { "https" } else { "http" };
    let host = head.headers.iter().find(|field| is(field, "host"));
    let host = host.map_or(&b"localhost"[..], |field| field.value);
    let host = String::from_utf8_lossy(host);
    let path = head.path.unwrap_or("/");
    let mut request = Request::builder()
        .version(Version::HTTP_2)
        .method(head.method.unwrap_or("GET"))
        .uri(format!("{scheme}://{host}{path}"));
    // The host is in the address. HTTP/2 forbids fields about a single connection.
    let dropped = [
        "host",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
    ];
    for field in head.headers.iter() {
        if !dropped.iter().any(|name| is(field, name)) {
            request = request.header(field.name, field.value);
        }
    }
    let request = request.body(()).map_err(|error| error.to_string())?;
    Ok((request, Bytes::copy_from_slice(&text[length..])))
}

fn is(field: &httparse::Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

impl Streams {
    /// Begins streams and polls `h2` until nothing is left to do.
    fn drive(&mut self) {
        let waker = self.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            self.begin_streams(cx);
            if !self.finished
                && let Poll::Ready(end) = Pin::new(&mut self.connection).poll(cx)
            {
                self.finished = true;
                self.closing = true;
                self.fault = end.err().map(|error| error.to_string());
            }
            while let Poll::Ready(Some(outcome)) = self.responses.poll_next_unpin(cx) {
                self.ended.push(outcome);
            }
            if !self.woken.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Begins streams for waiting requests, as many as the server allows.
    fn begin_streams(&mut self, cx: &mut Context<'_>) {
        while !self.closing {
            match self.sender.poll_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {}
                // The server announced the end of the connection. A real failure shows in the
                // connection.
                Poll::Ready(Err(_)) => {
                    self.closing = true;
                    return;
                }
            }
            let Some(stamp) = self.waiting.pop_front() else {
                return;
            };
            let number = self.begun;
            self.begun += 1;
            self.open.insert(number, stamp);
            if let Err(error) = self.send(number, stamp) {
                self.ended.push((number, Err(error)));
            }
        }
    }

    fn send(&mut self, number: u64, stamp: Stamp) -> Result<(), h2::Error> {
        let mut text = vec![0; self.requests.size(number)];
        self.requests.fill(number, stamp.intended, 0, &mut text);
        let (request, body) = request(&text, self.secure).expect("the command line checks it");
        let (head, mut stream) = self.sender.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        let now = Rc::clone(&self.now);
        self.responses.push(Box::pin(response(number, head, now)));
        Ok(())
    }

    /// Reports the streams that ended. Returns true if some of their requests wait again.
    fn tell(&mut self, mut answered: impl FnMut(Stamp, Verdict, Nanos)) -> bool {
        let mut again = false;
        for (number, outcome) in std::mem::take(&mut self.ended) {
            let (status, first_byte) = match outcome {
                Ok(ended) => ended,
                // The server did not process it, so it is sent again, here or on another
                // connection.
                Err(error) if error.reason() == Some(Reason::REFUSED_STREAM) => {
                    let stamp = self.open.remove(&number).expect("told once");
                    self.waiting.push_back(stamp);
                    again = true;
                    continue;
                }
                // The request ends with the connection.
                Err(error) if error.is_go_away() || error.is_io() => continue,
                Err(_) => (STREAM_RESET, self.now.get()),
            };
            let stamp = self.open.remove(&number).expect("told once");
            self.answered += 1;
            let verdict = Verdict {
                status,
                refused: (!is_good(status)).then_some(status),
                last: false,
            };
            answered(stamp, verdict, first_byte);
        }
        again
    }
}

impl Dialogue for Streams {
    const PEER_MAY_CLOSE: bool = true;
    const TIMES_FIRST_BYTE: bool = true;
    const PLANS_ANY_TIME: bool = true;

    fn begin(protocol: &ProtocolSpec, seed: u64, connection: u64, _pipeline: usize) -> Self {
        let ProtocolSpec::Fixed {
            request,
            answer: Answers::Http2 { secure },
        } = protocol
        else {
            panic!("{} is not HTTP/2", protocol.name())
        };
        let pipe = Rc::<RefCell<Pipe>>::default();
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let handshake = pin!(builder.handshake::<_, Bytes>(Io(Rc::clone(&pipe))));
        let Poll::Ready(Ok((sender, h2))) = handshake.poll(&mut Context::from_waker(Waker::noop()))
        else {
            unreachable!("a client only writes to begin, and a pipe takes everything")
        };
        let woken = Arc::<Woken>::default();
        let mut streams = Self {
            pipe,
            connection: h2,
            sender,
            requests: request.of(seed, connection),
            secure: *secure,
            responses: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            ended: Vec::new(),
            planned: 0,
            begun: 0,
            answered: 0,
            closing: false,
            finished: false,
            fault: None,
            now: Rc::default(),
            received: 0,
            waker: Waker::from(Arc::clone(&woken)),
            woken,
        };
        streams.drive();
        streams
    }

    fn plan(&mut self, stamp: Stamp) {
        self.planned += 1;
        self.waiting.push_back(stamp);
        self.drive();
    }

    fn planned(&self) -> u64 {
        self.planned
    }

    fn has_output(&self) -> bool {
        self.pipe.borrow().has_output()
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    fn answered(&self) -> u64 {
        self.answered
    }

    fn is_over(&self) -> bool {
        self.closing && self.responses.is_empty()
    }

    fn refuted(&self) -> usize {
        self.received
    }

    fn oldest_in_flight(&self) -> Option<Stamp> {
        let open = self.open.values().next();
        open.or_else(|| self.waiting.front()).copied()
    }

    fn take_in_flight(&mut self) -> impl Iterator<Item = Stamp> {
        let open = std::mem::take(&mut self.open);
        open.into_values().chain(self.waiting.drain(..))
    }

    fn fill(&self, out: &mut [u8]) -> usize {
        self.pipe.borrow().fill(out)
    }

    fn wrote(&mut self, bytes: usize) {
        self.pipe.borrow_mut().wrote(bytes);
    }

    fn received(
        &mut self,
        bytes: &[u8],
        now: Nanos,
        answered: impl FnMut(Stamp, Verdict, Nanos),
    ) -> Result<(), Box<Wrong>> {
        self.received = bytes.len();
        self.now.set(now);
        self.pipe.borrow_mut().push(bytes);
        self.drive();
        if self.tell(answered) {
            self.drive();
        }
        match &self.fault {
            None => Ok(()),
            Some(fault) => Err(Box::new(Wrong::Malformed {
                request: self.answered,
                why: format!("HTTP/2: {fault}").into(),
            })),
        }
    }
}
