//! The cost of a million armed timers: bytes each, and the instructions that a busy turn of their
//! shard pays for them.
//!
//! Measured: heap bytes for each armed `Sleep`, including its owner's storage, with a counting
//! allocator. `cargo xtask timers` also runs it under callgrind with two numbers of turns, and
//! reports the instructions of one more turn.
//!
//! Held still: one shard, on which 64 pairs of tasks echo a byte over socket pairs, so that each
//! turn has the events and the polls of a busy server. The timers are an hour away and never fire.
//! The slope between the two runs excludes startup and arming.
//!
//! Noise: a few parts in a thousand, from the distribution of events over turns. No time is
//! measured, so it may run beside other programs. Run alone, it prints the bytes and the number of
//! turns.

#[path = "../tests/support/counting.rs"]
mod counting;

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use reactor::time::{Sleep, sleep};
use reactor::{Handle, Interest, Pinning, Placement, Reactor, Ready, Registration, spawn_local};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const HOUR: Duration = Duration::from_secs(3_600);
const PAIRS: usize = 64;

/// The arguments: `--timers N` (default one million), and `--rounds N` (default 100) echoes by each
/// pair afterwards.
struct Args {
    timers: usize,
    rounds: u32,
}

impl Args {
    fn from_command_line() -> Self {
        let given: Vec<String> = std::env::args().collect();
        let after = |flag| {
            let place = given.iter().position(|arg| arg == flag)?;
            let number = given.get(place + 1).and_then(|number| number.parse().ok());
            Some(number.expect("a number comes after a flag"))
        };
        Self {
            timers: after("--timers").unwrap_or(1_000_000) as usize,
            rounds: after("--rounds").unwrap_or(100),
        }
    }
}

/// One end of a socket pair.
struct End {
    stream: UnixStream,
    registration: Registration,
}

impl End {
    fn new(stream: UnixStream) -> Self {
        stream.set_nonblocking(true).expect("a socket");
        let handle = Handle::current();
        let interest = Interest::READABLE;
        let here = Placement::Current;
        Self {
            registration: Registration::new(&handle, here, &stream, interest, Ready::EMPTY)
                .expect("a socket is registered"),
            stream,
        }
    }

    /// Reads a byte. Returns false at the end of the stream.
    async fn read(&self) -> bool {
        let mut byte = [0];
        loop {
            let event = self.registration.ready(Interest::READABLE).await;
            let event = event.expect("the reactor lives");
            match (&self.stream).read(&mut byte) {
                Ok(read) => {
                    self.registration.clear(event);
                    return read > 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.registration.clear(event);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn write(&self) {
        let written = (&self.stream).write(b"x").expect("the other end lives");
        assert_eq!(written, 1);
    }
}

async fn arm(count: usize) -> Vec<Sleep> {
    let mut timers: Vec<Sleep> = Vec::with_capacity(count);
    for n in 0..count {
        timers.push(sleep(
            HOUR + Duration::from_millis(n as u64 * 7_919 % 60_000),
        ));
    }
    poll_fn(|cx| {
        for timer in &mut timers {
            assert!(Pin::new(timer).poll(cx).is_pending());
        }
        Poll::Ready(())
    })
    .await;
    timers
}

async fn measure(args: Args) {
    let before = counting::bytes();
    let timers = arm(args.timers).await;
    let bytes = counting::bytes() - before;
    if args.timers > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let each = bytes as f64 / args.timers as f64;
        println!("bytes_per_timer {each:.1}");
    }
    let turns = || Handle::current().metrics().total(|shard| shard.turns);
    let first = turns();
    let pairs: Vec<_> = (0..PAIRS)
        .map(|_| {
            let (here, there) = UnixStream::pair().expect("a pair of sockets");
            let echo = spawn_local(async move {
                let there = End::new(there);
                while there.read().await {
                    there.write();
                }
            });
            spawn_local(async move {
                let here = End::new(here);
                for _ in 0..args.rounds {
                    here.write();
                    here.read().await;
                }
                drop(here);
                echo.await.expect("no task panics");
            })
        })
        .collect();
    for pair in pairs {
        pair.await.expect("no task panics");
    }
    println!("turns {}", turns() - first);
    drop(timers);
}

fn main() {
    let args = Args::from_command_line();
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .build()
        .expect("a reactor starts");
    let shard = reactor.handle().shards().next().expect("one shard");
    let task = reactor.handle().spawn_on(shard, || measure(args));
    reactor.block_on(task).expect("no task panics");
}
