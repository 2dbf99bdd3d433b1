//! The Redis client, whose multiplexed connection takes any stream with tokio's traits, with the
//! test's own redis-server, over TCP and over a Unix socket.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use asyncfd::net::{TcpStream, UnixStream};
use interop::{DEADLINE, Killed, Scratch, noise, on_a_shard, two_shards};
use reactor::{ShardId, spawn_local};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo};

struct Server {
    port: u16,
    socket: PathBuf,
    _process: Killed,
    _scratch: Scratch,
}

fn server(name: &str) -> Server {
    let scratch = Scratch::new(name);
    // The port was free a moment ago. If another process takes it meanwhile, the server ends and
    // the test reports it.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let socket = scratch.file("redis.sock");
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command
        .args(["--port", &port.to_string(), "--dir"])
        .arg(scratch.file(""));
    command.arg("--unixsocket").arg(&socket);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = Killed(command.spawn().expect("redis-server is installed"));
    let began = Instant::now();
    // The server creates the socket last.
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(
            process.0.try_wait().unwrap().is_none(),
            "redis-server ended"
        );
        assert!(
            began.elapsed() < DEADLINE,
            "redis-server did not start in time"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Server {
        port,
        socket,
        _process: process,
        _scratch: scratch,
    }
}

/// Creates a client on a stream. Its driver runs on the shard. Its own timeouts, which need tokio's
/// timer, are off: `reactor::time::timeout` replaces them.
async fn client<S>(stream: S) -> MultiplexedConnection
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let info = RedisConnectionInfo::default();
    let (client, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
        .await
        .unwrap();
    drop(spawn_local(driver));
    client
}

/// Runs single commands, a large value, a pipeline, and many tasks that share the one connection.
async fn exercise(mut client: MultiplexedConnection) {
    let here = ShardId::current();
    let () = client.set("greeting", "hello").await.unwrap();
    assert_eq!(client.get::<_, String>("greeting").await.unwrap(), "hello");
    assert_eq!(
        client.get::<_, Option<String>>("nothing").await.unwrap(),
        None
    );

    let large = noise(4_000_001);
    let () = client.set("large", &large).await.unwrap();
    let came: Vec<u8> = client.get("large").await.unwrap();
    assert!(came == large, "{} bytes came back", came.len());

    let mut pipeline = redis::pipe();
    for number in 0..1000 {
        pipeline.cmd("INCRBY").arg("sum").arg(number);
    }
    let sums: Vec<u64> = pipeline.query_async(&mut client).await.unwrap();
    assert_eq!(sums.len(), 1000);
    assert_eq!(sums.last(), Some(&(999 * 1000 / 2)));

    let mut tasks = Vec::new();
    for task in 0..50_u32 {
        let mut client = client.clone();
        tasks.push(spawn_local(async move {
            let key = format!("task-{task}");
            for number in 1..=20_u32 {
                assert_eq!(
                    client.incr::<_, _, u32>(&key, task).await.unwrap(),
                    task * number
                );
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let error = client.lpush::<_, _, ()>("greeting", 1).await.unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    assert_eq!(ShardId::current(), here);
}

#[test]
fn the_client_works_over_tcp() {
    let server = server("redis-tcp");
    let reactor = two_shards();
    let port = server.port;
    on_a_shard(&reactor, move || async move {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        exercise(client(stream).await).await;
    });
}

#[test]
fn the_client_works_over_a_unix_socket() {
    let server = server("redis-unix");
    let reactor = two_shards();
    let socket = server.socket.clone();
    on_a_shard(&reactor, move || async move {
        exercise(client(UnixStream::connect(socket).await.unwrap()).await).await;
    });
}

#[test]
fn a_server_that_goes_away_is_an_error_of_the_next_command() {
    let server = server("redis-gone");
    let reactor = two_shards();
    on_a_shard(&reactor, move || async move {
        let mut client = client(UnixStream::connect(&server.socket).await.unwrap()).await;
        let () = client.set("a", 1).await.unwrap();
        drop(server);
        let error = client.get::<_, u8>("a").await.unwrap_err();
        assert!(
            error.is_io_error() || error.is_connection_dropped(),
            "{error}"
        );
    });
}
