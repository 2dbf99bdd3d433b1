//! Reads the target of the command line.
//!
//! `HOST:PORT`, `unix:PATH` and `http://[USER[:PASSWORD]@]HOST[:PORT][/PATH]`; the last, like
//! `https://`, `ws://` and `wss://`, also names the protocol. Nothing is looked up here. Tests: at
//! the end of this file, `tests/command_line.rs` and `tests/protocols.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::request_values::http_path;
use crate::run::endpoint::Endpoint;

/// The default port of `http://`.
const HTTP_PORT: u16 = 80;
/// The default port of `https://`.
const HTTPS_PORT: u16 = 443;

/// The longest path that a Unix socket address of the system holds, without the final zero byte.
const UNIX_PATH_MAX: usize = 107;

/// The beginnings of URLs, and their values of `tls` and `websocket`.
const SCHEMES: [(&str, bool, bool); 4] = [
    ("http://", false, false),
    ("https://", true, false),
    ("ws://", false, true),
    ("wss://", true, true),
];

/// A parsed target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) endpoint: Endpoint,
    /// The `Host` field of an HTTP request.
    pub(crate) host: String,
    /// The path of a URL; `None` for other targets.
    pub(crate) path: Option<&'a str>,
    /// True for `https://` and `wss://`.
    pub(crate) tls: bool,
    /// True for `ws://` and `wss://`.
    pub(crate) websocket: bool,
    /// The `Authorization` field of an HTTP request, from the user and password of a URL.
    pub(crate) authorization: Option<String>,
}

/// Returns the rest of a target after this scheme, in upper or lower case; `None` if it has another
/// scheme.
fn after_scheme<'a>(target: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = target.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Returns the field of basic authentication for `USER:PASSWORD` or `USER` of a URL.
pub(crate) fn basic(user: &str) -> Result<String, String> {
    let wrong =
        || "a % in the user or the password is followed by two hexadecimal digits".to_owned();
    let mut bytes = Vec::new();
    let mut rest = user.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let [high, low, after @ ..] = after else {
                return Err(wrong());
            };
            let digit = |byte: &u8| char::from(*byte).to_digit(16).ok_or_else(wrong);
            let value = digit(high)? * 16 + digit(low)?;
            bytes.push(u8::try_from(value).expect("two digits"));
            rest = after;
        } else {
            bytes.push(*byte);
        }
    }
    if !user.contains(':') {
        bytes.push(b':');
    }
    Ok(format!("Basic {}", STANDARD.encode(bytes)))
}

/// Splits a target into its endpoint and, for `http://`, its path.
pub(crate) fn read(target: &str) -> Result<Named<'_>, String> {
    if let Some(path) = target.strip_prefix("unix:") {
        return match path {
            "" => Err("unix: needs a path, as in unix:/run/server.sock".to_owned()),
            long if long.len() > UNIX_PATH_MAX => Err(format!(
                "{target}: the path of a Unix socket has {UNIX_PATH_MAX} bytes at most: give one from the current folder, or a link"
            )),
            path => Ok(Named {
                endpoint: Endpoint::Unix(path.into()),
                host: "localhost".to_owned(),
                path: None,
                tls: false,
                websocket: false,
                authorization: None,
            }),
        };
    }
    let scheme = SCHEMES.into_iter().find_map(|(name, tls, websocket)| {
        let rest = after_scheme(target, name)?;
        Some((Some(rest), tls, websocket))
    });
    let (rest, tls, websocket) = scheme.unwrap_or_default();
    let usual = if tls { HTTPS_PORT } else { HTTP_PORT };
    let (authority, path) = match rest {
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
    let (authority, authorization) = match authority.rsplit_once('@') {
        Some((user, authority)) if path.is_some() => {
            let field = basic(user).map_err(|wrong| format!("{target}: {wrong}"))?;
            (authority, Some(field))
        }
        _ => (authority, None),
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
    let host = match port {
        Some(_) => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
        None => authority,
    };
    Ok(Named {
        endpoint: Endpoint::Tcp {
            host: host.to_owned(),
            port: port.unwrap_or(usual),
        },
        host: authority.to_owned(),
        path,
        tls,
        websocket,
        authorization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (target, host, port, path) in [
            ("host:7", "host", 7, None),
            ("[::1]:7", "[::1]", 7, None),
            ("http://host", "host", 80, Some("/")),
            ("http://host:81/a?b", "host", 81, Some("/a?b")),
            ("http://[::1]/x", "[::1]", 80, Some("/x")),
            ("wss://host/x", "host", 443, Some("/x")),
            ("https://host/x", "host", 443, Some("/x")),
        ] {
            let named = read(target).expect(target);
            let host = host.to_owned();
            assert_eq!(named.endpoint, Endpoint::Tcp { host, port }, "{target}");
            assert_eq!(named.path, path, "{target}");
        }
        let unix = read("unix:/run/x.sock").expect("a path");
        assert_eq!(unix.endpoint, Endpoint::Unix("/run/x.sock".into()));
    }

    #[test]
    fn a_url_may_have_capitals_a_user_and_a_password() {
        for (target, authorization) in [
            ("HTTP://host:81/", None),
            (
                "http://Aladdin:open%20sesame@host:81/",
                Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ),
            ("hTTp://user@host:81/", Some("Basic dXNlcjo=")),
        ] {
            let named = read(target).expect(target);
            assert_eq!(named.host, "host:81");
            assert_eq!(named.authorization.as_deref(), authorization, "{target}");
        }
        assert!(read("http://a%2:b@host/").is_err());
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
            let named = read(target).expect("a target");
            let found = named.endpoint.look_up(None).expect("an address");
            assert_eq!(found[0].to_string(), address);
        }
    }
}
