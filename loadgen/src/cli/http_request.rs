//! Makes the requests of a run from the HTTP flags: method, fields, body, and paths with weights.
//!
//! A field that the user gives replaces the one that loadgen sends by itself. Tests:
//! `tests/http_requests.rs`.

use std::fs;
use std::path::Path;

use crate::cli::args::RunArgs;
use crate::cli::request_values::WeightedPath;
use crate::cli::target::{Named, basic};
use crate::run::protocol::{Answers, ProtocolSpec, Upgrade};
use crate::run::sizes::Sizes;
use crate::run::template::Template;

/// Builds the requests of a run over HTTP.
///
/// # Errors
/// The body cannot be read, or a header field sets its length. The text names the flag.
pub(super) fn spec(args: &RunArgs, named: Option<&Named<'_>>) -> Result<ProtocolSpec, String> {
    let method = args.method.as_deref();
    let body = match (&args.body, &args.body_file) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(file)) => Some(read(file)?),
        (None, None) => None,
    };
    let usual = if body.is_some() { "POST" } else { "GET" };
    let method = method.unwrap_or(usual);
    let has = |name: &str| {
        let mut fields = args.headers.iter();
        fields.any(|(other, _)| other.eq_ignore_ascii_case(name))
    };
    if has("Content-Length") || has("Transfer-Encoding") {
        return Err("-H: loadgen sends the length of the body by itself".to_owned());
    }
    let authorization = match &args.user {
        Some(user) => Some(basic(user).map_err(|wrong| format!("--user: {wrong}"))?),
        None => named.and_then(|named| named.authorization.clone()),
    };
    let mut fields = Vec::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|_| !has(name)) {
            fields.push((name.to_owned(), value.to_owned()));
        }
    };
    add("Host", Some(named.map_or("localhost", |named| &named.host)));
    add("Authorization", authorization.as_deref());
    add(
        "User-Agent",
        Some(concat!("loadgen/", env!("CARGO_PKG_VERSION"))),
    );
    add("Accept", Some("*/*"));
    let length = body.as_ref().map(|body| Template::len_of(body).to_string());
    add("Content-Length", length.as_deref());
    fields.extend(args.headers.iter().cloned());
    let fields: String = fields
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let paths = if args.paths.is_empty() {
        let path = named.and_then(|named| named.path).unwrap_or("/");
        vec![WeightedPath {
            weight: 1,
            path: path.to_owned(),
        }]
    } else {
        args.paths.clone()
    };
    let request = |WeightedPath { weight, path }| {
        let mut text = format!("{method} {path} HTTP/1.1\r\n{fields}\r\n").into_bytes();
        text.extend_from_slice(body.as_deref().unwrap_or_default());
        (weight, text)
    };
    let requests: Vec<_> = paths.into_iter().map(request).collect();
    let answer = if args.http2 {
        let secure = args.tls || named.is_some_and(|named| named.tls);
        #[cfg(feature = "http2")]
        for (_, text) in &requests {
            crate::run::http2::request(text, secure)
                .map_err(|wrong| format!("this is no request of HTTP/2: {wrong}"))?;
        }
        Answers::Http2 { secure }
    } else {
        Answers::Http {
            bodiless: method.eq_ignore_ascii_case("HEAD"),
        }
    };
    Ok(ProtocolSpec::Fixed {
        request: Template::new(requests),
        answer,
    })
}

/// Builds the messages of a run over WebSocket.
///
/// # Errors
/// The target or a field is not valid. The text says which.
pub(super) fn websocket(
    args: &RunArgs,
    named: Option<&Named<'_>>,
    sizes: Sizes,
    verify: bool,
) -> Result<ProtocolSpec, String> {
    let named = named.ok_or("a WebSocket needs a TARGET, such as ws://HOST:PORT/PATH")?;
    let scheme = if named.tls { "wss" } else { "ws" };
    let path = named.path.unwrap_or("/");
    let mut fields: Vec<_> = named
        .authorization
        .iter()
        .map(|value| ("Authorization".to_owned(), value.clone()))
        .collect();
    fields.extend(args.headers.iter().cloned());
    let upgrade = Upgrade {
        url: format!("{scheme}://{}{path}", named.host),
        fields,
    };
    #[cfg(feature = "websocket")]
    crate::run::websocket::request(&upgrade)?;
    Ok(ProtocolSpec::WebSocket {
        sizes,
        verify,
        upgrade,
    })
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("--body-file {}: {error}", file.display()))
}
