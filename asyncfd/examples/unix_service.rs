//! A service on a Unix socket, such as a daemon has for its operator: `ping`, `uptime`, `stats`,
//! one command per line.
//!
//! ```console
//! $ cargo run --example unix_service -- /tmp/service.sock     # then: nc -U /tmp/service.sock
//! ```

mod ending;

use std::error::Error;
use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use asyncfd::net::{UnixListener, UnixStream};
use ending::{Serving, Signals, pause};
use reactor::{Handle, Reactor, spawn_local};

/// The longest command; a longer one ends the connection.
const COMMAND_MAX: usize = 64;

fn answer(command: &[u8], started: Instant) -> String {
    match command.trim_ascii() {
        b"ping" => "pong\n".to_owned(),
        b"uptime" => format!("{} s\n", started.elapsed().as_secs()),
        b"stats" => {
            let metrics = Handle::current().metrics();
            let line = |(shard, s): (usize, &reactor::ShardMetrics)| {
                format!(
                    "shard {shard}: {} descriptors, {} tasks, {} polls\n",
                    s.registrations, s.tasks, s.polls
                )
            };
            metrics.shards.iter().enumerate().map(line).collect()
        }
        _ => "commands: ping, uptime, stats\n".to_owned(),
    }
}

async fn serve(stream: UnixStream, started: Instant) -> io::Result<()> {
    let (mut buffer, mut len) = ([0; COMMAND_MAX], 0);
    let mut serving = Serving::new();
    while let Some(read) = serving.wait(stream.read(&mut buffer[len..])).await {
        let n = read?;
        if n == 0 {
            break;
        }
        len += n;
        let mut begin = 0;
        while let Some(end) = buffer[begin..len].iter().position(|&byte| byte == b'\n') {
            let command = &buffer[begin..begin + end];
            stream
                .write_all(answer(command, started).as_bytes())
                .await?;
            begin += end + 1;
        }
        buffer.copy_within(begin..len, 0);
        len -= begin;
        if len == buffer.len() {
            break; // A line without end.
        }
    }
    Ok(())
}

async fn accept(listener: StdUnixListener) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let started = Instant::now();
    let mut serving = Serving::new();
    while let Some(accepted) = serving.wait(listener.accept()).await {
        match accepted {
            Ok((stream, _peer)) => drop(spawn_local(serve(stream, started))),
            Err(error) => pause(error).await,
        }
    }
    Ok(())
}

/// The socket's path in the file system, removed on drop.
struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Binds the path. A leftover socket of an earlier process, without a listener, is replaced.
fn bind(path: &Path) -> io::Result<StdUnixListener> {
    let abandoned = std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if abandoned {
        std::fs::remove_file(path)?;
    }
    StdUnixListener::bind(path)
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: unix_service PATH")?;
    let listener = bind(path.as_ref())?;
    let name = Name(path.into());
    let reactor = Reactor::builder().shards(1).build()?;
    let handle = reactor.handle().clone();
    let signals = Signals::catch(&handle)?;
    println!("listening on {}", name.0.display());

    let shard = handle.shards().next().expect("there is one");
    drop(handle.spawn_on(shard, || async {
        if let Err(error) = accept(listener).await {
            eprintln!("no longer accepting: {error}");
        }
    }));
    Ok(signals.shut_down(reactor)?)
}
