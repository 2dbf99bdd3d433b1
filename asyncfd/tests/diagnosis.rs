//! The symptoms of `guide::diagnosis`: each is caused on purpose, then found through the endpoint
//! alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use asyncfd::net::{TcpStream as AsyncTcpStream, UnixStream};
use asyncfd::observe::{Observe, Observed};
use asyncfd::serve::{AcceptPolicy, Running, Server, Tcp};
use reactor::{Builder, Handle, Pinning, Reactor, time};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(20);

/// The length of an interval between two samples.
const SAMPLE: Duration = Duration::from_millis(300);

/// Held by tests that measure rates, one of which takes the CPUs from all others.
static MEASURES: Mutex<()> = Mutex::new(());

fn measures() -> impl Drop {
    MEASURES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn builder() -> Builder {
    Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .work_stealing(false)
        .histograms(true)
        .task_tracking(true)
}

fn observe(handle: &Handle) -> Observed {
    Observe::new(handle)
        .listen(&"127.0.0.1:0".parse().unwrap())
        .unwrap()
}

fn observe_server(running: &Running<Tcp>) -> Observed {
    let stats = running.stats_source();
    let observe = Observe::new(running.handle()).metrics(move || stats().metrics().collect());
    observe.listen(&"127.0.0.1:0".parse().unwrap()).unwrap()
}

fn get(observed: &Observed, path: &str) -> String {
    let mut stream = TcpStream::connect(observed.tcp_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn shards(observed: &Observed) -> Vec<Value> {
    let all: Value = serde_json::from_str(&get(observed, "/shards")).unwrap();
    all["shards"].as_array().unwrap().clone()
}

fn tasks(observed: &Observed) -> Vec<Value> {
    let all: Value = serde_json::from_str(&get(observed, "/tasks")).unwrap();
    all["tasks"].as_array().unwrap().clone()
}

/// Returns the task of this name once `is_so` is true of it.
fn task(observed: &Observed, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let found = tasks(observed)
            .into_iter()
            .find(|task| task["name"] == name);
        match found {
            Some(task) if is_so(&task) => return task,
            found => assert!(start.elapsed() < DEADLINE, "{name}: {found:?}"),
        }
    }
}

/// Returns each shard's increase of a counter per second.
fn rates(observed: &Observed, counter: &str) -> Vec<f64> {
    let read = || -> Vec<f64> {
        shards(observed)
            .iter()
            .map(|shard| shard[counter].as_f64().unwrap())
            .collect()
    };
    let (start, before) = (Instant::now(), read());
    thread::sleep(SAMPLE);
    let now = read();
    let seconds = start.elapsed().as_secs_f64();
    before
        .iter()
        .zip(now)
        .map(|(before, now)| (now - before) / seconds)
        .collect()
}

/// Blocks a shard in one poll until the sender is dropped.
fn block(handle: &Handle, shard: usize, name: &str) -> Sender<()> {
    let (go, gate) = channel::<()>();
    let (running, is_running) = channel();
    let task = handle.build_task().name(name);
    drop(task.spawn_on(handle.shard(shard), move || async move {
        running.send(()).unwrap();
        let _ = gate.recv();
    }));
    is_running.recv().unwrap();
    go
}

/// Keeps a shard busy with polls of a millisecond until the flag is set.
fn burn(handle: &Handle, shard: usize, ends: &Arc<AtomicBool>) {
    let ends = Arc::clone(ends);
    drop(handle.spawn_on(handle.shard(shard), move || async move {
        while !ends.load(Ordering::Relaxed) {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1) {}
            reactor::yield_now().await;
        }
    }));
}

#[test]
fn one_shard_hot() {
    let _measures = measures();
    let reactor = builder().build().unwrap();
    let ends = Arc::default();
    burn(reactor.handle(), 1, &ends);
    let observed = observe(reactor.handle());
    // A sample is inexact if this thread or the shard gets no CPU at its beginning or end.
    eventually(|| {
        let busy = rates(&observed, "busy_seconds_total");
        busy[1] > 0.7 && busy[0] < 0.3
    });
    ends.store(true, Ordering::Relaxed);
}

#[test]
fn a_stall() {
    let reactor = builder()
        .detect_stalls(Duration::from_millis(20))
        .build()
        .unwrap();
    let observed = observe(reactor.handle());
    let go = block(reactor.handle(), 1, "blocks");
    let stuck = task(&observed, "blocks", |task| {
        task["current_poll_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.1)
    });
    assert_eq!(
        (&stuck["state"], &stuck["shard"]),
        (&"running".into(), &1.into())
    );
    assert!(
        stuck["spawned_at"]
            .as_str()
            .unwrap()
            .contains("diagnosis.rs")
    );
    assert_eq!(
        tasks(&observed)[0]["name"],
        "blocks",
        "the longest poll comes first"
    );
    assert_eq!(shards(&observed)[1]["stalls_total"], 1);
    assert!(get(&observed, "/healthz").contains("shard 1"));
    drop(go);
}

#[test]
fn starving_accept() {
    let _measures = measures();
    let reactor = builder().build().unwrap();
    // One listener: the first shard accepts for both.
    let server = Server::bind("127.0.0.1:0")
        .unwrap()
        .accept(AcceptPolicy::RoundRobin);
    let running = server.start(reactor.handle(), |stream: AsyncTcpStream, _| async move {
        stream.write_all(b"x").await
    });
    let running = running.unwrap();
    let observed = observe_server(&running);
    let go = block(reactor.handle(), 0, "blocks");
    let mut client = TcpStream::connect(running.local_addr()).unwrap();
    let accepted = rates(&observed, "server_accept_calls_total");
    assert_eq!(accepted, [0.0, 0.0], "a client waits, and no shard accepts");
    let blocks = task(&observed, "blocks", |_| true);
    assert_eq!(
        (&blocks["shard"], &blocks["state"]),
        (&0.into(), &"running".into())
    );
    drop(go);
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
}

#[test]
fn a_descriptor_leak() {
    let reactor = builder().build().unwrap();
    let leaked = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&leaked);
    let server = Server::bind("127.0.0.1:0").unwrap();
    let running = server.start(reactor.handle(), move |stream: AsyncTcpStream, _| {
        // Each connection leaves the socket of some helper behind.
        let (near, _far) = StdUnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        keep.lock()
            .unwrap()
            .push(UnixStream::from_std(near).unwrap());
        async move { stream.write_all(b"x").await }
    });
    let running = running.unwrap();
    let observed = observe_server(&running);
    let sum = |key: &str| -> u64 {
        shards(&observed)
            .iter()
            .map(|shard| shard[key].as_u64().unwrap())
            .sum()
    };
    let before = sum("registrations");
    for _ in 0..20 {
        talk(running.local_addr());
    }
    eventually(|| sum("server_connections") == 0);
    assert_eq!(
        sum("registrations") - before,
        20,
        "they grow while connections do not"
    );
    drop(reactor);
    leaked.lock().unwrap().clear();
}

/// Connects, and reads to the end.
fn talk(addr: SocketAddr) {
    let mut answer = String::new();
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.read_to_string(&mut answer).unwrap();
}

fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE);
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_task_leak() {
    let reactor = builder().build().unwrap();
    let (kept, receivers): (Vec<_>, Vec<_>) = (0..50).map(|_| channel::<()>()).unzip();
    let mut lines = Vec::new();
    for receiver in receivers {
        let waits_for_ever = async move {
            std::future::pending::<()>().await;
            drop(receiver);
        };
        lines.push(line!() + 1);
        drop(reactor.spawn(waits_for_ever));
    }
    let observed = observe(reactor.handle());
    let here = format!("diagnosis.rs:{}:", lines[0]);
    eventually(|| {
        tasks(&observed)
            .iter()
            .all(|task| task["state"] == "waiting")
    });
    let leaked = tasks(&observed);
    let from_here = |task: &&Value| task["spawned_at"].as_str().unwrap().contains(&here);
    assert_eq!(
        leaked.iter().filter(from_here).count(),
        50,
        "one line spawned them: {}",
        leaked[0]
    );
    assert!(
        leaked
            .iter()
            .all(|task| task["waits_for"] == serde_json::json!([])),
        "nothing wakes them"
    );
    drop(kept);
}

#[test]
fn late_timers() {
    let reactor = builder().build().unwrap();
    let handle = reactor.handle();
    let observed = observe(handle);
    let (set, is_set) = channel();
    drop(
        handle
            .build_task()
            .name("sleeper")
            .spawn_on(handle.shard(0), move || async move {
                set.send(()).unwrap();
                loop {
                    time::sleep(Duration::from_millis(200)).await;
                }
            }),
    );
    is_set.recv().unwrap();
    task(&observed, "sleeper", |task| task["state"] == "waiting");
    let go = block(handle, 0, "blocks");
    // The timer is due, and its task still waits: the shard does not look at its timers.
    task(&observed, "sleeper", |task| {
        task["state"] == "waiting" && task["waits_for"][0]["timer_seconds"] == 0.0
    });
    task(&observed, "blocks", |task| task["state"] == "running");
    drop(go);
}

#[test]
fn a_wake_storm() {
    let _measures = measures();
    let reactor = builder().build().unwrap();
    let handle = reactor.handle();
    let ends = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&ends);
    drop(
        handle
            .build_task()
            .name("storm")
            .spawn_on(handle.shard(0), move || async move {
                while !stop.load(Ordering::Relaxed) {
                    reactor::yield_now().await;
                }
            }),
    );
    let observed = observe(handle);
    let polls = rates(&observed, "task_polls_total")[0];
    let events = rates(&observed, "events_total")[0];
    assert!(
        polls > 1000.0 && polls > 100.0 * events,
        "{polls} polls and {events} events a second"
    );
    let storm = &tasks(&observed)[0];
    assert_eq!(storm["name"], "storm");
    assert!(storm["polls"].as_u64().unwrap() > 1000, "{storm}");
    ends.store(true, Ordering::Relaxed);
}

/// A process that takes CPU time from this one. It ends with the test.
struct Rival(Child);

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps a shard busy until its time is more than the CPU time of the process.
fn finds_lost_cpu() {
    let reactor = builder().build().unwrap();
    let ends = Arc::default();
    burn(reactor.handle(), 0, &ends);
    let observed = observe(reactor.handle());
    let cpu = || -> f64 {
        let all: Value = serde_json::from_str(&get(&observed, "/shards")).unwrap();
        all["process"]["process_cpu_seconds_total"]
            .as_f64()
            .unwrap()
    };
    // The shard never sleeps, and gets a part of a CPU.
    eventually(|| {
        let (start, before) = (Instant::now(), cpu());
        let busy = (0..3)
            .map(|_| rates(&observed, "busy_seconds_total")[0])
            .sum::<f64>()
            / 3.0;
        let used = (cpu() - before) / start.elapsed().as_secs_f64();
        busy > 0.7 && used < 0.7 * busy
    });
    ends.store(true, Ordering::Relaxed);
}

#[test]
fn cpu_lost_to_a_neighbour() {
    let _measures = measures();
    let cpus = thread::available_parallelism().unwrap().get();
    let rival = |_| {
        Rival(
            Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .spawn()
                .unwrap(),
        )
    };
    let rivals: Vec<Rival> = (0..3 * cpus).map(rival).collect();
    finds_lost_cpu();
    drop(rivals);
}

/// The file of a cgroup's processes. Set for the child of the next test, which joins.
#[cfg(target_os = "linux")]
const JOIN: &str = "ASYNCFD_TEST_JOIN_CGROUP";

/// The quota is that of a real cgroup, which only root may make. A child of this program joins it.
#[cfg(target_os = "linux")]
#[test]
fn cpu_lost_to_a_quota() {
    if let Ok(join) = std::env::var(JOIN) {
        std::fs::write(join, "0").unwrap();
        return finds_lost_cpu();
    }
    let _measures = measures();
    let Some(cgroup) = Cgroup::with_a_third_of_a_cpu() else {
        // The test harness hides the output of `eprintln`.
        let why = "SKIPPED cpu_lost_to_a_quota: this user cannot make a cgroup with a CPU quota";
        writeln!(std::io::stderr(), "{why}").unwrap();
        return;
    };
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cpu_lost_to_a_quota"])
        .env(JOIN, cgroup.0.join("cgroup.procs"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// A cgroup that is removed when this is dropped. Its processes must have ended.
#[cfg(target_os = "linux")]
struct Cgroup(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Cgroup {
    /// Makes a cgroup, in either version.
    fn with_a_third_of_a_cpu() -> Option<Self> {
        let name = format!("asyncfd-test-{}", std::process::id());
        let files = [
            ("/sys/fs/cgroup", "cpu.max", "33000 100000"),
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "33000"),
        ];
        files.into_iter().find_map(|(folder, file, quota)| {
            let new = Self(std::path::Path::new(folder).join(&name));
            std::fs::create_dir(&new.0).ok()?;
            // The file exists only if the folder is a cgroup with the CPU controller.
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .open(new.0.join(file))
                .ok()?;
            file.write_all(quota.as_bytes()).ok()?;
            Some(new)
        })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel may still count a process that has ended.
        let start = Instant::now();
        while std::fs::remove_dir(&self.0).is_err() && start.elapsed() < DEADLINE {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_slow_reader() {
    let reactor = builder().build().unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap();
    let running = server.start(reactor.handle(), |stream: AsyncTcpStream, _| async move {
        stream.write_all(&vec![7; 64 << 20]).await
    });
    let running = running.unwrap();
    let observed = observe_server(&running);
    let client = TcpStream::connect(running.local_addr()).unwrap();
    let waits_to_write = || {
        let write = serde_json::json!(["write"]);
        tasks(&observed)
            .into_iter()
            .find(|task| task["waits_for"][0]["for"] == write)
    };
    eventually(|| {
        let since = waits_to_write().and_then(|task| task["since_last_poll_seconds"].as_f64());
        since.is_some_and(|seconds| seconds > 0.2)
    });
    drop(client);
}

#[test]
fn uneven_connections() {
    let reactor = builder().build().unwrap();
    let server = Server::bind("127.0.0.1:0")
        .unwrap()
        .accept(AcceptPolicy::RoundRobin);
    let running = server.start(reactor.handle(), |stream: AsyncTcpStream, _| async move {
        let mut byte = [0];
        stream.read(&mut byte).await.map(drop)
    });
    let running = running.unwrap();
    let observed = observe_server(&running);
    let connect = |_| {
        let count = || -> u64 { open(&observed).iter().sum() };
        let before = count();
        let client = TcpStream::connect(running.local_addr()).unwrap();
        eventually(|| count() == before + 1);
        client
    };
    let clients: Vec<TcpStream> = (0..8).map(connect).collect();
    assert_eq!(open(&observed), [4, 4]);
    // Every second client stays: round-robin gave all of them to one shard.
    let stays: Vec<_> = clients.into_iter().step_by(2).collect();
    eventually(|| {
        let open = open(&observed);
        open.contains(&4) && open.contains(&0)
    });
    drop(stays);
}

fn open(observed: &Observed) -> Vec<u64> {
    let open = |shard: &Value| shard["server_connections"].as_u64().unwrap();
    shards(observed).iter().map(open).collect()
}
