//! The endpoint of `observe`, asked by a client with sockets of the standard library.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use asyncfd::observe::{Address, Observe, Observed};
use asyncfd::serve::Server;
use reactor::{Builder, Handle, Pinning, Reactor};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(20);

fn reactor() -> Builder {
    Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .work_stealing(false)
}

fn observe(handle: &Handle) -> Observed {
    Observe::new(handle)
        .listen(&"127.0.0.1:0".parse().unwrap())
        .unwrap()
}

fn exchange(mut stream: impl Read + Write, request: &str) -> (u16, String) {
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn ask(observed: &Observed, request: &str) -> (u16, String) {
    let stream = TcpStream::connect(observed.tcp_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    exchange(stream, request)
}

fn json(observed: &Observed, path: &str) -> Value {
    let (status, body) = ask(observed, &format!("GET {path}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn each_path_has_its_answer() {
    let reactor = reactor()
        .histograms(true)
        .task_tracking(true)
        .build()
        .unwrap();
    let ticker = reactor.handle().build_task().name("ticker").spawn_on(
        reactor.handle().shard(1),
        || async {
            let mut ticks = reactor::time::interval(Duration::from_millis(1));
            loop {
                ticks.tick().await;
            }
        },
    );
    let observed = observe(reactor.handle());
    let (status, text) = ask(&observed, "GET /metrics");
    assert_eq!(status, 200);
    assert!(text.contains("\nreactor_tasks{shard=\"1\"} 1\n"), "{text}");
    assert!(
        text.contains("\nreactor_task_poll_seconds_bucket{shard=\"1\",le=\"+Inf\"} "),
        "{text}"
    );

    let shards = json(&observed, "/shards");
    assert_eq!(shards["shards"][1]["tasks"], 1);
    assert_eq!(shards["shards"].as_array().unwrap().len(), 2);

    let tasks = json(&observed, "/tasks");
    assert_eq!(
        (&tasks["total"], &tasks["tasks"][0]["name"]),
        (&1.into(), &"ticker".into())
    );
    let task = &tasks["tasks"][0];
    assert_eq!(
        (&task["id"], &task["shard"]),
        (&ticker.id().as_u64().into(), &1.into())
    );
    assert!(
        task["spawned_at"]
            .as_str()
            .unwrap()
            .contains("tests/observe.rs"),
        "{task}"
    );
    assert!(
        task["polls"].as_u64().unwrap() > 0 && task["busy_seconds"].is_f64(),
        "{task}"
    );
    let limited = json(&observed, "/tasks?limit=0");
    assert_eq!(
        (&limited["total"], &limited["tasks"]),
        (&1.into(), &serde_json::json!([]))
    );

    assert_eq!(ask(&observed, "GET /healthz"), (200, "ok\n".to_owned()));
    assert!(ask(&observed, "GET /").1.contains("/healthz"));
    assert_eq!(ask(&observed, "HEAD /metrics"), (200, String::new()));
    assert_eq!(ask(&observed, "GET /tasks?limit=x").0, 400);
    assert_eq!(ask(&observed, "GET /nothing").0, 404);
    assert_eq!(ask(&observed, "POST /metrics").0, 405);
}

#[test]
fn a_stuck_shard_is_named_by_an_endpoint_that_still_answers() {
    let reactor = reactor().task_tracking(true).build().unwrap();
    let (go, gate) = channel::<()>();
    let (running, is_running) = channel();
    let handle = reactor.handle();
    let stuck = handle
        .build_task()
        .name("stuck")
        .spawn_on(handle.shard(1), move || async move {
            running.send(()).unwrap();
            gate.recv().unwrap();
        });
    is_running.recv().unwrap();
    let observed = observe(handle);
    let (status, message) = ask(&observed, "GET /healthz");
    assert_eq!(
        (status, message.as_str()),
        (503, "no answer within a second from shard 1\n")
    );
    let tasks = json(&observed, "/tasks");
    assert_eq!(tasks["tasks"][0]["name"], "stuck");
    assert!(
        tasks["tasks"][0]["current_poll_seconds"].as_f64().unwrap() >= 1.0,
        "{tasks}"
    );
    go.send(()).unwrap();
    reactor.block_on(stuck).unwrap();
    assert_eq!(ask(&observed, "GET /healthz").0, 200);
}

#[test]
fn a_programs_own_metrics_are_among_the_others() {
    let reactor = reactor().build().unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let running = server.start(
        reactor.handle(),
        |stream: asyncfd::net::TcpStream, _| async move { stream.write_all(b"x").await },
    );
    let running = running.unwrap();
    let stats = running.stats_source();
    let observed = Observe::new(reactor.handle())
        .metrics(move || stats().metrics().collect())
        .listen(&"127.0.0.1:0".parse().unwrap())
        .unwrap();
    let mut answer = String::new();
    TcpStream::connect(running.local_addr())
        .unwrap()
        .read_to_string(&mut answer)
        .unwrap();
    let accepted = |shard: &Value| shard["server_connections_accepted_total"].as_u64().unwrap();
    let shards = json(&observed, "/shards");
    let sum: u64 = shards["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(accepted)
        .sum();
    assert_eq!(sum, 1);
    let text = ask(&observed, "GET /metrics").1;
    assert!(text.contains("# TYPE server_connections gauge\n"), "{text}");
}

#[test]
fn a_unix_socket_is_removed_at_the_end_and_replaces_an_abandoned_one() {
    let folder = tempfile();
    let path = folder.join("observe.sock");
    // A process that was killed leaves its socket file behind.
    drop(UnixListener::bind(&path).unwrap());
    let reactor = reactor().build().unwrap();
    let address = Address::Unix(path.clone());
    let observed = Observe::new(reactor.handle()).listen(&address).unwrap();
    assert_eq!((observed.address(), observed.tcp_addr()), (&address, None));
    let answer = exchange(UnixStream::connect(&path).unwrap(), "GET /healthz");
    assert_eq!(answer, (200, "ok\n".to_owned()));
    let second = Observe::new(reactor.handle()).listen(&address);
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    drop(observed);
    assert!(!path.exists());
    std::fs::remove_dir(folder).unwrap();
}

fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("asyncfd-observe-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_reactor_that_has_ended_is_not_healthy() {
    let reactor = reactor().build().unwrap();
    let observed = observe(reactor.handle());
    drop(reactor);
    assert_eq!(
        ask(&observed, "GET /healthz"),
        (503, "shutting down\n".to_owned())
    );
    assert_eq!(ask(&observed, "GET /metrics").0, 200);
    assert_eq!(json(&observed, "/tasks")["total"], 0);
}
