//! `Server::timeouts`: handlers that are not HTTP, with peers that stop, and slow ones that go on.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream as Client;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use asyncfd::io::BufReader;
use asyncfd::net::TcpStream;
use asyncfd::serve::{Running, Server, Tcp, Timed, TimedStream, Timeouts};
use reactor::{MetricValue, Pinning, Reactor};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// More than the two sockets hold.
const LARGE: usize = 16 << 20;

type Stream = TimedStream<TcpStream>;

fn reactor() -> Reactor {
    let builder = Reactor::builder().shards(2).pinning(Pinning::None);
    builder.build().unwrap()
}

/// Starts a server whose handler tells its result.
fn start<F>(
    reactor: &Reactor,
    timeouts: Timeouts,
    handler: impl Fn(Stream) -> F + Send + Sync + 'static,
) -> (Running<Timed<Tcp>>, Receiver<io::Result<()>>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let (tell, told) = channel();
    let server = Server::bind("127.0.0.1:0").unwrap().timeouts(timeouts);
    let server = server.start(reactor.handle(), move |stream, _| {
        let (tell, handled) = (tell.clone(), handler(stream));
        async move { tell.send(handled.await).unwrap() }
    });
    (server.unwrap(), told)
}

fn connect(server: &Running<Timed<Tcp>>) -> Client {
    let client = Client::connect(server.local_addr()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

async fn echo(mut stream: Stream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

async fn send_much(mut stream: Stream) -> io::Result<()> {
    stream.write_all(&vec![1; LARGE]).await?;
    stream.shutdown().await
}

fn timed_out(server: &Running<Timed<Tcp>>) -> u64 {
    server.stats().total(|shard| shard.timed_out)
}

/// A shard that fetches one event at once is busy for longer than the idle timeout, while all peers
/// send. Then the timers of all connections pass before most of their events are fetched. If the
/// first handler blocks, too, the turn itself is longer than the timeout.
fn late_shard_serves_all(handler_blocks: bool) {
    const IDLE: Duration = Duration::from_millis(800);
    let builder = Reactor::builder().shards(1).events_per_poll(1);
    let reactor = builder.pinning(Pinning::None).build().unwrap();
    let blocks = Arc::new(AtomicBool::new(handler_blocks));
    let echo = move |mut stream: Stream| {
        let blocks = Arc::clone(&blocks);
        async move {
            let mut buffer = [0; 5];
            loop {
                stream.read_exact(&mut buffer).await?;
                if &buffer == b"again" && blocks.swap(false, Ordering::Relaxed) {
                    thread::sleep(IDLE * 2);
                }
                stream.write_all(&buffer).await?;
            }
        }
    };
    let (server, _told) = start(&reactor, Timeouts::new().idle(IDLE), echo);
    let mut clients: Vec<_> = (0..16).map(|_| connect(&server)).collect();
    let round_trip = |client: &mut Client| {
        let mut came = [0; 5];
        client.read_exact(&mut came).map(|()| came)
    };
    for client in &mut clients {
        client.write_all(b"first").unwrap();
        assert_eq!(&round_trip(client).unwrap(), b"first");
    }
    let (started, is_busy) = channel();
    let busy = reactor.spawn(async move {
        started.send(()).unwrap();
        thread::sleep(IDLE * 2);
    });
    is_busy.recv_timeout(DEADLINE).unwrap();
    for client in &mut clients {
        client.write_all(b"again").unwrap();
    }
    reactor.block_on(busy).unwrap();
    for client in &mut clients {
        assert_eq!(&round_trip(client).expect("not ended"), b"again");
    }
    // The handler that blocks has used up its own time.
    assert!(timed_out(&server) <= u64::from(handler_blocks));
}

#[test]
fn a_late_shard_ends_no_connection_whose_bytes_wait() {
    late_shard_serves_all(false);
}

#[test]
fn a_turn_longer_than_the_timeout_ends_no_connection_whose_bytes_wait() {
    late_shard_serves_all(true);
}

#[test]
fn a_silent_peer_is_ended_and_counted() {
    let reactor = reactor();
    let idle = Timeouts::new().idle(Duration::from_millis(50));
    let (server, told) = start(&reactor, idle, echo);
    let mut client = connect(&server);
    client.write_all(b"hello").unwrap();
    let mut came = Vec::new();
    client.read_to_end(&mut came).unwrap();
    assert_eq!(came, b"hello");
    let error = told.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(timed_out(&server), 1);
    let counted: Vec<_> = server
        .stats()
        .metrics()
        .filter(|metric| metric.name == "server_connections_timed_out_total")
        .map(|metric| match metric.value {
            MetricValue::Integer(value) => value,
            _ => panic!("a counter is a whole number"),
        })
        .collect();
    assert_eq!(counted.len(), 2, "one for each shard");
    assert_eq!(counted.iter().sum::<u64>(), 1);
}

#[test]
fn bytes_that_come_slowly_put_the_idle_timeout_off() {
    let reactor = reactor();
    let idle = Timeouts::new().idle(Duration::from_millis(1500));
    let (server, told) = start(&reactor, idle, echo);
    let mut client = connect(&server);
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(250));
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    drop(client);
    told.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!(timed_out(&server), 0);
}

#[test]
fn a_peer_that_reads_nothing_is_ended_and_a_slow_one_is_not() {
    let reactor = reactor();
    let write = Timeouts::new().write(Duration::from_millis(800));
    let (server, told) = start(&reactor, write, send_much);
    let client = connect(&server);
    let error = told.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(timed_out(&server), 1);
    drop(client);

    let mut client = connect(&server);
    let began = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        match client.read(&mut buffer).unwrap() {
            0 => break,
            read => len += read,
        }
        thread::sleep(Duration::from_millis(80));
    }
    assert_eq!(len, LARGE);
    assert!(began.elapsed() > Duration::from_millis(800));
    told.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!(timed_out(&server), 1);
}

#[test]
fn a_handler_may_answer_after_a_timeout_and_counts_once() {
    let reactor = reactor();
    let idle = Timeouts::new().idle(Duration::from_millis(50));
    let (server, told) = start(&reactor, idle, async |mut stream| {
        for _ in 0..3 {
            let error = stream.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        stream.write_all(b"too slow").await
    });
    let mut came = String::new();
    connect(&server).read_to_string(&mut came).unwrap();
    assert_eq!(came, "too slow");
    told.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!(timed_out(&server), 1);
}

#[test]
fn lines_are_timed() {
    let reactor = reactor();
    let idle = Timeouts::new().idle(Duration::from_millis(50));
    let (server, told) = start(&reactor, idle, async |stream| {
        let mut lines = BufReader::new(stream).lines();
        while let Some(line) = lines.next_line().await? {
            assert_eq!(line, "whole");
        }
        Ok(())
    });
    let mut client = connect(&server);
    client.write_all(b"whole\nhalf").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    let error = told.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(timed_out(&server), 1);
}

#[cfg(feature = "tokio-io")]
#[test]
fn tokios_traits_are_timed() {
    let reactor = reactor();
    let idle = Timeouts::new().idle(Duration::from_millis(50));
    let (server, told) = start(&reactor, idle, async |stream| {
        let (mut reads, mut writes) = tokio::io::split(stream);
        tokio::io::copy(&mut reads, &mut writes).await.map(drop)
    });
    let mut client = connect(&server);
    client.write_all(b"hello").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    let error = told.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(timed_out(&server), 1);
}
