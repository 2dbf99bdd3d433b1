//! Panics of tasks: they are caught, counted and reported to the hook, and end nothing else.

mod support;

use std::future::{Future, pending};
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use reactor::{PanicPlace, Pinning, Reactor, ShardId, TaskId, spawn_blocking, spawn_local};
use support::{eventually, receive, total};

/// The report that the hook received, and its thread.
#[derive(Debug)]
struct Report {
    task: TaskId,
    shard: Option<ShardId>,
    place: PanicPlace,
    message: Option<String>,
    future: &'static str,
    spawned_at: Option<&'static Location<'static>>,
    on: ThreadId,
}

fn with_hook(shards: usize) -> (Reactor, Receiver<Report>) {
    let (sender, reports) = channel();
    let reactor = Reactor::builder()
        .shards(shards)
        .pinning(Pinning::None)
        .on_task_panic(move |panic| {
            let task = panic.task();
            let report = Report {
                task: task.id(),
                shard: task.shard(),
                place: panic.place(),
                message: panic.message().map(str::to_owned),
                future: task.future(),
                spawned_at: task.spawned_at(),
                on: thread::current().id(),
            };
            sender.send(report).unwrap();
        })
        .build()
        .unwrap();
    (reactor, reports)
}

fn panics(reactor: &Reactor) -> u64 {
    total(reactor.handle(), |shard| shard.panics)
}

/// Panics when it is dropped, with its text as the message.
#[derive(Debug)]
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// Ready at once. Its output may be a bomb that panics in its drop, and it may panic in its own
/// drop.
struct ReadyBomb(
    Option<Bomb>,
    #[allow(dead_code, reason = "held for its drop")] Option<Bomb>,
);

impl Future for ReadyBomb {
    type Output = Option<Bomb>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Bomb>> {
        Poll::Ready(self.0.take())
    }
}

async fn panics_in_poll() {
    panic!("in {}", "poll")
}

#[test]
fn a_panic_in_a_poll_is_reported_with_who_and_where() {
    let (reactor, reports) = with_hook(2);
    let shard = reactor.handle().shards().nth(1).unwrap();
    let (line, task) = (line!(), reactor.handle().spawn_on(shard, panics_in_poll));
    let id = task.id();
    let report = receive(&reports, "the report");
    assert_eq!(report.place, PanicPlace::Poll);
    assert_eq!((report.task, report.shard), (id, Some(shard)));
    assert_eq!(report.message.as_deref(), Some("in poll"));
    let at = report.spawned_at.expect("a test is one program");
    assert_eq!((at.file(), at.line()), (file!(), line));
    assert!(
        report.future.starts_with("panics::panics_in_poll"),
        "{}",
        report.future
    );
    let error = reactor.block_on(task).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(error.id(), id);
    assert_eq!(panics(&reactor), 1);
}

#[test]
fn every_way_to_spawn_tells_its_line() {
    let (reactor, reports) = with_hook(1);
    let handle = reactor.handle().clone();
    let mut lines = Vec::new();
    let mut expect = |line: u32| {
        lines.push(line);
        let at = receive(&reports, "the report")
            .spawned_at
            .expect("one program");
        assert_eq!((at.file(), at.line()), (file!(), line));
    };
    drop(reactor.handle().spawn(async { panic!() }));
    expect(line!() - 1);
    drop(reactor.handle().spawn_on_all(|_| async { panic!() }));
    expect(line!() - 1);
    drop(reactor.handle().spawn_blocking(|| panic!()));
    expect(line!() - 1);
    let local = async { drop(spawn_local(async { panic!() })) };
    reactor.block_on(reactor.handle().spawn(local)).unwrap();
    expect(line!() - 2);
    let _guard = handle.enter();
    drop(spawn_blocking(|| panic!()));
    expect(line!() - 1);
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_panic_in_the_drop_of_a_future_is_reported() {
    let (reactor, reports) = with_hook(1);
    let completed = reactor
        .handle()
        .spawn(ReadyBomb(None, Some(Bomb("completed"))));
    let report = receive(&reports, "the report");
    assert_eq!(report.place, PanicPlace::FutureDrop);
    assert_eq!(report.message.as_deref(), Some("completed"));
    assert_eq!(report.task, completed.id());
    assert!(reactor.block_on(completed).unwrap_err().is_panic());

    let (runs, running) = channel();
    let aborted = reactor.handle().spawn(async move {
        let _bomb = Bomb("aborted");
        runs.send(thread::current().id()).unwrap();
        pending::<()>().await;
    });
    let shard_thread = receive(&running, "the task runs");
    aborted.abort();
    let report = receive(&reports, "the report");
    assert_eq!(report.place, PanicPlace::FutureDrop);
    assert_eq!(report.on, shard_thread);
    assert!(reactor.block_on(aborted).unwrap_err().is_panic());
    assert_eq!(panics(&reactor), 2);
}

/// Panics in its poll, and again in its drop, which the first panic causes.
struct TwoPanics(#[allow(dead_code, reason = "held for its drop")] Bomb);

impl Future for TwoPanics {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        panic!("first");
    }
}

#[test]
fn a_panic_in_the_drop_that_a_panic_brings_does_not_abort() {
    let (reactor, reports) = with_hook(1);
    let task = reactor.handle().spawn(TwoPanics(Bomb("second")));
    // The drop happens inside the poll's panic, so it ends first.
    for (place, message) in [
        (PanicPlace::FutureDrop, "second"),
        (PanicPlace::Poll, "first"),
    ] {
        let report = receive(&reports, "the report");
        assert_eq!(report.place, place);
        assert_eq!(report.message.as_deref(), Some(message));
    }
    let error = reactor.block_on(task).unwrap_err();
    assert_eq!(error.into_panic().downcast_ref(), Some(&"first"));
    assert_eq!(panics(&reactor), 2);
}

#[test]
fn a_panic_in_the_drop_of_an_output_is_reported_wherever_it_is_dropped() {
    let (reactor, reports) = with_hook(1);
    // By the shard, which finds no handle.
    let (go, gate) = channel();
    drop(reactor.handle().spawn(async move {
        receive(&gate, "the drop of the handle");
        Bomb("detached")
    }));
    go.send(()).unwrap();
    let report = receive(&reports, "the report");
    assert_eq!(report.place, PanicPlace::OutputDrop);
    assert_eq!(report.message.as_deref(), Some("detached"));
    assert_ne!(report.on, thread::current().id());

    // By the handle, here.
    let task = reactor.handle().spawn(async { Bomb("unread") });
    eventually("the task's end", || task.is_finished());
    let id = task.id();
    drop(task);
    let report = reports.try_recv().expect("the report comes with the drop");
    assert_eq!(report.place, PanicPlace::OutputDrop);
    assert_eq!((report.task, report.on), (id, thread::current().id()));

    // By the task, since its future's drop panicked as well.
    let both = ReadyBomb(Some(Bomb("output")), Some(Bomb("future")));
    let task = reactor.handle().spawn(both);
    let said = [(); 2].map(|()| receive(&reports, "the report"));
    assert_eq!(
        said.map(|report| report.place),
        [PanicPlace::FutureDrop, PanicPlace::OutputDrop]
    );
    assert!(reactor.block_on(task).unwrap_err().is_panic());
    assert_eq!(panics(&reactor), 4);
}

#[test]
fn a_blocking_jobs_panic_is_reported_without_a_shard() {
    let (reactor, reports) = with_hook(1);
    let job = reactor.handle().spawn_blocking(|| {
        assert!(TaskId::current().is_some());
        panic!("a job");
    });
    let report = receive(&reports, "the report");
    assert_eq!(report.place, PanicPlace::Poll);
    assert_eq!((report.task, report.shard), (job.id(), None));
    assert!(!report.future.contains("Job"), "{}", report.future);
    assert_eq!(reactor.handle().metrics().blocking.panics, 1);
    assert_eq!(panics(&reactor), 0);
}

#[test]
fn a_hook_that_panics_harms_nothing() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("the hook's payload");
        }
    }
    let (sender, called) = channel();
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .on_task_panic(move |panic| {
            sender.send(panic.place()).unwrap();
            std::panic::panic_any(PanicsInDrop);
        })
        .build()
        .unwrap();
    let poll = reactor.handle().spawn(async { panic!("poll") });
    assert!(
        reactor
            .block_on(poll)
            .unwrap_err()
            .to_string()
            .contains("poll")
    );
    let future = reactor
        .handle()
        .spawn(ReadyBomb(None, Some(Bomb("future"))));
    assert!(
        reactor
            .block_on(future)
            .unwrap_err()
            .to_string()
            .contains("future")
    );
    let output = reactor.handle().spawn(async { Bomb("output") });
    eventually("the task's end", || output.is_finished());
    drop(output);
    let places = [(); 3].map(|()| receive(&called, "the hook"));
    assert_eq!(
        places,
        [
            PanicPlace::Poll,
            PanicPlace::FutureDrop,
            PanicPlace::OutputDrop
        ]
    );
    let next = reactor.handle().spawn(async { 1 });
    assert_eq!(reactor.block_on(next).unwrap(), 1);
    assert_eq!(panics(&reactor), 3);
}

/// A future that is not `Send`, sends its waker to another thread, and panics when it is dropped.
struct KeepsItsThread {
    wakers: Sender<(Waker, ThreadId)>,
    _bomb: Bomb,
    _not_send: PhantomData<Rc<()>>,
}

impl Future for KeepsItsThread {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.wakers
            .send((cx.waker().clone(), thread::current().id()))
            .unwrap();
        Poll::Pending
    }
}

#[test]
fn the_end_of_the_reactor_drops_each_future_on_its_shard_though_all_of_them_panic() {
    const TASKS: usize = 20;
    let (reactor, reports) = with_hook(2);
    let (wakers, given) = channel();
    let mut handles = Vec::new();
    for _ in 0..TASKS {
        let wakers = wakers.clone();
        handles.extend(reactor.handle().spawn_on_all(move |_| KeepsItsThread {
            wakers: wakers.clone(),
            _bomb: Bomb("dropped with the reactor"),
            _not_send: PhantomData,
        }));
    }
    let mut foreign = Vec::new();
    let mut homes = std::collections::HashMap::new();
    for _ in 0..2 * TASKS {
        let (waker, home) = receive(&given, "a waker");
        homes
            .entry(home)
            .and_modify(|tasks| *tasks += 1)
            .or_insert(1);
        foreign.push(waker);
    }
    assert!(homes.values().all(|&tasks| tasks == TASKS), "{homes:?}");
    let handle = reactor.handle().clone();
    drop(reactor);
    let reports: Vec<Report> = reports.try_iter().collect();
    assert_eq!(
        reports.len(),
        2 * TASKS,
        "each is reported before the drop returns"
    );
    for report in &reports {
        assert_eq!(report.place, PanicPlace::FutureDrop);
        *homes.get_mut(&report.on).expect("on its own shard") -= 1;
    }
    assert!(homes.values().all(|&left| left == 0), "{homes:?}");
    assert_eq!(total(&handle, |shard| shard.panics), 2 * TASKS as u64);
    // The wakers outlive all of it, and keep their tasks' memory.
    for waker in &foreign {
        waker.wake_by_ref();
    }
    for waker in foreign {
        waker.wake();
    }
    for task in handles {
        assert!(task.is_finished());
        assert!(handle.block_on(task).unwrap_err().is_panic());
    }
}

/// Runs a test of this program in a child process, and returns its exit status and standard error.
fn in_a_child(test: &str) -> (std::process::ExitStatus, String) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    (
        output.status,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Panics in a task and in a job whose handles are dropped, and in a task whose handle is awaited.
fn panic_with_and_without_a_handle(effect: reactor::UnhandledPanic) {
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .unhandled_panic(effect)
        .build()
        .unwrap();
    let awaited = reactor.spawn(async { panic!("awaited") });
    assert!(reactor.block_on(awaited).unwrap_err().is_panic());
    drop(reactor.spawn(async { panic!("dropped") }));
    drop(reactor.handle().spawn_blocking(|| panic!("dropped job")));
    reactor
        .shutdown(std::time::Duration::from_secs(10))
        .unwrap();
}

#[test]
#[ignore = "run in a child process by the next test"]
fn child_logs() {
    panic_with_and_without_a_handle(reactor::UnhandledPanic::Log);
}

#[test]
#[ignore = "run in a child process by the next test"]
fn child_aborts() {
    panic_with_and_without_a_handle(reactor::UnhandledPanic::Abort);
}

#[test]
fn an_unhandled_panic_is_logged_or_aborts_as_requested() {
    let (status, said) = in_a_child("child_logs");
    assert!(status.success(), "{said}");
    let lines: Vec<_> = said
        .lines()
        .filter(|line| line.contains("unhandled: task "))
        .collect();
    assert_eq!(lines.len(), 2, "{said}");
    let of = |text: &str| lines.iter().filter(|line| line.ends_with(text)).count();
    assert_eq!(of("panicked: dropped job"), 1, "{said}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("on shard 0") && line.ends_with("panicked: dropped")),
        "{said}"
    );
    let (status, said) = in_a_child("child_aborts");
    assert!(
        !status.success() && status.code().is_none(),
        "a signal ends it: {said}"
    );
    assert!(said.contains("panicked: dropped"), "{said}");
}
