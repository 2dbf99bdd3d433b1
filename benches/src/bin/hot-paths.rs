//! Runs one hot path a given number of times, so that `cargo xtask instr` can count its
//! instructions.
//!
//! Run it under callgrind with two numbers of rounds. The difference between the two counts,
//! divided by the difference in rounds, is the cost of one round. All of a path runs on one thread,
//! a shard or a current-thread tokio runtime, and nothing in it waits for another thread or for the
//! time, so the counts repeat.
//!
//! | path | one round |
//! |---|---|
//! | `register`, `register-tokio`, `register-bare` | creates and drops an `AsyncFd`; the third only calls epoll_ctl(2) twice |
//! | `spawn` | spawns a task on its own shard, runs it, and joins it |
//! | `wake` | a task wakes another one of its shard, which runs |
//! | `timer` | moves an armed sleep to a later time |
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use asyncfd::AsyncFd;
use clap::{Parser, ValueEnum};
use reactor::{Interest, Pinning, Reactor};
use rustix::event::epoll::{self, EventData, EventFlags};

/// Runs one hot path a given number of times.
#[derive(Parser)]
struct Args {
    /// The path to run
    path: Path,

    /// The number of rounds
    rounds: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Path {
    Register,
    RegisterTokio,
    RegisterBare,
    Spawn,
    Wake,
    Timer,
}

/// Rounds before the task yields to the rest of the loop, where freed slots are reclaimed.
const BATCH: u32 = 32;

fn main() -> io::Result<()> {
    let Args { path, rounds } = Args::parse();
    match path {
        Path::Register => on_shard(move || register(rounds)),
        Path::RegisterTokio => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(register_tokio(rounds)),
        Path::RegisterBare => register_bare(rounds),
        Path::Spawn => on_shard(move || spawn(rounds)),
        Path::Wake => on_shard(move || wake(rounds)),
        Path::Timer => on_shard(move || timer(rounds)),
    }
}

/// Runs a task on the only shard of a reactor.
fn on_shard<F>(make: impl FnOnce() -> F + Send + 'static) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .build()?;
    let shard = reactor.handle().shards().next().expect("one shard");
    let task = reactor.handle().spawn_on(shard, make);
    reactor.block_on(task).expect("no path panics")
}

/// Returns a socket that never reports anything: no bytes arrive, and it is registered for reading
/// only.
fn quiet_socket() -> io::Result<(UnixStream, UnixStream)> {
    let (socket, peer) = UnixStream::pair()?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}

async fn register(rounds: u32) -> io::Result<()> {
    let (socket, _peer) = quiet_socket()?;
    for round in 0..rounds {
        drop(AsyncFd::with_interest(socket.as_fd(), Interest::READABLE)?);
        if round % BATCH == BATCH - 1 {
            reactor::yield_now().await;
        }
    }
    Ok(())
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; the socket outlives its registration"
)]
async fn register_tokio(rounds: u32) -> io::Result<()> {
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    let (socket, _peer) = quiet_socket()?;
    for round in 0..rounds {
        drop(AsyncFd::with_interest(socket.as_fd(), Interest::READABLE)?);
        if round % BATCH == BATCH - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

fn register_bare(rounds: u32) -> io::Result<()> {
    let (socket, _peer) = quiet_socket()?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    for round in 0..rounds {
        epoll::add(&epoll, &socket, EventData::new_u64(round.into()), flags)?;
        epoll::delete(&epoll, &socket)?;
    }
    Ok(())
}

async fn spawn(rounds: u32) -> io::Result<()> {
    for _ in 0..rounds {
        reactor::spawn_local(async {})
            .await
            .expect("an empty task ends");
    }
    Ok(())
}

/// Runs two tasks that wake each other, `rounds` wakes in total.
async fn wake(rounds: u32) -> io::Result<()> {
    let places: [Arc<Mutex<Option<Waker>>>; 2] = Default::default();
    let player = |own: usize| {
        let (mine, other) = (Arc::clone(&places[own]), Arc::clone(&places[1 - own]));
        let mut left = rounds / 2;
        reactor::spawn_local(poll_fn(move |cx| {
            // No other thread uses these locks, so nothing waits for them.
            mine.lock()
                .expect("no player panics")
                .get_or_insert_with(|| cx.waker().clone());
            if let Some(other) = &*other.lock().expect("no player panics") {
                other.wake_by_ref();
            }
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            Poll::Pending
        }))
    };
    let players = [player(0), player(1)];
    for player in players {
        player.await.expect("a player ends");
    }
    // Each task holds the other's waker.
    for place in &places {
        place.lock().expect("no player panics").take();
    }
    Ok(())
}

async fn timer(rounds: u32) -> io::Result<()> {
    let start = Instant::now() + Duration::from_secs(3600);
    let mut sleep = pin!(reactor::time::sleep_until(start));
    poll_fn(|cx| {
        assert!(sleep.as_mut().poll(cx).is_pending(), "an hour is not over");
        for round in 0..rounds {
            sleep
                .as_mut()
                .reset(start + Duration::from_millis(round.into()));
            assert!(sleep.as_mut().poll(cx).is_pending(), "an hour is not over");
        }
        Poll::Ready(())
    })
    .await;
    Ok(())
}
