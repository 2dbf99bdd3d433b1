//! HTTP/2: streams, GOAWAY, resets and bodies, checked against the server's own record.
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
use loadgen::report::Report;

/// The record of the server.
#[derive(Default)]
struct Record {
    connections: AtomicU64,
    requests: AtomicU64,
    resets: AtomicU64,
    /// Streams that the server refused before it processed them.
    refused: AtomicU64,
    /// Connections that had more than one request.
    sending: AtomicU64,
    /// Pings that were answered.
    pongs: AtomicU64,
    /// The maximum number of open streams on one connection.
    most_open: AtomicU64,
    bodies: Mutex<Vec<Vec<u8>>>,
    /// The method, scheme and authority of the requests.
    heads: Mutex<HashSet<String>>,
}

/// The number of streams that a connection of [`server`] may have.
const STREAMS_MAX: u32 = 20;

/// Starts a server that sends GOAWAY after this many requests of a connection. It sends each
/// connection one ping, after its first request.
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
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(STREAMS_MAX);
    let mut connection = builder.handshake(stream).await?;
    let mut pings = connection.ping_pong();
    let open = Arc::<AtomicU64>::default();
    let mut requests = 0;
    while let Some(next) = connection.accept().await {
        let (request, respond) = next?;
        requests += 1;
        record.sending.fetch_add(u64::from(requests == 2), SeqCst);
        record.requests.fetch_add(1, SeqCst);
        let now = open.fetch_add(1, SeqCst) + 1;
        record.most_open.fetch_max(now, SeqCst);
        let (seen, open) = (Arc::clone(&record), Arc::clone(&open));
        tokio::spawn(async move {
            let _ = answer(request, respond, &seen).await;
            open.fetch_sub(1, SeqCst);
        });
        if let Some(mut pings) = pings.take() {
            let record = Arc::clone(&record);
            tokio::spawn(async move {
                // By this time, an idle connection has nothing in flight.
                tokio::time::sleep(Duration::from_millis(100)).await;
                if pings.ping(h2::Ping::opaque()).await.is_ok() {
                    record.pongs.fetch_add(1, SeqCst);
                }
            });
        }
        if requests == goes_after {
            connection.graceful_shutdown();
        }
    }
    Ok(())
}

/// The delay of a slow answer, and of a body after its head.
const SLOW: Duration = Duration::from_millis(300);

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
        "/refused" if record.refused.load(SeqCst) < 7 => {
            record.refused.fetch_add(1, SeqCst);
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        "/slow" => {
            tokio::time::sleep(SLOW).await;
            503
        }
        "/busy" => 503,
        _ => 200,
    };
    let response = Response::builder()
        .status(status)
        .body(())
        .expect("a response");
    let mut stream = respond.send_response(response, false)?;
    let size = match uri.path() {
        "/large" => 300_000,
        "/huge" => 9_000_000,
        _ => 10,
    };
    if uri.path() == "/body-later" {
        tokio::time::sleep(SLOW).await;
    }
    stream.send_data(Bytes::from(vec![b'x'; size]), true)
}

/// Runs a load over HTTP/2, which ends with this exit code.
fn load(code: i32, args: &str) -> Report {
    run(&format!("{args} --http2 --format json"))
        .expect_code(code)
        .report()
}

#[test]
fn requests_share_a_connection_as_streams() {
    let (server, record) = server(u64::MAX);
    let report = load(0, &format!("http://{server}/ -c 3 -P 10 -n 300"));
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
    let report = load(
        0,
        &format!("http://{server}/ -c 2 -R 500 -d 1 --warmup 0 --body {{counter}}"),
    );
    let requests = &report.requests;
    assert_eq!((requests.scheduled, requests.answered), (500, 500));
    let bodies = record.bodies.lock().expect("no panic");
    let distinct: HashSet<_> = bodies.iter().collect();
    assert_eq!((bodies.len(), distinct.len()), (502, 502));
}

#[test]
fn large_responses_pass_the_flow_control() {
    let (server, record) = server(u64::MAX);
    let report = load(0, &format!("http://{server}/large -c 1 -P 20 -n 400"));
    assert_eq!(report.requests.answered, 400);
    // More than the windows of the connection and of its streams together.
    assert!(report.requests.bytes_read > 400 * 300_000 - 20 * 300_000);
    assert_eq!(record.requests.load(SeqCst), 401);
    // More than the window of one stream.
    let report = load(0, &format!("http://{server}/huge -c 1 -n 2"));
    assert_eq!(report.requests.answered, 2);
}

#[test]
fn a_server_that_goes_away_loses_no_request() {
    let (server, record) = server(5);
    let report = load(0, &format!("http://{server}/ -c 2 -P 3 -n 60"));
    assert_eq!((report.requests.answered, report.errors.len()), (60, 0));
    assert_eq!(record.requests.load(SeqCst), 62);
    let connections = &report.connections;
    assert!(connections.closed_by_server >= 6, "{connections:?}");
    assert_eq!(record.connections.load(SeqCst), connections.established);
}

#[test]
fn one_stream_that_is_reset_fails_alone() {
    let (server, record) = server(u64::MAX);
    let report = load(
        1,
        &format!("http://{server} -c 2 -P 5 -n 200 --path 8*/ --path 1*/reset --path 1*/busy"),
    );
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
fn a_slow_stream_holds_back_no_other_and_keeps_its_own_time() {
    let (server, _record) = server(u64::MAX);
    let report = load(
        1,
        &format!("http://{server} -c 1 -P 10 -n 200 --path 19*/ --path 1*/slow"),
    );
    let (good, slow) = (&report.latency.raw, &report.latency.failures);
    assert_eq!(good.count + slow.count, 200);
    assert!(slow.count > 0);
    let slow_ns = u64::try_from(SLOW.as_nanos()).expect("it fits");
    assert!(slow.min_ns >= slow_ns, "{slow:?}");
    assert!(good.p50_ns < slow_ns, "{good:?}");
}

#[test]
fn the_first_byte_is_that_of_the_head() {
    let (server, _record) = server(u64::MAX);
    let report = load(0, &format!("http://{server}/body-later -c 1 -P 5 -n 10"));
    let slow_ns = u64::try_from(SLOW.as_nanos()).expect("it fits");
    let (whole, first) = (&report.latency.raw, report.latency.first_byte);
    assert!(whole.min_ns >= slow_ns, "{whole:?}");
    let first = first.expect("HTTP has one");
    assert!(first.min_ns < slow_ns, "{first:?}");
}

#[test]
fn a_refused_stream_is_sent_again() {
    let (server, record) = server(u64::MAX);
    let report = load(0, &format!("http://{server}/refused -c 1 -P 4 -n 40"));
    assert_eq!((report.requests.answered, report.errors.len()), (40, 0));
    assert_eq!(record.refused.load(SeqCst), 7);
    assert_eq!(record.requests.load(SeqCst), 41 + 7);
}

#[test]
fn requests_wait_while_the_server_allows_no_further_stream() {
    let (server, record) = server(u64::MAX);
    let report = load(0, &format!("http://{server}/ -c 1 -P 50 -n 300"));
    assert_eq!((report.requests.answered, report.errors.len()), (300, 0));
    assert_eq!(record.most_open.load(SeqCst), u64::from(STREAMS_MAX));
}

#[test]
fn an_idle_connection_answers_pings() {
    let (server, record) = server(u64::MAX);
    let args = "-c 3 --active 1 -R 20 -d 1s --warmup 0 --http2";
    run(&format!("http://{server}/ {args}")).expect_code(0);
    assert_eq!(record.pongs.load(SeqCst), 3);
    assert_eq!(record.sending.load(SeqCst), 1);
}

#[test]
fn fields_of_a_single_connection_are_left_out() {
    let (server, record) = server(u64::MAX);
    let fields = "-H Connection:keep-alive -H Keep-Alive:timeout=5 -H Upgrade:h2c";
    let report = load(0, &format!("http://{server}/ -c 1 -n 5 {fields}"));
    assert_eq!((report.requests.answered, report.errors.len()), (5, 0));
    assert_eq!(record.requests.load(SeqCst), 6);
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
