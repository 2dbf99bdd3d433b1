//! The timeouts of `serve::http`, with clients that stop in each way, and slow ones that go on; and
//! a drain.

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use asyncfd::serve::http::Http;
use asyncfd::serve::{Running, Server, Tcp};
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use reactor::{Pinning, Reactor};
use tower_service::Service;

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// More than the two sockets hold.
const LARGE: usize = 16 << 20;

/// Reads the whole request, then answers with as many bytes as the path says.
#[derive(Clone)]
struct Bytes;

impl Service<Request<Incoming>> for Bytes {
    type Response = Response<String>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Box::pin(async move {
            let len = request.uri().path()[1..].parse().unwrap();
            let mut body = request.into_body();
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                frame?;
            }
            Ok(Response::new("x".repeat(len)))
        })
    }
}

fn start(http: Http) -> (Reactor, Running<Tcp>) {
    let builder = Reactor::builder().shards(2).pinning(Pinning::None);
    let reactor = builder.build().unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let server = server.start(reactor.handle(), http.serve(Bytes)).unwrap();
    (reactor, server)
}

fn connect(server: &Running<Tcp>) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Waits until the only connection has ended. Returns the counts of timeouts and failures.
fn ended(server: &Running<Tcp>) -> (u64, u64) {
    let end = Instant::now() + DEADLINE;
    while server.stats().total(|shard| shard.closed) == 0 {
        assert!(Instant::now() < end, "the connection is still open");
        thread::sleep(Duration::from_millis(1));
    }
    let stats = server.stats();
    let timed_out = stats.total(|shard| shard.timed_out);
    (timed_out, stats.total(|shard| shard.failed))
}

/// Reads until the server has ended the connection, in order or by a reset.
fn read_to_end(stream: &mut TcpStream, pause: Duration) -> usize {
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return len,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return len,
            Err(error) => panic!("{error}"),
        }
        thread::sleep(pause);
    }
}

fn get(len: usize) -> String {
    format!("GET /{len} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

#[test]
fn a_peer_that_reads_nothing_is_cut_off_by_the_write_timeout() {
    let (_reactor, server) = start(Http::new().write_timeout(Duration::from_millis(100)));
    let mut client = connect(&server);
    client.write_all(get(LARGE).as_bytes()).unwrap();
    assert_eq!(ended(&server), (1, 1));
    assert!(read_to_end(&mut client, Duration::ZERO) < LARGE);
}

#[test]
fn a_peer_that_reads_slowly_is_served_beyond_the_write_timeout() {
    let (_reactor, server) = start(Http::new().write_timeout(Duration::from_secs(2)));
    let mut client = connect(&server);
    let began = Instant::now();
    client.write_all(get(3 * LARGE).as_bytes()).unwrap();
    assert!(read_to_end(&mut client, Duration::from_millis(60)) > 3 * LARGE);
    assert!(
        began.elapsed() > Duration::from_secs(2),
        "it was no slow peer"
    );
    assert_eq!(ended(&server), (0, 0));
}

#[test]
fn a_client_that_stops_in_a_body_is_cut_off_by_the_idle_timeout() {
    let (_reactor, server) = start(Http::new().idle_timeout(Duration::from_millis(100)));
    let mut client = connect(&server);
    let head = "POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    client.write_all(head.as_bytes()).unwrap();
    assert_eq!(ended(&server).0, 1);
    assert_eq!(read_to_end(&mut client, Duration::ZERO), 0);
}

#[test]
fn an_idle_connection_of_http2_is_closed_by_the_idle_timeout() {
    let http = Http::new().http2_only();
    let (_reactor, server) = start(http.idle_timeout(Duration::from_millis(100)));
    let mut client = connect(&server);
    // The preface, and an empty SETTINGS frame.
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(ended(&server).0, 1);
    assert!(read_to_end(&mut client, Duration::ZERO) > 0, "its settings");
}

#[test]
fn bytes_that_come_slowly_put_the_idle_timeout_off() {
    let (_reactor, server) = start(Http::new().idle_timeout(Duration::from_secs(2)));
    let mut client = connect(&server);
    let head = "POST /5 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(250));
        client.write_all(b"x").unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nxxxxx"), "{answer}");
    assert_eq!(ended(&server), (0, 0));
}

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    for sent in ["", "G", "GET / HTTP/1.1\r\nhost"] {
        let http = Http::new().header_read_timeout(Duration::from_millis(100));
        let (_reactor, server) = start(http);
        let mut client = connect(&server);
        client.write_all(sent.as_bytes()).unwrap();
        assert_eq!(ended(&server), (1, 1), "{sent:?}");
        assert_eq!(read_to_end(&mut client, Duration::ZERO), 0);
    }
}

#[test]
fn an_idle_connection_of_http1_is_closed_in_order() {
    let http = Http::new().header_read_timeout(Duration::from_millis(100));
    let (_reactor, server) = start(http);
    let mut client = connect(&server);
    for _ in 0..3 {
        client
            .write_all(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut answer = [0; 4096];
        let mut len = 0;
        while !answer[..len].ends_with(b"\r\n\r\nx") {
            let read = client.read(&mut answer[len..]).unwrap();
            assert!(read > 0, "the connection ended early");
            len += read;
        }
    }
    assert_eq!(ended(&server), (1, 0));
    assert_eq!(read_to_end(&mut client, Duration::ZERO), 0);
}

#[test]
fn the_limit_for_a_head_ends_with_the_head() {
    let http = Http::new().header_read_timeout(Duration::from_millis(100));
    let (_reactor, server) = start(http);
    let mut client = connect(&server);
    // The head, then a body that takes five times as long.
    let head = "POST /5 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(50));
        client.write_all(b"x").unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nxxxxx"), "{answer}");
    assert_eq!(ended(&server), (0, 0));
}

#[test]
fn a_connection_of_http2_has_no_limit_for_heads() {
    let http = Http::new().http2_only();
    let (_reactor, server) = start(http.header_read_timeout(Duration::from_millis(50)));
    let mut client = connect(&server);
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    thread::sleep(Duration::from_millis(400));
    assert_eq!(server.stats().total(|shard| shard.live), 1);
}

#[test]
fn a_connection_that_has_sent_nothing_drains_in_order() {
    let (reactor, server) = start(Http::new());
    let mut client = connect(&server);
    let end = Instant::now() + DEADLINE;
    while server.stats().total(|shard| shard.live) == 0 {
        assert!(Instant::now() < end, "the connection is not accepted");
        thread::sleep(Duration::from_millis(1));
    }
    let stats = reactor.block_on(server.shutdown());
    assert_eq!(read_to_end(&mut client, Duration::ZERO), 0);
    assert_eq!(stats.total(|shard| shard.failed), 0);
    assert_eq!(stats.total(|shard| shard.closed), 1);
}
