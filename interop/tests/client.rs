//! HTTP clients on a bare shard, without tokio's runtime: hyper-util's pool over `asyncfd::client`,
//! against this project's server, nginx and Python's. tonic's channel over it needs the bridge.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use asyncfd::client::HttpConnector;
use asyncfd::compat::{MobileExecutor, ShardTimer};
use asyncfd::serve::Server;
use asyncfd::serve::http::Http;
use axum::Router;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use interop::{DEADLINE, Killed, Scratch, on_a_shard, two_shards};
use reactor::JoinSet;

type Pool = Client<HttpConnector, String>;

fn pool(http2: bool) -> Pool {
    Client::builder(MobileExecutor::new())
        .pool_timer(ShardTimer::new())
        .timer(ShardTimer::new())
        .http2_only(http2)
        .build(HttpConnector::new())
}

async fn fetch(pool: &Pool, url: &str) -> Bytes {
    let answer = pool.get(url.parse().unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// A port on which nothing listens now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until a server that was started listens.
fn await_port(server: &mut Killed, port: u16) {
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(server.0.try_wait().unwrap().is_none(), "the server ended");
        assert!(began.elapsed() < DEADLINE, "the server did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_pool_reuses_connections_to_our_server() {
    for http2 in [false, true] {
        let reactor = two_shards();
        let app = Router::new()
            .route("/", get(async || "hello"))
            .route("/echo", post(async |body: Bytes| body));
        let server = Server::bind("127.0.0.1:0").unwrap();
        let server = server
            .start(reactor.handle(), Http::new().serve(app))
            .unwrap();
        let url = format!("http://localhost:{}/", server.local_addr().port());
        on_a_shard(&reactor, move || async move {
            let pool = pool(http2);
            for _ in 0..20 {
                assert_eq!(fetch(&pool, &url).await, "hello");
            }
            let sent = "x".repeat(1_000_000);
            let request = Request::post(format!("{url}echo"))
                .body(sent.clone())
                .unwrap();
            let answer = pool.request(request).await.unwrap();
            let came = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(came == sent, "another body than the one that was sent");
            // Side by side: HTTP/2 needs no further connection.
            let mut under_way = JoinSet::new();
            for _ in 0..20 {
                let (pool, url) = (pool.clone(), url.clone());
                under_way.spawn(async move { fetch(&pool, &url).await });
            }
            while let Some(body) = under_way.join_next().await {
                assert_eq!(body.unwrap(), "hello");
            }
        });
        let stats = reactor.block_on(server.shutdown());
        let accepted = stats.total(|shard| shard.accepted);
        // One after the other they share a connection, and the 20 side by side take at most one
        // each. A connection that has not come back to the pool yet is replaced by a new one.
        assert!(accepted <= if http2 { 1 } else { 25 }, "{accepted}");
    }
}

#[test]
fn the_pool_fetches_from_nginx_and_python() {
    let scratch = Scratch::new("pages");
    let page = interop::noise(300_000);
    std::fs::write(scratch.file("page"), &page).unwrap();
    let root = scratch.file("").display().to_string();

    let mut servers = Vec::new();
    let port = free_port();
    let mut python = Command::new(std::env::var("PYTHON").unwrap_or("python3".into()));
    python.args([
        "-m",
        "http.server",
        "--bind",
        "127.0.0.1",
        "--protocol",
        "HTTP/1.1",
    ]);
    python.args(["--directory", &root, &port.to_string()]);
    servers.push((python, port));
    let port = free_port();
    let config = format!(
        "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error; \
         events {{}} http {{ access_log off; server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    );
    std::fs::write(scratch.file("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(scratch.file("nginx.conf"));
    servers.push((nginx, port));
    // nginx's workers may run as another user.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.file(""), open).unwrap();

    for (mut command, port) in servers {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = command.stderr(Stdio::null()).spawn();
        let mut server = Killed(started.expect("nginx and python3 are installed"));
        await_port(&mut server, port);
        let reactor = two_shards();
        let expected = page.clone();
        on_a_shard(&reactor, move || async move {
            let pool = pool(false);
            for _ in 0..10 {
                let came = fetch(&pool, &format!("http://127.0.0.1:{port}/page")).await;
                assert!(
                    came == expected,
                    "another page than the one that was written"
                );
            }
        });
        // SIGTERM, so that nginx ends its worker.
        let pid = server.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        server.0.wait().unwrap();
    }
}

#[test]
fn a_server_that_does_not_answer_is_an_error() {
    let reactor = two_shards();
    let port = free_port();
    on_a_shard(&reactor, move || async move {
        let pool = pool(false);
        let refused = pool.get(format!("http://127.0.0.1:{port}/").parse().unwrap());
        assert!(refused.await.unwrap_err().is_connect());
        let other = pool.get("https://127.0.0.1/".parse().unwrap()).await;
        assert!(other.unwrap_err().is_connect());
    });
}

#[test]
fn tonics_channel_takes_the_connector() {
    let bridge = asyncfd::tokio_rt::start(reactor::Reactor::builder().shards(2)).unwrap();
    on_a_shard(&bridge, || async {
        let (reporter, service) = tonic_health::server::health_reporter();
        let status = tonic_health::ServingStatus::Serving;
        reporter.set_service_status("it", status).await;
        let routes = tonic::service::Routes::new(service)
            .prepare()
            .into_axum_router();
        let server = Server::bind("127.0.0.1:0").unwrap();
        let http = Http::new().http2_only();
        let handle = reactor::Handle::current();
        let server = server.start(&handle, http.serve(routes)).unwrap();
        let url = format!("http://{}", server.local_addr());
        let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap();
        let channel = endpoint
            .connect_with_connector(HttpConnector::new())
            .await
            .unwrap();
        let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
        let request = tonic_health::pb::HealthCheckRequest {
            service: "it".into(),
        };
        let answer = client.check(request).await.unwrap().into_inner();
        let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
        assert_eq!(answer.status, serving as i32);
    });
}
