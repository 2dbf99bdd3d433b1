//! The feature `tracing`: events, and the span of a task. The subscriber is this test's own.

mod support;

use std::fmt::{Debug, Write as _};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reactor::{Handle, Interest, Pinning, Placement, Reactor, Ready, Registration};
use support::eventually;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Everything that was traced, one line each.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log(AtomicU64);

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

fn log(line: String) {
    LOG.lock().unwrap().push(line);
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "reactor"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.fetch_add(1, Ordering::Relaxed);
        let mut fields = Fields::default();
        span.record(&mut fields);
        log(format!("span {id} {}{}", span.metadata().name(), fields.0));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        log(format!("{}{}", event.metadata().level(), fields.0));
    }

    fn enter(&self, span: &Id) {
        log(format!("enter {}", span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        log(format!("exit {}", span.into_u64()));
    }
}

fn has(words: &[&str]) -> bool {
    let log = LOG.lock().unwrap();
    log.iter()
        .any(|line| words.iter().all(|word| line.contains(word)))
}

/// Lets a task on shard 1 wait for a descriptor of shard 0 until the registration has followed it.
/// Returns the descriptor's number.
fn move_a_registration(handle: &Handle) -> i32 {
    let mut others = Vec::new();
    let (near, mut far) = loop {
        let pair = UnixStream::pair().unwrap();
        if handle.shard_for(pair.0.as_raw_fd()).index() == 0 {
            break pair;
        }
        others.push(pair);
    };
    near.set_nonblocking(true).unwrap();
    let fd = near.as_raw_fd();
    let task = handle.spawn_on(handle.shard(1), {
        let handle = handle.clone();
        move || async move {
            let registration = Registration::new(
                &handle,
                Placement::Hash,
                &near,
                Interest::READABLE,
                Ready::EMPTY,
            )
            .unwrap();
            while registration.shard().index() == 0 {
                let mut byte = [0];
                let read = || (&near).read_exact(&mut byte);
                registration
                    .async_io(Interest::READABLE, read)
                    .await
                    .unwrap();
            }
        }
    });
    while !task.is_finished() && far.write_all(b"x").is_ok() {
        thread::sleep(Duration::from_millis(3));
    }
    handle.block_on(task).unwrap();
    fd
}

/// One test, since the subscriber is the process's only one.
#[test]
fn stalls_steals_moves_shutdowns_and_tasks_are_traced() {
    tracing::subscriber::set_global_default(Log(AtomicU64::new(1))).unwrap();
    let reactor = Reactor::builder()
        .shards(2)
        .pinning(Pinning::None)
        .task_tracking(true)
        .detect_stalls(Duration::from_millis(20))
        .build()
        .unwrap();
    let slow = reactor.spawn(async { thread::sleep(Duration::from_millis(120)) });
    let id = slow.id().as_u64();
    reactor.block_on(slow).unwrap();
    eventually("the span", || {
        has(&["span ", " task", &format!(" id={id} ")])
    });
    eventually("the stall", || has(&["WARN", "is_over=false", "shard "]));
    eventually("the stall's end", || has(&["WARN", "is_over=true"]));
    eventually("entered", || has(&["enter "]) && has(&["exit "]));

    // More slow tasks on one shard than it reaches soon: the other one takes some.
    let handle = reactor.handle();
    let spawner = handle.spawn_on(handle.shard(0), || async {
        let slow = |_| reactor::spawn(async { thread::sleep(Duration::from_millis(2)) });
        for task in (0..60).map(slow).collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    reactor.block_on(spawner).unwrap();
    assert!(reactor.handle().metrics().total(|shard| shard.tasks_stolen) > 0);
    eventually("the steal", || {
        has(&["DEBUG", "stole tasks", "shard=1", "from=0"])
    });

    let fd = move_a_registration(handle);
    eventually("the move", || {
        let fd = format!(" fd={fd} ");
        let line = has(&["DEBUG", "moved a registration", "shard=1", "from=0"]);
        line && LOG
            .lock()
            .unwrap()
            .iter()
            .any(|line| format!("{line} ").contains(&fd))
    });

    drop(reactor.spawn(std::future::pending::<()>()));
    let report = reactor.shutdown(Duration::ZERO).unwrap();
    let cut_off = format!("tasks_cut_off={}", report.cut_off().len());
    assert!(has(&["INFO", "shuts down", &cut_off]));
}
