//! A child that is forked inside a task, a job, a hook or a waker, and returns from it. It runs on
//! a copy of the reactor's thread, and must end there: it runs none of the parent's tasks and takes
//! none of its events.
#![expect(unsafe_code, reason = "fork(2)")]
#![cfg(target_os = "linux")]

mod support;

use std::future::{Future, pending};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use reactor::time::timeout;
use reactor::{Builder, Interest, Pinning, Placement, Reactor, Ready, Registration, spawn_local};
use support::{DEADLINE, reactor, receive};

/// The child of a fork.
#[derive(Debug, Clone, Copy)]
struct Child(libc::pid_t);

impl Child {
    /// Waits for the end of a child that returned into the reactor, and checks that it aborted.
    #[track_caller]
    fn assert_aborted(self) {
        let mut status = 0;
        // SAFETY: waits for a child of this process; `status` is alive for the call.
        let ended = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(ended, self.0);
        let aborted = libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT;
        assert!(
            aborted,
            "the child went on in the reactor: status {status:#x}"
        );
    }
}

/// Forks. The parent gets the child, and the child gets `None`.
fn fork() -> Option<Child> {
    // SAFETY: the child returns into the reactor, which is the tested action, and ends by a signal.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child > 0 {
        return Some(Child(child));
    }
    // SAFETY: a child that continues is ended by this signal.
    unsafe { libc::alarm(5) };
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `none` is alive for the call. An abort leaves no core file.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // SAFETY: nothing else in the child writes there. The message of its abort is not needed.
    unsafe { libc::close(libc::STDERR_FILENO) };
    // The usual hook takes locks that a thread which does not exist in the child may hold.
    set_hook(Box::new(|_| ()));
    None
}

/// Forks on the first call, and sends the child.
fn fork_once(done: &AtomicBool, children: &Sender<Child>) {
    if !done.swap(true, Ordering::Relaxed) {
        if let Some(child) = fork() {
            children.send(child).unwrap();
        }
    }
}

fn assert_received(far: &mut UnixStream, expected: usize) {
    far.set_nonblocking(true).unwrap();
    let mut received = [0; 64];
    let length = far.read(&mut received).unwrap_or(0);
    assert_eq!(length, expected, "the child ran its parent's work, too");
}

/// The way in which the child leaves the poll it was forked in.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    Pending,
    Ready,
    Panics,
}

#[test]
fn a_child_forked_inside_a_task_runs_none_of_its_parents_tasks() {
    const TASKS: usize = 3;
    for leaves in [Leaves::Pending, Leaves::Ready, Leaves::Panics] {
        let reactor = reactor(1);
        let shard = reactor.handle().shards().next().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let forks = reactor.handle().spawn_on(shard, move || async move {
            // They are queued behind this one, in the child as in the parent.
            for _ in 0..TASKS {
                let mut near = near.try_clone().unwrap();
                drop(spawn_local(async move { near.write_all(b"x").unwrap() }));
            }
            let child = fork();
            if child.is_none() {
                match leaves {
                    Leaves::Pending => pending().await,
                    Leaves::Ready => {}
                    Leaves::Panics => panic!("in the child"),
                }
            }
            child
        });
        let child = reactor.block_on(forks).unwrap().expect("the parent's");
        child.assert_aborted();
        reactor
            .block_on(reactor.handle().spawn_on(shard, || async {}))
            .unwrap();
        assert_received(&mut far, TASKS);
    }
}

#[test]
fn a_child_forked_inside_a_task_takes_none_of_its_parents_events() {
    let reactor = reactor(1);
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let registration = Registration::new(
        reactor.handle(),
        Placement::Hash,
        &near,
        Interest::READABLE,
        Ready::EMPTY,
    )
    .unwrap();
    for round in 0..10 {
        let forks = reactor.handle().spawn(async {
            let child = fork();
            if child.is_none() {
                pending::<()>().await;
            }
            child
        });
        let child = reactor.block_on(forks).unwrap().expect("the parent's");
        far.write_all(b"x").unwrap();
        let read = registration.async_io(Interest::READABLE, || (&near).read(&mut [0; 8]));
        let read = reactor.block_on(async { timeout(DEADLINE, read).await });
        child.assert_aborted();
        let read = read.unwrap_or_else(|_| panic!("round {round}: the child took the event"));
        assert_eq!(read.unwrap(), 1);
    }
}

#[test]
fn a_child_forked_inside_a_job_runs_none_of_its_parents_jobs() {
    const JOBS: usize = 3;
    let builder = Reactor::builder().shards(1).max_blocking_threads(1);
    let reactor = builder.pinning(Pinning::None).build().unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let (queued, is_queued) = channel::<()>();
    let forks = reactor.handle().spawn_blocking(move || {
        is_queued.recv().unwrap();
        fork()
    });
    let jobs: Vec<_> = (0..JOBS)
        .map(|_| {
            let mut near = near.try_clone().unwrap();
            let write = move || near.write_all(b"x").unwrap();
            reactor.handle().spawn_blocking(write)
        })
        .collect();
    queued.send(()).unwrap();
    let child = reactor.block_on(forks).unwrap().expect("the parent's");
    child.assert_aborted();
    for job in jobs {
        reactor.block_on(job).unwrap();
    }
    assert_received(&mut far, JOBS);
}

#[test]
fn a_child_forked_inside_a_hook_does_not_go_on_in_it() {
    type Hooked = fn(Builder, Box<dyn Fn() + Send + Sync>) -> Builder;
    let hooks: [(&str, Hooked); 4] = [
        ("on_thread_start", |builder, hook| {
            builder.on_thread_start(move |_| hook())
        }),
        ("on_thread_stop", |builder, hook| {
            builder.on_thread_stop(move |_| hook())
        }),
        ("on_task_panic", |builder, hook| {
            builder.on_task_panic(move |_| hook())
        }),
        ("on_stall", |builder, hook| {
            let threshold = Duration::from_millis(20);
            builder.detect_stalls(threshold).on_stall(move |_| hook())
        }),
    ];
    for (name, hooked) in hooks {
        let (sender, children) = channel();
        let (sender, done) = (Mutex::new(sender), AtomicBool::new(false));
        let hook = move || fork_once(&done, &sender.lock().unwrap());
        let builder = Reactor::builder().shards(1).pinning(Pinning::None);
        let reactor = hooked(builder, Box::new(hook)).build().unwrap();
        // A panic and a stall, for the hooks that are called with one.
        let panics = reactor.handle().spawn(async {
            std::thread::sleep(Duration::from_millis(200));
            panic!("for the hook")
        });
        assert!(reactor.block_on(panics).is_err(), "{name}");
        drop(reactor);
        receive(&children, name).assert_aborted();
    }
}

#[test]
fn a_child_forked_inside_a_waker_does_not_go_on_in_the_shard() {
    struct Forks(AtomicBool, Mutex<Sender<Child>>);
    impl Wake for Forks {
        fn wake(self: Arc<Self>) {
            fork_once(&self.0, &self.1.lock().unwrap());
        }
    }
    let reactor = reactor(1);
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let interest = Interest::READABLE;
    let new = |source| {
        Registration::new(
            reactor.handle(),
            Placement::Hash,
            source,
            interest,
            Ready::EMPTY,
        )
    };
    let registration = new(&near).unwrap();
    let (sender, children) = channel();
    let waker = Waker::from(Arc::new(Forks(AtomicBool::new(false), Mutex::new(sender))));
    let mut wait = pin!(registration.ready(interest));
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    far.write_all(b"x").unwrap();
    receive(&children, "the wake").assert_aborted();
    assert_eq!(
        reactor
            .block_on(reactor.handle().spawn(async { 1 }))
            .unwrap(),
        1
    );
}

#[test]
fn block_on_in_a_child_forked_inside_its_future_does_not_sleep_for_ever() {
    let reactor = reactor(1);
    let forked = catch_unwind(AssertUnwindSafe(|| {
        reactor.block_on(async {
            let child = fork();
            if child.is_none() {
                pending::<()>().await;
            }
            child
        })
    }));
    match forked {
        Ok(child) => {
            let child = child.expect("the parent's");
            let mut status = 0;
            // SAFETY: waits for the child made above; `status` is alive for the call.
            let ended = unsafe { libc::waitpid(child.0, &raw mut status, 0) };
            assert_eq!(ended, child.0);
            assert_eq!(status, 0, "the child was not refused, or slept");
        }
        Err(payload) => {
            let words = payload.downcast_ref::<&str>();
            let refused =
                words.is_some_and(|words| words.contains("belongs to the parent process"));
            // SAFETY: this is the child; it ends without running any code of the parent.
            unsafe { libc::_exit(if refused { 0 } else { 1 }) };
        }
    }
}
