// A key-value store, as a program for tokio would be written. It has a TCP port with a line
// protocol, a proxy in front of it, a UDP port for health checks, and a Unix socket for the
// operator. `main` starts the servers, plays their clients, and stops them.
//
// The `use` lines of the runtime stand in a file of their own. What follows is the same on both
// runtimes, `tokio::sync` and `tokio::select!` included, which need no runtime.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::select;
use tokio::sync::{mpsc, watch};

/// The time after which a silent client is cut off.
const IDLE: Duration = Duration::from_secs(2);

/// The time between two looks for expired entries.
const EXPIRY_PERIOD: Duration = Duration::from_millis(5);

/// The time that everything in this program has to take.
const PATIENCE: Duration = Duration::from_secs(20);

const CLIENTS: usize = 16;
const ROUNDS: usize = 20;

struct Entry {
    value: String,
    expires: Option<Instant>,
}

#[derive(Default)]
struct Store {
    entries: Mutex<HashMap<String, Entry>>,
    watchers: Mutex<Vec<mpsc::UnboundedSender<String>>>,
    requests: AtomicU64,
    expired: AtomicU64,
}

impl Store {
    fn set(&self, key: &str, value: &str, ttl: Option<Duration>) {
        let entry = Entry {
            value: value.to_owned(),
            expires: ttl.map(|ttl| Instant::now() + ttl),
        };
        self.entries.lock().unwrap().insert(key.to_owned(), entry);
        let change = format!("CHANGED {key} {value}\n");
        let mut watchers = self.watchers.lock().unwrap();
        watchers.retain(|watcher| watcher.send(change.clone()).is_ok());
    }

    fn get(&self, key: &str) -> Option<String> {
        let entries = self.entries.lock().unwrap();
        entries.get(key).map(|entry| entry.value.clone())
    }

    fn expire(&self, now: Instant) {
        let mut entries = self.entries.lock().unwrap();
        let before = entries.len();
        entries.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
        let expired = before - entries.len();
        self.expired.fetch_add(expired as u64, Ordering::Relaxed);
    }

    fn watch(&self) -> mpsc::UnboundedReceiver<String> {
        let (sender, changes) = mpsc::unbounded_channel();
        self.watchers.lock().unwrap().push(sender);
        changes
    }
}

/// Removes expired entries until the program stops.
async fn expire(store: Arc<Store>, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval(EXPIRY_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            _ = ticks.tick() => store.expire(Instant::now()),
            _ = stop.changed() => return,
        }
    }
}

/// Accepts clients until the program stops, then waits for those that are connected.
async fn serve(
    listener: TcpListener,
    store: Arc<Store>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<usize> {
    let mut clients = JoinSet::new();
    let mut served = 0;
    loop {
        select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                clients.spawn(converse(stream, Arc::clone(&store)));
            }
            Some(ended) = clients.join_next() => {
                ended?;
                served += 1;
            }
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    while let Some(ended) = clients.join_next().await {
        ended?;
        served += 1;
    }
    Ok(served)
}

/// Serves one client until it leaves, or was silent for too long.
async fn converse(stream: TcpStream, store: Arc<Store>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    loop {
        let line = match timeout(IDLE, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(_) => return,
            Err(_elapsed) => {
                let _ = write.write_all(b"ERROR idle\n").await;
                let _ = write.shutdown().await;
                return;
            }
        };
        store.requests.fetch_add(1, Ordering::Relaxed);
        if answer(&line, &store, &mut write).await.is_err() {
            return;
        }
    }
}

/// Answers one request.
async fn answer(line: &str, store: &Arc<Store>, write: &mut OwnedWriteHalf) -> io::Result<()> {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = match words[..] {
        ["SET", key, value] => {
            store.set(key, value, None);
            "OK".to_owned()
        }
        ["SET", key, value, ms] => {
            let ms = ms.parse().map_err(io::Error::other)?;
            store.set(key, value, Some(Duration::from_millis(ms)));
            "OK".to_owned()
        }
        ["GET", key] => match store.get(key) {
            Some(value) => format!("VALUE {value}"),
            None => "NONE".to_owned(),
        },
        ["SUM", key] => {
            let value = store.get(key).unwrap_or_default();
            let sum = spawn_blocking(move || value.bytes().map(u64::from).sum::<u64>());
            format!("SUM {}", sum.await?)
        }
        ["WATCH", count] => {
            let count = count.parse().map_err(io::Error::other)?;
            let mut changes = store.watch();
            write.write_all(b"WATCHING\n").await?;
            for _ in 0..count {
                let change = changes.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
                write.write_all(change.as_bytes()).await?;
            }
            return Ok(());
        }
        _ => format!("ERROR {line}"),
    };
    write.write_all(reply.as_bytes()).await?;
    write.write_all(b"\n").await
}

/// Passes connections on to the server.
async fn forward(listener: TcpListener, server: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        spawn(async move {
            let server = TcpStream::connect(server).await?;
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let back = spawn(async move {
                copy(&mut from_server, &mut to_client).await?;
                to_client.shutdown().await
            });
            let bytes = copy(&mut from_client, &mut to_server).await?;
            to_server.shutdown().await?;
            back.await??;
            io::Result::Ok(bytes)
        });
    }
}

/// Answers health checks with the number of requests.
async fn report_health(socket: UdpSocket, store: Arc<Store>, mut stop: watch::Receiver<bool>) {
    let mut buffer = [0; 64];
    loop {
        select! {
            received = socket.recv_from(&mut buffer) => {
                let Ok((n, from)) = received else { return };
                let requests = store.requests.load(Ordering::Relaxed);
                let reply = format!("{} {requests}", String::from_utf8_lossy(&buffer[..n]));
                let _ = socket.send_to(reply.as_bytes(), from).await;
            }
            _ = stop.changed() => return,
        }
    }
}

/// Takes the operator's commands. `stop` ends the program.
async fn take_commands(listener: UnixListener, store: Arc<Store>, stop: watch::Sender<bool>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            return;
        };
        let mut command = Vec::new();
        if stream.read_to_end(&mut command).await.is_err() {
            continue;
        }
        if command == b"stop" {
            let _ = stop.send(true);
            let _ = stream.write_all(b"stopping").await;
            return;
        }
        let expired = store.expired.load(Ordering::Relaxed);
        let _ = stream.write_all(format!("expired {expired}").as_bytes()).await;
    }
}

/// Sends a command of the operator, and returns the reply.
async fn command(path: &Path, command: &[u8]) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(command).await?;
    stream.shutdown().await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    String::from_utf8(reply).map_err(io::Error::other)
}

/// A client that sends a line and reads one.
struct Client {
    lines: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    write: OwnedWriteHalf,
}

impl Client {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let (read, write) = TcpStream::connect(address).await?.into_split();
        let (sender, lines) = mpsc::unbounded_channel();
        spawn(async move {
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let lines = tokio::sync::Mutex::new(lines);
        Ok(Self { lines, write })
    }

    async fn read(&self) -> io::Result<String> {
        let line = self.lines.lock().await.recv().await;
        line.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn ask(&mut self, request: &str) -> io::Result<String> {
        self.write.write_all(format!("{request}\n").as_bytes()).await?;
        self.read().await
    }
}

/// Sets and reads keys of its own.
async fn play(number: usize, address: SocketAddr) -> io::Result<usize> {
    let mut client = Client::connect(address).await?;
    for round in 0..ROUNDS {
        let (key, value) = (format!("key-{number}"), format!("value-{round}"));
        assert_eq!(client.ask(&format!("SET {key} {value}")).await?, "OK");
        yield_now().await;
        let reply = client.ask(&format!("GET {key}")).await?;
        assert_eq!(reply, format!("VALUE {value}"));
    }
    let sum = client.ask(&format!("SUM key-{number}")).await?;
    let expected: u64 = format!("value-{}", ROUNDS - 1).bytes().map(u64::from).sum();
    assert_eq!(sum, format!("SUM {expected}"));
    Ok(2 * ROUNDS + 1)
}

fn socket_path() -> PathBuf {
    let name = format!("moved-{}-{:?}", std::process::id(), std::thread::current().id());
    std::env::temp_dir().join(name.replace(['(', ')'], ""))
}

#[main]
pub(super) async fn main() {
    timeout(PATIENCE, run()).await.expect("it takes too long").unwrap();
}

async fn run() -> io::Result<()> {
    let store = Arc::new(Store::default());
    let (stop, stopped) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?;
    let front = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = front.local_addr()?;
    let health = UdpSocket::bind("127.0.0.1:0").await?;
    let health_address = health.local_addr()?;
    let path = socket_path();
    let operator = UnixListener::bind(&path)?;

    let serving = spawn(serve(listener, Arc::clone(&store), stopped.clone()));
    let forwarding = spawn(forward(front, server));
    let reporting = spawn(report_health(health, Arc::clone(&store), stopped.clone()));
    let expiring = spawn(expire(Arc::clone(&store), stopped));
    let commanded = spawn(take_commands(operator, Arc::clone(&store), stop));

    // Many clients at once, every second one through the proxy.
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(play(number, if number % 2 == 0 { server } else { proxy }));
    }
    let mut requests = 0;
    while let Some(played) = clients.join_next().await {
        requests += played??;
    }
    assert_eq!(store.requests.load(Ordering::Relaxed), requests as u64);

    // One client watches what another one changes.
    let mut watcher = Client::connect(proxy).await?;
    assert_eq!(watcher.ask("WATCH 2").await?, "WATCHING");
    let mut writer = Client::connect(server).await?;
    assert_eq!(writer.ask("SET watched a").await?, "OK");
    assert_eq!(writer.ask("SET watched b 20").await?, "OK");
    assert_eq!(watcher.read().await?, "CHANGED watched a");
    assert_eq!(watcher.read().await?, "CHANGED watched b");
    drop(watcher);

    // The last value expires.
    let started = Instant::now();
    while writer.ask("GET watched").await? != "NONE" {
        sleep(Duration::from_millis(2)).await;
    }
    assert!(started.elapsed() < PATIENCE);

    // A client that is silent is cut off.
    assert_eq!(writer.ask("NONSENSE").await?, "ERROR NONSENSE");
    assert_eq!(writer.read().await?, "ERROR idle");
    assert!(writer.read().await.is_err());

    // The health check and the operator.
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(health_address).await?;
    socket.send(b"ping").await?;
    let mut buffer = [0; 64];
    let n = socket.recv(&mut buffer).await?;
    assert!(buffer[..n].starts_with(b"ping "));
    assert_eq!(command(&path, b"stats").await?, "expired 1");
    assert_eq!(command(&path, b"stop").await?, "stopping");
    std::fs::remove_file(&path)?;

    // Everything ends.
    assert_eq!(serving.await??, CLIENTS + 2);
    for task in [reporting, expiring, commanded] {
        task.await?;
    }
    forwarding.abort();
    assert!(forwarding.await.unwrap_err().is_cancelled());
    Ok(())
}
