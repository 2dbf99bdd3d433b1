//! Libraries that need tokio's runtime: each panics or fails on a bare shard, and works with the
//! bridge (`asyncfd::tokio_rt`).
//!
//! The servers are on the bridge's shards too, or in processes of their own that the test starts.

use std::convert::Infallible;
use std::future::{Future, IntoFuture, pending};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use asyncfd::serve::Server;
use asyncfd::serve::http::Http;
use asyncfd::tokio_rt;
use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::get;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use interop::{DEADLINE, Killed, Scratch, run};
use reactor::{Pinning, Reactor, ShardId, time};
use redis::AsyncCommands;
use sqlx::Connection as _;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::timeout::TimeoutLayer;

fn builder() -> reactor::Builder {
    Reactor::builder().shards(2).pinning(Pinning::None)
}

/// Runs a task on a shard. `Err` is its panic, or that it did not end.
fn on<F: Future<Output = ()> + 'static>(
    reactor: &Reactor,
    patience: Duration,
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<(), String> {
    let shard = reactor.handle().shards().next().unwrap();
    let task = reactor.handle().spawn_on(shard, make);
    match reactor.block_on(async { time::timeout(patience, task).await }) {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_elapsed) => Err(String::from("it did not end in time")),
    }
}

/// A row of the table: fails on a bare shard, works with the bridge.
fn row<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F + Send + Clone + 'static) {
    let bare = builder().build().unwrap();
    let failed = on(&bare, Duration::from_secs(5), make.clone());
    println!("bare: {failed:?}");
    assert!(failed.is_err(), "it needs no bridge");
    let bridge = tokio_rt::start(builder()).unwrap();
    on(&bridge, DEADLINE, make).unwrap();
}

/// A web server with its own bridge.
fn web() -> (tokio_rt::Bridge, SocketAddr) {
    let bridge = tokio_rt::start(builder()).unwrap();
    let address = serve(&bridge);
    (bridge, address)
}

/// Starts a web server on these shards.
fn serve(reactor: &Reactor) -> SocketAddr {
    async fn echo(mut socket: WebSocket) {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }
    let app = Router::new()
        .route(
            "/",
            get(async || {
                assert!(ShardId::current().is_some(), "handlers run on the shards");
                "hello"
            }),
        )
        .route("/ws", get(async |ws: WebSocketUpgrade| ws.on_upgrade(echo)));
    let server = Server::bind("127.0.0.1:0").unwrap();
    let server = server
        .start(reactor.handle(), Http::new().serve(app))
        .unwrap();
    server.local_addr()
}

#[test]
fn tower_timeout() {
    row(|| async {
        let slow = service_fn(async |(): ()| pending::<Result<(), Infallible>>().await);
        let mut service = ServiceBuilder::new()
            .timeout(Duration::from_millis(20))
            .service(slow);
        assert!(service.ready().await.unwrap().call(()).await.is_err());
    });
}

#[test]
fn tower_rate_limit() {
    row(|| async {
        let echo = service_fn(async |n: u32| Ok::<_, Infallible>(n));
        let limited = ServiceBuilder::new().rate_limit(1, Duration::from_millis(20));
        let mut service = limited.service(echo);
        let began = Instant::now();
        for n in 0..3 {
            assert_eq!(service.ready().await.unwrap().call(n).await.unwrap(), n);
        }
        assert!(began.elapsed() >= Duration::from_millis(40));
    });
}

#[test]
fn tower_buffer() {
    row(|| async {
        let echo = service_fn(async |n: u32| Ok::<_, Infallible>(n));
        let mut service = ServiceBuilder::new().buffer(4).service(echo);
        for n in 0..10 {
            assert_eq!(service.ready().await.unwrap().call(n).await.unwrap(), n);
        }
    });
}

#[test]
fn tower_http_timeout() {
    row(|| async {
        let slow = service_fn(async |_request: hyper::Request<()>| {
            pending::<Result<hyper::Response<()>, Infallible>>().await
        });
        let status = hyper::StatusCode::REQUEST_TIMEOUT;
        let timeout = TimeoutLayer::with_status_code(status, Duration::from_millis(20));
        let mut service = ServiceBuilder::new().layer(timeout).service(slow);
        let request = hyper::Request::new(());
        let answer = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(answer.status(), status);
    });
}

#[test]
fn reqwest() {
    let (_web, address) = web();
    row(move || async move {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client
            .get(format!("http://{address}/"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    });
}

#[test]
fn hyper_utils_client_with_its_connector() {
    let (_web, address) = web();
    row(move || async move {
        let client: Client<_, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        for _ in 0..3 {
            let answer = client
                .get(format!("http://{address}/").parse().unwrap())
                .await
                .unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "hello");
        }
    });
}

#[test]
fn axums_ws_extractor() {
    /// The client needs no bridge.
    fn exchange(address: SocketAddr) -> Result<(), String> {
        let client = builder().build().unwrap();
        on(&client, DEADLINE, move || async move {
            let stream = asyncfd::net::TcpStream::connect(address).await.unwrap();
            let url = format!("ws://{address}/ws");
            let (mut socket, _) = async_tungstenite::client_async(url, stream).await.unwrap();
            for size in [0, 125, 126, 65_536, 1_000_000] {
                let message = async_tungstenite::tungstenite::Message::binary(interop::noise(size));
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.next().await.unwrap().unwrap(), message);
            }
            socket.close(None).await.unwrap();
        })
    }
    let bare = builder().build().unwrap();
    assert!(exchange(serve(&bare)).is_err(), "it needs no bridge");
    let (_web, address) = web();
    exchange(address).unwrap();
}

#[test]
fn sqlx_with_sqlite() {
    row(|| async {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
        let (sum,): (i64,) = sqlx::query_as("select 40 + ?")
            .bind(2)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(sum, 42);
        pool.close().await;
    });
}

#[test]
fn tonics_server_and_client() {
    row(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (reporter, service) = tonic_health::server::health_reporter();
        reporter
            .set_service_status("it", tonic_health::ServingStatus::Serving)
            .await;
        let server = tonic::transport::Server::builder().add_service(service);
        drop(reactor::spawn_local(async move {
            server.serve(address).await.unwrap()
        }));
        let url = format!("http://{address}");
        let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap();
        let channel = loop {
            match endpoint.connect().await {
                Ok(channel) => break channel,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
        let request = tonic_health::pb::HealthCheckRequest {
            service: String::from("it"),
        };
        let answer = client.check(request).await.unwrap().into_inner();
        assert_eq!(
            answer.status,
            tonic_health::pb::health_check_response::ServingStatus::Serving as i32
        );
    });
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn await_port(process: &mut Killed, port: u16) {
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(process.0.try_wait().unwrap().is_none(), "the server ended");
        assert!(
            began.elapsed() < DEADLINE,
            "the server did not start in time"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn redis_client_and_connection_manager() {
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--port",
        &port.to_string(),
    ]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut server = Killed(child.expect("redis-server is installed"));
    await_port(&mut server, port);
    row(move || async move {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let () = connection.set("a", 1).await.unwrap();
        let mut manager = client.get_connection_manager().await.unwrap();
        assert_eq!(manager.incr::<_, _, i32>("a", 1).await.unwrap(), 2);
    });
}

/// Runs one of PostgreSQL's programs, which refuse to run as root.
fn postgres(program: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("postgresql is installed");
    let newest = versions
        .map(|version| version.unwrap().path())
        .max()
        .unwrap();
    let program = newest.join("bin").join(program);
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let is_root =
        std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    let mut command = Command::new(program);
    if is_root.unwrap() {
        let line = users
            .lines()
            .find(|line| line.starts_with("postgres:"))
            .unwrap();
        let ids: Vec<u32> = line
            .split(':')
            .filter_map(|field| field.parse().ok())
            .collect();
        std::os::unix::process::CommandExt::uid(&mut command, ids[0]);
        std::os::unix::process::CommandExt::gid(&mut command, ids[1]);
    }
    command
}

#[test]
fn tokio_postgres_and_sqlx_with_postgresql() {
    let scratch = Scratch::new("postgres");
    let folder = scratch.file("");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(Path::new(&folder), open).unwrap();
    let data = scratch.file("data");
    let made = run(postgres("initdb")
        .args(["-A", "trust", "-U", "it", "-D"])
        .arg(&data));
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let port = free_port();
    let mut command = postgres("postgres");
    command.arg("-D").arg(&data).arg("-k").arg(&folder);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-c",
        "fsync=off",
    ]);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut server = Killed(child.unwrap());
    await_port(&mut server, port);
    let url = format!("postgres://it@127.0.0.1:{port}/postgres");
    // A server that listens may still be starting up.
    let ready = url.clone();
    let bridge = tokio_rt::start(builder()).unwrap();
    on(&bridge, DEADLINE, move || async move {
        while sqlx::PgConnection::connect(&ready).await.is_err() {
            time::sleep(Duration::from_millis(20)).await;
        }
    })
    .unwrap();
    let with_pool = url.clone();
    row(move || async move {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .unwrap();
        drop(reactor::spawn_local(
            async move { connection.await.unwrap() },
        ));
        let row = client
            .query_one("select 40 + $1::int4", &[&2_i32])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i32>(0), 42);
    });
    row(move || async move {
        let pool = sqlx::PgPool::connect(&with_pool).await.unwrap();
        let (sum,): (i32,) = sqlx::query_as("select 40 + $1")
            .bind(2)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(sum, 42);
        pool.close().await;
    });
}

#[test]
fn tokios_join_set_blocking_threads_and_time() {
    row(|| async {
        let mut set = tokio::task::JoinSet::new();
        set.spawn(async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            20
        });
        set.spawn_blocking(|| 22);
        let mut sum = 0;
        while let Some(n) = set.join_next().await {
            sum += n.unwrap();
        }
        assert_eq!(sum, 42);
    });
}

/// A listener on the shards, for `axum::serve`.
struct Listener(asyncfd::net::TcpListener);

impl axum::serve::Listener for Listener {
    type Io = asyncfd::net::TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(_) => time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// axum spawns each connection on tokio's threads; its socket stays registered with a shard.
#[test]
fn axum_serve_with_our_listener() {
    row(|| async {
        let listener = asyncfd::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route(
            "/",
            get(async || {
                assert!(
                    ShardId::current().is_none(),
                    "handlers run on tokio's threads"
                );
                "hello"
            }),
        );
        let serving = axum::serve(Listener(listener), app).into_future();
        drop(reactor::spawn_local(serving));
        let client: Client<_, Empty<Bytes>> =
            Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let uri = format!("http://{address}/").parse().unwrap();
        let body = client.get(uri).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    });
}
