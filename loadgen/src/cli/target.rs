//! From what the command line names to an address and what is said there.
//!
//! `HOST:PORT`, `unix:PATH` and `http://HOST[:PORT][/PATH]`; the last also names the protocol. Called once, by the session.
//! Tests: at the end of this file, `tests/command_line.rs` and `tests/protocols.rs`.

use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::args::{ProtocolName, RunArgs, Switch, http_path};
use crate::run::Refusal;
use crate::run::protocol::{Answers, Speech};
use crate::run::sources::Address;

/// The port of `http://` where none is named.
const HTTP_PORT: u16 = 80;

/// What the system's address of a Unix socket has room for, less the zero at its end.
const UNIX_PATH_MAX: usize = 107;

/// A target, read but not looked up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// A host and a port, together as they were given and as they stand in an HTTP request.
    Tcp {
        authority: &'a str,
        port: Option<u16>,
    },
    Unix(PathBuf),
}

/// Splits a target into where it is and the path of `http://`, if it is that.
pub(crate) fn read(target: &str) -> Result<(Named<'_>, Option<&str>), String> {
    if let Some(path) = target.strip_prefix("unix:") {
        return match path {
            "" => Err("unix: needs a path, as in unix:/run/server.sock".to_owned()),
            long if long.len() > UNIX_PATH_MAX => Err(format!(
                "{target}: the path of a Unix socket has {UNIX_PATH_MAX} bytes at most: give one from the current folder, or a link"
            )),
            path => Ok((Named::Unix(path.into()), None)),
        };
    }
    if target.starts_with("https://") {
        return Err(format!(
            "{target}: TLS is not spoken here; load the port behind it, or use http://"
        ));
    }
    let (authority, path) = match target.strip_prefix("http://") {
        None => (target, None),
        Some(rest) => match rest.find(['/', '?', '#']) {
            None => (rest, Some("/")),
            Some(at) if rest.as_bytes()[at] == b'/' => {
                let path = &rest[at..];
                http_path(path).map_err(|wrong| format!("{target}: {wrong}"))?;
                (&rest[..at], Some(path))
            }
            Some(_) => return Err(format!("{target}: a path begins with /")),
        },
    };
    let port = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.ends_with(']') => port.parse().ok(),
        _ => None,
    };
    let bare = path.is_some() && !authority.is_empty() && !authority.contains(':')
        || authority.ends_with(']');
    if port.is_none() && !(path.is_some() && bare) {
        return Err(format!(
            "{target:?} is not HOST:PORT, unix:PATH or http://HOST[:PORT]/PATH (an IPv6 host stands in brackets)"
        ));
    }
    Ok((Named::Tcp { authority, port }, path))
}

impl Named<'_> {
    /// Looks the host up.
    fn look_up(&self) -> Result<Address, Refusal> {
        let (authority, port) = match self {
            Self::Unix(path) => return Ok(Address::Unix(path.clone())),
            Self::Tcp { authority, port } => (*authority, *port),
        };
        let whole = match port {
            Some(_) => authority.to_owned(),
            None => format!("{authority}:{HTTP_PORT}"),
        };
        if let Ok(address) = whole.parse() {
            return Ok(Address::Tcp(address));
        }
        let found = whole.to_socket_addrs().map_err(|error| {
            Refusal::run(format!(
                "{whole}: {error}: check the name, or give an address"
            ))
        })?;
        match { found }.next() {
            Some(address) => Ok(Address::Tcp(address)),
            None => Err(Refusal::run(format!("{whole}: the name has no address"))),
        }
    }

    /// For the `Host` field.
    fn host(&self) -> &str {
        match self {
            Self::Tcp { authority, .. } => authority,
            Self::Unix(_) => "localhost",
        }
    }
}

/// Where a run goes and what it says; `None` for the address of the embedded server.
pub(crate) fn resolve(args: &RunArgs) -> Result<(Option<Address>, Speech), Refusal> {
    let named = args.target.as_deref().map(read).transpose();
    let named = named.map_err(Refusal::arguments)?;
    let (named, path) = match &named {
        Some((named, path)) => (Some(named), *path),
        None => (None, None),
    };
    let verify = args.verify != Some(Switch::Off);
    let speech = match args.protocol().map_err(Refusal::arguments)? {
        ProtocolName::Echo => Speech::Echo {
            sizes: args.size(),
            verify,
            work_us: args
                .work
                .map(|work| u32::try_from(work.as_micros()).expect("checked where it was read")),
        },
        ProtocolName::Raw => Speech::Fixed {
            request: args.send.clone().unwrap_or_default(),
            answer: Answers::Bytes {
                expected: args.expect.clone().unwrap_or_default(),
                verify,
            },
        },
        ProtocolName::Http => {
            let path = args.path.as_deref().or(path).unwrap_or("/");
            let host = named.map_or("localhost", Named::host);
            let agent = concat!("loadgen/", env!("CARGO_PKG_VERSION"));
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\r\n"
            );
            Speech::Fixed {
                request: Arc::from(request.into_bytes()),
                answer: Answers::Http,
            }
        }
    };
    let address = named.map(Named::look_up).transpose()?;
    Ok((address, speech))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (target, authority, port, path) in [
            ("host:7", "host:7", Some(7), None),
            ("[::1]:7", "[::1]:7", Some(7), None),
            ("http://host", "host", None, Some("/")),
            ("http://host:81/a?b", "host:81", Some(81), Some("/a?b")),
            ("http://[::1]/x", "[::1]", None, Some("/x")),
        ] {
            let named = Named::Tcp { authority, port };
            assert_eq!(read(target), Ok((named, path)), "{target}");
        }
        let unix = Named::Unix("/run/x.sock".into());
        assert_eq!(read("unix:/run/x.sock"), Ok((unix, None)));
    }

    #[test]
    fn a_path_that_fits_no_address_is_refused() {
        let path = |bytes| format!("unix:{}", "x".repeat(bytes));
        assert!(read(&path(107)).is_ok());
        let message = read(&path(108)).expect_err("too long");
        assert!(message.contains("107 bytes at most"), "{message}");
    }

    #[test]
    fn what_is_none_is_refused() {
        for target in [
            "host",
            "host:",
            ":7",
            "host:70000",
            "[::1]",
            "unix:",
            "https://host/",
            "http://",
            "http://host:x/",
            "http://host?x",
            "http://host/a b",
            "http://host/a#b",
            "http://host/a\r\nField: value",
            "http://host/a#part",
        ] {
            assert!(read(target).is_err(), "{target}");
        }
    }

    #[test]
    fn a_url_without_a_port_means_eighty() {
        for (target, address) in [
            ("http://127.0.0.1/", "127.0.0.1:80"),
            ("http://[::1]/", "[::1]:80"),
        ] {
            let (named, _) = read(target).expect("a target");
            let found = named.look_up().expect("an address");
            assert_eq!(found.to_string(), address);
        }
    }
}
