//! Failures of connections and requests: their kinds, counts and messages.
//!
//! A [`Failure`] ends one connection, or is an answer by which a server refuses one request.
//! [`Errors`] counts failures by kind and keeps the first of each kind as an example. It is plain
//! data of one thread, merged at the end. Nothing here prints. Tests: `failure/tests.rs`.

use std::fmt;
use std::io;

/// The kinds of failure, in the order in which reports show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing listens at the target.
    Refused,
    /// No route to the target.
    Unreachable,
    /// The connection was not established in time.
    ConnectTimeout,
    /// This process has no descriptor left.
    Descriptors,
    /// No local port was free.
    Ports,
    /// The peer reset the connection.
    Reset,
    /// The peer closed the connection while it was still in use.
    Closed,
    /// The peer sent nothing for the time-out while an answer was due.
    Silent,
    /// An answer had wrong bytes, or came without a request.
    WrongAnswer,
    /// The server redirected the request.
    Redirected,
    /// The server answered with a client error (4xx).
    BadRequest,
    /// The server answered with a server error (5xx).
    ServerError,
    /// The server gave up one request, and the connection goes on.
    StreamReset,
    /// Any other error of a system call.
    Io,
    /// A bug of this program.
    Internal,
}

impl ErrorKind {
    /// All kinds, in order.
    pub const ALL: [Self; 15] = [
        Self::Refused,
        Self::Unreachable,
        Self::ConnectTimeout,
        Self::Descriptors,
        Self::Ports,
        Self::Reset,
        Self::Closed,
        Self::Silent,
        Self::WrongAnswer,
        Self::Redirected,
        Self::BadRequest,
        Self::ServerError,
        Self::StreamReset,
        Self::Io,
        Self::Internal,
    ];

    /// Returns its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect-timeout",
            Self::Descriptors => "descriptors",
            Self::Ports => "ports",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::WrongAnswer => "wrong-answer",
            Self::Redirected => "http-3xx",
            Self::BadRequest => "http-4xx",
            Self::ServerError => "http-5xx",
            Self::StreamReset => "stream-reset",
            Self::Io => "io",
            Self::Internal => "internal",
        }
    }

    /// Returns the description for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::Unreachable => "target unreachable",
            Self::ConnectTimeout => "not connected in time",
            Self::Descriptors => "no descriptor left",
            Self::Ports => "no local port left",
            Self::Reset => "connection reset by the server",
            Self::Closed => "connection closed early by the server",
            Self::Silent => "no answer in time",
            Self::WrongAnswer => "wrong answer",
            Self::Redirected => "answered with a redirection (HTTP 3xx)",
            Self::BadRequest => "answered with a client error (HTTP 4xx)",
            Self::ServerError => "answered with a server error (HTTP 5xx)",
            Self::StreamReset => "request given up by the server (HTTP/2 stream reset)",
            Self::Io => "input or output failed",
            Self::Internal => "a bug in loadgen",
        }
    }

    /// Returns advice to the user, or `None` if only the details help.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Refused => Some("start the server, or check its address"),
            Self::Unreachable => Some("check the address and the route to it"),
            Self::ConnectTimeout => {
                Some("check the address and the firewalls on the way, or raise --timeout")
            }
            Self::Descriptors => Some("raise the limit (ulimit -n), or lower -c"),
            Self::Ports => Some(
                "widen net.ipv4.ip_local_port_range, or open fewer connections in a minute (-c, --lifetime, --requests-per-conn)",
            ),
            Self::Reset | Self::StreamReset => Some("check the server's log"),
            Self::Closed => Some(
                "check that the server speaks this protocol (--protocol), and its idle timeout",
            ),
            Self::Silent => {
                Some("check that the server speaks this protocol (--protocol), or raise --timeout")
            }
            Self::WrongAnswer => Some("check that the server speaks this protocol (--protocol)"),
            Self::Redirected => Some("name the final address"),
            Self::BadRequest => Some("check the path (--path)"),
            Self::ServerError => Some("check the server's log, or lower the load"),
            Self::Io | Self::Internal => None,
        }
    }

    /// Returns true if one request failed and its connection goes on.
    #[must_use]
    pub fn is_of_request(self) -> bool {
        matches!(
            self,
            Self::Redirected | Self::BadRequest | Self::ServerError | Self::StreamReset
        )
    }

    /// Returns the kind of an HTTP status outside 2xx.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            300..=399 => Self::Redirected,
            400..=499 => Self::BadRequest,
            // An unknown class counts as this one (RFC 9110, section 15).
            _ => Self::ServerError,
        }
    }

    /// Returns the kind of an error of a system call.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        // EMFILE and ENFILE have no stable `io::ErrorKind`.
        if matches!(error.raw_os_error(), Some(code) if code == EMFILE || code == ENFILE) {
            return Self::Descriptors;
        }
        match error.kind() {
            // `NotFound` is the error for a Unix socket that does not exist.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Self::Refused,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => Self::Unreachable,
            io::ErrorKind::TimedOut => Self::ConnectTimeout,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Self::Ports,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Io,
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// The reason why a connection failed or a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub kind: ErrorKind,
    /// The details, as a clause.
    pub detail: String,
}

impl Failure {
    /// Makes a failure with its details.
    #[must_use]
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        Self::new(ErrorKind::of(error), error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// Failures counted by kind, with the first of each kind as an example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    kinds: [(u64, Option<String>); ErrorKind::ALL.len()],
}

impl Errors {
    /// Counts a failure of connection number `connection`.
    pub fn record(&mut self, connection: u64, failure: &Failure) {
        let (count, first) = &mut self.kinds[failure.kind.index()];
        *count += 1;
        if first.is_none() {
            *first = Some(format!("connection {connection}: {}", failure.detail));
        }
    }

    /// Adds the failures of another thread.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            mine.0 += theirs.0;
            if mine.1.is_none() {
                mine.1.clone_from(&theirs.1);
            }
        }
    }

    /// Returns the number of failed connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        let failed = self.iter().filter(|(kind, ..)| !kind.is_of_request());
        failed.map(|(_, count, _)| count).sum()
    }

    /// Returns the number of failures of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds.iter().map(|(count, _)| count).sum()
    }

    /// Returns the kinds that occurred: kind, number, first example.
    pub fn iter(&self) -> impl Iterator<Item = (ErrorKind, u64, &str)> {
        ErrorKind::ALL
            .into_iter()
            .zip(&self.kinds)
            .filter_map(|(kind, (count, first))| {
                first.as_deref().map(|first| (kind, *count, first))
            })
    }
}

#[cfg(test)]
mod tests;
