//! Shared by the tests and examples: a reactor that serves on every shard, and independent clients,
//! run with a deadline.

use std::ffi::OsStr;
use std::future::Future;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use asyncfd::net::{TcpListener, TcpSocket, TcpStream};
use futures_util::future::{Either, select};
use reactor::{Handle, Reactor, spawn_local};

/// The time after which something counts as hung. Only a failure takes this long.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// Listens at `address` on every shard of the current reactor, and spawns `serve`'s future for each
/// connection on the shard that accepted it. Returns the address, whose port the system chose if
/// none was given.
///
/// `make` creates `serve` on its shard, so it can hold state of that shard and need not be `Send`.
///
/// # Errors
///
/// The errors of listening.
pub fn listen<M, S, F>(handle: &Handle, address: SocketAddr, make: M) -> io::Result<SocketAddr>
where
    M: Fn() -> S + Clone + Send + 'static,
    S: Fn(TcpStream) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    // All listen before the first one accepts, so a connection always finds a listener.
    let mut address = address;
    let mut listeners = Vec::new();
    for shard in handle.shards() {
        let bound = address;
        let listener = handle.spawn_on(shard, move || async move {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseport(true)?;
            socket.bind(bound)?;
            let listener = socket.listen(1024)?;
            io::Result::Ok((listener.local_addr()?, listener))
        });
        let (bound, listener) = handle.block_on(listener).map_err(io::Error::other)??;
        address = bound;
        listeners.push((shard, listener));
    }
    for (shard, listener) in listeners {
        let make = make.clone();
        drop(handle.spawn_on(shard, move || accept(listener, make())));
    }
    Ok(address)
}

/// Accepts until the shutdown begins.
async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let mut ends = pin!(Handle::current().shutdown_requested());
    loop {
        let accepted = match select(pin!(listener.accept()), ends.as_mut()).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(((), _)) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                // Answers of several writes then do not wait for acknowledgements. A read detects a
                // peer that is gone.
                let _ = stream.set_nodelay(true);
                drop(spawn_local(serve(stream)));
            }
            Err(error) => {
                // Most often descriptors are short. An immediate retry would only fail again.
                eprintln!("accept: {error}");
                reactor::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Starts a reactor of two shards with [`listen`] on a free port of the loopback, for a test.
///
/// # Panics
///
/// If that fails.
pub fn serve<M, S, F>(make: M) -> (Reactor, SocketAddr)
where
    M: Fn() -> S + Clone + Send + 'static,
    S: Fn(TcpStream) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let reactor = two_shards();
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let address = listen(reactor.handle(), anywhere, make).expect("the loopback has free ports");
    (reactor, address)
}

/// Starts a reactor of two shards.
///
/// # Panics
///
/// If the system refuses it.
pub fn two_shards() -> Reactor {
    let builder = Reactor::builder().shards(2);
    builder.build().expect("two shards take little")
}

/// Runs a future on a shard, as a task that need not be `Send`, and waits for it.
///
/// # Panics
///
/// If it panics, or does not end in time.
pub fn on_a_shard<F>(reactor: &Reactor, make: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    let handle = reactor.handle();
    let shard = handle.shards().next().expect("there are two");
    let task = handle.spawn_on(shard, make);
    let ended = reactor.block_on(async { reactor::time::timeout(DEADLINE, task).await });
    match ended.expect("it did not end in time") {
        Ok(()) => {}
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Runs curl and returns its output.
///
/// # Panics
///
/// If it fails or does not end in time.
pub fn curl<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Vec<u8> {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "30",
    ]);
    let output = run(command.args(arguments));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl: {}: {told}", output.status);
    output.stdout
}

/// Runs a command to its end, with a time limit.
///
/// # Panics
///
/// If it cannot be run, or does not end in time.
pub fn run(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let name = command.get_program().to_string_lossy().into_owned();
    let child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut child = Killed(child);
    let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
    // Each is read on a thread of its own, or a full pipe would stop the child.
    let stdout = std::thread::spawn(move || all(stdout));
    let stderr = std::thread::spawn(move || all(stderr));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait().expect("the child is ours") {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "{name} did not end in time");
        std::thread::sleep(Duration::from_millis(5));
    };
    Output {
        status,
        stdout: stdout.join().expect("reading does not panic"),
        stderr: stderr.join().expect("reading does not panic"),
    }
}

fn all(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut from = from.expect("it was asked for");
    from.read_to_end(&mut bytes).expect("a pipe can be read");
    bytes
}

/// A child process that does not outlive the test.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns bytes without repetition: a fixed pseudo-random sequence.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next)
        .take(len / 8 + 1)
        .flatten()
        .collect();
    bytes.truncate(len);
    bytes
}

/// A folder for one run of a test, which is removed afterwards.
#[derive(Debug)]
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    /// Creates the folder.
    ///
    /// # Panics
    ///
    /// If the system refuses it.
    pub fn new(name: &str) -> Self {
        let folder = format!("interop-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        // A killed process with the same id may have left one.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("there is a folder for temporary files");
        Self(path)
    }

    /// Returns the path of a file in the folder.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }

    /// Writes a file in the folder, and returns its path.
    ///
    /// # Panics
    ///
    /// If the system refuses it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.file(name);
        std::fs::write(&path, content).expect("the folder can be written to");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
