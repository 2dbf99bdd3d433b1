//! HTTP/2: streams, going away, resets and bodies, held against the server's own record.
#![cfg(feature = "http2")]

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use common::run;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};

/// The record of the server.
#[derive(Default)]
struct Record {
    connections: AtomicU64,
    requests: AtomicU64,
    resets: AtomicU64,
    /// Streams that are open on one connection at most.
    most_open: AtomicU64,
    bodies: Mutex<Vec<Vec<u8>>>,
    /// Method, scheme and authority of the requests.
    heads: Mutex<HashSet<String>>,
}

/// Starts a server that says after this many requests of a connection that it goes away.
fn server(goes_after: u64) -> (SocketAddr, Arc<Record>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    let record = Arc::<Record>::default();
    let seen = Arc::clone(&record);
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime
            .enable_io()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
            loop {
                let (stream, _) = listener.accept().await.expect("descriptors suffice");
                stream.set_nodelay(true).expect("a socket");
                let seen = Arc::clone(&seen);
                seen.connections.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    // The peer may go at any time.
                    let _ = serve(stream, goes_after, seen).await;
                });
            }
        });
    });
    (address, record)
}

async fn serve(
    stream: tokio::net::TcpStream,
    goes_after: u64,
    record: Arc<Record>,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    let open = Arc::<AtomicU64>::default();
    let mut requests = 0;
    while let Some(next) = connection.accept().await {
        let (request, respond) = next?;
        requests += 1;
        record.requests.fetch_add(1, SeqCst);
        let now = open.fetch_add(1, SeqCst) + 1;
        record.most_open.fetch_max(now, SeqCst);
        let (record, open) = (Arc::clone(&record), Arc::clone(&open));
        tokio::spawn(async move {
            let _ = answer(request, respond, &record).await;
            open.fetch_sub(1, SeqCst);
        });
        if requests == goes_after {
            connection.graceful_shutdown();
        }
    }
    Ok(())
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    record: &Record,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let uri = &head.uri;
    let named = format!(
        "{} {:?} {:?}",
        head.method,
        uri.scheme_str(),
        uri.authority()
    );
    record.heads.lock().expect("no panic").insert(named);
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    if !bytes.is_empty() {
        record.bodies.lock().expect("no panic").push(bytes);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let status = match uri.path() {
        "/reset" => {
            record.resets.fetch_add(1, SeqCst);
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        "/busy" => 503,
        _ => 200,
    };
    let response = Response::builder()
        .status(status)
        .body(())
        .expect("a response");
    let mut stream = respond.send_response(response, false)?;
    let size = if uri.path() == "/large" { 300_000 } else { 10 };
    stream.send_data(Bytes::from(vec![b'x'; size]), true)
}

#[test]
fn requests_share_a_connection_as_streams() {
    let (server, record) = server(u64::MAX);
    let args = "-c 3 -P 10 -n 300 --http2 --format json";
    let report = run(&format!("http://{server}/ {args}"))
        .expect_code(0)
        .report();
    assert_eq!((report.requests.answered, report.errors.len()), (300, 0));
    // The first request of each connection is not measured.
    assert_eq!(record.requests.load(SeqCst), 303);
    assert_eq!(record.connections.load(SeqCst), 3);
    assert_eq!(record.most_open.load(SeqCst), 10);
    assert_eq!(report.settings.protocol, "http2");
    assert_eq!(report.status_codes.get(&200), Some(&300));
    // The server waits 5 ms before it answers, and one stream does not wait for another.
    let first_byte = report.latency.first_byte.expect("HTTP has one");
    assert_eq!(first_byte.count, 300);
    assert!(first_byte.min_ns >= 5_000_000, "{first_byte:?}");
    let heads = record.heads.lock().expect("no panic");
    let expected = format!("GET Some(\"http\") Some({server})");
    assert_eq!(*heads, HashSet::from([expected]));
}

#[test]
fn an_open_loop_sends_bodies_that_differ() {
    let (server, record) = server(u64::MAX);
    let args = "-c 2 -R 500 -d 1 --warmup 0 --http2 --body {counter} --format json";
    let report = run(&format!("http://{server}/ {args}"))
        .expect_code(0)
        .report();
    let requests = &report.requests;
    assert_eq!((requests.scheduled, requests.answered), (500, 500));
    let bodies = record.bodies.lock().expect("no panic");
    let distinct: HashSet<_> = bodies.iter().collect();
    assert_eq!((bodies.len(), distinct.len()), (502, 502));
}

#[test]
fn large_responses_pass_the_flow_control() {
    let (server, record) = server(u64::MAX);
    let args = "-c 1 -P 20 -n 400 --http2 --format json";
    let report = run(&format!("http://{server}/large {args}"))
        .expect_code(0)
        .report();
    assert_eq!(report.requests.answered, 400);
    // More than the windows of the connection and of its streams together.
    assert!(report.requests.bytes_read > 400 * 300_000 - 20 * 300_000);
    assert_eq!(record.requests.load(SeqCst), 401);
}

#[test]
fn a_server_that_goes_away_loses_no_request() {
    let (server, record) = server(5);
    let args = "-c 2 -P 3 -n 60 --http2 --format json";
    let report = run(&format!("http://{server}/ {args}"))
        .expect_code(0)
        .report();
    assert_eq!((report.requests.answered, report.errors.len()), (60, 0));
    assert_eq!(record.requests.load(SeqCst), 62);
    let connections = &report.connections;
    assert!(connections.closed_by_server >= 6, "{connections:?}");
    assert_eq!(record.connections.load(SeqCst), connections.established);
}

#[test]
fn one_stream_that_is_reset_fails_alone() {
    let (server, record) = server(u64::MAX);
    let args = "-c 2 -P 5 -n 200 --http2 --path 8*/ --path 1*/reset --path 1*/busy --format json";
    let report = run(&format!("http://{server} {args}"))
        .expect_code(1)
        .report();
    assert_eq!(report.requests.answered, 200);
    let count = |kind: &str| {
        let of = report.errors.iter().chain(&report.errors_outside);
        let of = of.filter(|error| error.kind == kind);
        of.map(|error| error.count).sum::<u64>()
    };
    let resets = record.resets.load(SeqCst);
    assert!(resets > 0 && count("http-5xx") > 0, "{:?}", report.errors);
    assert_eq!(count("stream-reset"), resets);
    assert_eq!(report.connections.broken, 0);
    assert_eq!(record.connections.load(SeqCst), 2);
}

#[test]
fn a_server_of_another_version_is_no_good_answer() {
    let server = common::serve_http("200 OK");
    run(&format!(
        "http://{server}/ -c 1 -n 5 --http2 --no-reconnect"
    ))
    .expect_code(1)
    .expect_message("HTTP/2: ");
}
