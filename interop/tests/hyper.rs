//! hyper's HTTP/1 and HTTP/2 servers, on every shard, with services that are not `Send`, tested
//! with curl and nghttp2's h2load.
//!
//! (curl 7.88 of Debian 12 sends nothing for a second request over a connection of unencrypted
//! HTTP/2.)

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncfd::compat::{ShardExecutor, ShardTimer};
use asyncfd::net::TcpStream;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use interop::{DEADLINE, Scratch, curl, noise, run, serve};
use reactor::{Reactor, ShardId};

/// The patience with clients that will be cut off: long enough to cut off no other, on a busy
/// machine.
const SHORT: Duration = Duration::from_secs(1);

/// Sends a body back; reports the serving shard and the number of requests that it served before.
async fn answer(
    request: Request<Incoming>,
    served: Rc<Cell<u64>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let count = served.get();
    served.set(count + 1);
    let shard = ShardId::current().expect("a connection is served on its shard");
    // The executor may have run another task meanwhile.
    reactor::yield_now().await;
    assert_eq!(ShardId::current(), Some(shard));
    let body = match *request.method() {
        Method::POST => request.into_body().collect().await?.to_bytes(),
        _ => Bytes::from(format!("{} {count}\n", shard.index())),
    };
    Ok(Response::new(Full::new(body)))
}

/// Starts a server. `patience` is the time limit for the head of a request.
fn http1_server(patience: Duration) -> (Reactor, SocketAddr) {
    serve(move || {
        let served = Rc::new(Cell::new(0));
        move |stream: TcpStream| {
            let served = Rc::clone(&served);
            async move {
                let service = service_fn(|request| answer(request, Rc::clone(&served)));
                let mut builder = http1::Builder::new();
                let builder = builder
                    .timer(ShardTimer::new())
                    .header_read_timeout(patience);
                // A client that disconnects is an error of its connection.
                let _ = builder.serve_connection(stream, service).await;
            }
        }
    })
}

/// Starts a server. `patience` is the time that a client may be silent, and the time it may then
/// take to answer a ping.
fn http2_server(patience: Duration) -> (Reactor, SocketAddr) {
    serve(move || {
        let served = Rc::new(Cell::new(0));
        move |stream: TcpStream| {
            let served = Rc::clone(&served);
            async move {
                let service = service_fn(move |request| answer(request, Rc::clone(&served)));
                let mut builder = http2::Builder::new(ShardExecutor::new());
                let builder = builder
                    .timer(ShardTimer::new())
                    .keep_alive_interval(patience)
                    .keep_alive_timeout(patience);
                let _ = builder.serve_connection(stream, service).await;
            }
        }
    })
}

fn large_body_comes_back(option: &str, address: SocketAddr) {
    let scratch = Scratch::new(&format!("large{option}"));
    let body = noise(7_000_001);
    let file = scratch.write("body", &body);
    let data = format!("@{}", file.display());
    let url = format!("http://{address}/");
    let came = curl([option, "--data-binary", &data, "--header", "expect:", &url]);
    assert!(came == body, "{} bytes came back", came.len());
}

/// Runs h2load with the given number of requests.
fn h2load(address: SocketAddr, requests: u32, connections: u32, streams: u32) {
    let mut h2load = Command::new("h2load");
    h2load.arg(format!("--requests={requests}"));
    h2load.arg(format!("--clients={connections}"));
    h2load.arg(format!("--max-concurrent-streams={streams}"));
    let output = run(h2load.arg(format!("http://{address}/")));
    let text = String::from_utf8_lossy(&output.stdout);
    let wanted = format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx");
    assert!(text.contains(&wanted), "{text}");
}

#[test]
fn http1_serves_many_requests_over_one_connection() {
    let (_reactor, address) = http1_server(DEADLINE);
    let url = format!("http://{address}/[1-200]");
    let text = String::from_utf8(curl(["--http1.1", &url])).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 200);
    // The connection stays on its shard, and no other is served there.
    let shard = lines[0].split(' ').next().unwrap();
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("{shard} {number}"));
    }
}

#[test]
fn http1_takes_and_sends_a_large_body() {
    let (_reactor, address) = http1_server(DEADLINE);
    large_body_comes_back("--http1.1", address);
}

#[test]
fn http1_serves_many_connections_at_once() {
    let (_reactor, address) = http1_server(DEADLINE);
    let url = format!("http://{address}/[1-400]");
    let text = curl(["--http1.1", "--parallel", "--parallel-max", "50", &url]);
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), 400);
}

#[test]
fn http2_serves_many_requests_over_one_connection() {
    let (_reactor, address) = http2_server(DEADLINE);
    h2load(address, 300, 1, 1);
}

#[test]
fn http2_takes_and_sends_a_large_body() {
    let (_reactor, address) = http2_server(DEADLINE);
    large_body_comes_back("--http2-prior-knowledge", address);
}

#[test]
fn http2_serves_many_streams_at_once() {
    let (_reactor, address) = http2_server(DEADLINE);
    h2load(address, 4000, 8, 60);
}

/// Sends `bytes`, and returns the answer up to its end, and the time of that end, which must come
/// within ten seconds.
fn talk_and_fall_silent(address: SocketAddr, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut came = Vec::new();
    stream.read_to_end(&mut came).expect("the server closes");
    (came, began.elapsed())
}

#[test]
fn http1_cuts_off_who_does_not_finish_its_head() {
    let (_reactor, address) = http1_server(SHORT);
    let (_, took) = talk_and_fall_silent(address, b"GET / HTTP/1.1\r\nhost:");
    assert!(took >= SHORT, "after {took:?}");
    // Between two requests the deadline moves: a client that sends again in time is served.
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    for _ in 0..4 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut came = [0; 4096];
        let n = stream.read(&mut came).unwrap();
        assert!(came[..n].starts_with(b"HTTP/1.1 200"));
        std::thread::sleep(Duration::from_millis(350));
    }
}

#[test]
fn http2_cuts_off_who_does_not_answer_pings() {
    let (_reactor, address) = http2_server(SHORT / 2);
    // The preface and an empty SETTINGS frame.
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let (came, took) = talk_and_fall_silent(address, hello);
    assert!(took >= SHORT, "after {took:?}");
    let ping = |frame: &[u8]| frame[..5] == *b"\0\0\x08\x06\0";
    assert!(came.windows(9).any(ping), "there was a ping: {came:?}");
}

#[test]
fn an_answer_without_length_ends_with_the_connection() {
    let (_reactor, address) = http1_server(DEADLINE);
    let request = b"GET / HTTP/1.0\r\n\r\n";
    let (came, _) = talk_and_fall_silent(address, request);
    let text = String::from_utf8(came).unwrap();
    assert!(text.starts_with("HTTP/1.0 200"), "{text}");
}
