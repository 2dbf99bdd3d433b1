//! One HTTP request to an endpoint. The endpoint answers small requests on a local connection, so
//! this needs no HTTP library.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use asyncfd::observe::Address;

/// The time limit of one read or write.
const DEADLINE: Duration = Duration::from_secs(5);

/// Returns the JSON at a path of the endpoint.
pub(super) fn json(address: &Address, path: &str) -> io::Result<serde_json::Value> {
    let body = get(address, path)?;
    serde_json::from_str(&body).map_err(|error| invalid(format!("{path}: {error}")))
}

fn get(address: &Address, path: &str) -> io::Result<String> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let answer = match address {
        Address::Tcp(addr) => {
            let stream = TcpStream::connect_timeout(addr, DEADLINE).map_err(named)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.set_write_timeout(Some(DEADLINE))?;
            exchange(stream, path)
        }
        Address::Unix(socket) => {
            let stream = UnixStream::connect(socket).map_err(named)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            stream.set_write_timeout(Some(DEADLINE))?;
            exchange(stream, path)
        }
    }
    .map_err(named)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| invalid(format!("{address} is no HTTP server")))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(invalid(format!(
            "{address}{path} answered {status}: {}",
            body.trim()
        )));
    }
    Ok(body.to_owned())
}

/// Sends a request and reads the answer to the end of the connection. HTTP/1.0 has no chunks.
fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
