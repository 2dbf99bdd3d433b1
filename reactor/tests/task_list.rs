//! `Handle::tasks`: ids, names, states, and the cause of each wait.

mod support;

use std::cell::Cell;
use std::collections::HashSet;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use reactor::{
    Builder, Interest, Pinning, Reactor, Ready, Registration, TaskId, TaskInfo, TaskState,
    TaskTimes, TaskWait, time,
};

const HOUR: Duration = Duration::from_secs(3600);

fn builder(shards: usize) -> Builder {
    Reactor::builder().shards(shards).pinning(Pinning::None)
}

/// Returns the first report of the task with this id of which `is_so` is true. The parts of a
/// report are read one after another while the task goes on, so `is_so` asks for all that matters.
fn wait_for(reactor: &Reactor, id: TaskId, is_so: impl Fn(&TaskInfo) -> bool) -> TaskInfo {
    let found = Cell::new(None);
    support::eventually("the report", || {
        let tasks = reactor.handle().tasks();
        let task = tasks.into_iter().find(|task| task.id == id && is_so(task));
        let is_there = task.is_some();
        found.set(task);
        is_there
    });
    found.into_inner().unwrap()
}

fn waits(task: &TaskInfo) -> bool {
    task.state == TaskState::Waiting
}

#[test]
fn ids_do_not_repeat_on_any_thread() {
    let reactor = builder(2).build().unwrap();
    let handle = reactor.handle();
    let ids = |handle: &reactor::Handle| -> Vec<TaskId> {
        let one = |_| {
            let task = handle.spawn(async {});
            let id = task.id();
            handle.block_on(task).unwrap();
            id
        };
        (0..600).map(one).collect()
    };
    let all: Vec<TaskId> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| ids(handle))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 1200);
    let job = handle.spawn_blocking(TaskId::current);
    let id = job.id();
    assert_eq!(handle.block_on(job).unwrap(), Some(id));
    assert!(!all.contains(&id));
}

#[test]
fn a_task_is_listed_with_its_name_place_and_state_until_it_ends() {
    let reactor = builder(2).build().unwrap();
    let handle = reactor.handle();
    let (go, gate) = channel::<()>();
    let here = line!();
    let task = handle
        .build_task()
        .name("stuck")
        .spawn_on(handle.shard(1), move || async move {
            gate.recv().unwrap();
        });
    let running = wait_for(&reactor, task.id(), |task| task.state == TaskState::Running);
    assert_eq!(running.name.as_deref(), Some("stuck"));
    assert_eq!(running.shard, handle.shard(1));
    let line = running.spawned_at.unwrap().line();
    assert!(line > here && line < here + 6, "{line}");
    assert!(
        running.future.contains("a_task_is_listed"),
        "{}",
        running.future
    );
    assert_eq!(running.times, None, "tracking is off");
    let behind = handle.spawn_on(handle.shard(1), std::future::pending::<()>);
    let ready = wait_for(&reactor, behind.id(), |_| true);
    assert_eq!((ready.state, ready.name), (TaskState::Ready, None));
    go.send(()).unwrap();
    reactor.block_on(task).unwrap();
    let left = handle.tasks();
    assert_eq!(left.len(), 1);
    assert_eq!(wait_for(&reactor, behind.id(), waits).name, None);
    let next = handle.spawn_on(handle.shard(1), std::future::pending::<()>);
    let next = wait_for(&reactor, next.id(), waits);
    assert_eq!(next.name, None, "it has the entry of the first task");
}

#[test]
fn a_wait_for_a_descriptor_is_listed_with_its_direction() {
    for has_deadline in [false, true] {
        let reactor = builder(2).build().unwrap();
        let (_near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let fd = far.as_raw_fd();
        let task = reactor.spawn(async move {
            let registration = Registration::new_current(&far, Interest::READABLE, Ready::EMPTY);
            let registration = registration.unwrap();
            let readable = registration.readable();
            if has_deadline {
                drop(time::timeout(HOUR, readable).await);
            } else {
                drop(readable.await);
            }
        });
        let listed = wait_for(&reactor, task.id(), waits);
        let ready = Ready::from_interest(Interest::READABLE);
        assert_eq!(listed.waits[0], TaskWait::Descriptor { fd, ready });
        if has_deadline {
            let TaskWait::Timer { deadline } = listed.waits[1] else {
                panic!("{listed:?}");
            };
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > HOUR - Duration::from_secs(60) && left <= HOUR + Duration::from_secs(1));
        }
        assert_eq!(listed.waits.len(), 1 + usize::from(has_deadline));
    }
}

#[test]
fn tracking_counts_the_polls_of_a_task_and_their_time() {
    const BUSY: Duration = Duration::from_millis(20);
    let reactor = builder(1).task_tracking(true).build().unwrap();
    let task = reactor.spawn(async {
        thread::sleep(BUSY);
        reactor::yield_now().await;
        time::sleep(HOUR).await;
    });
    let has_slept = |times: TaskTimes| times.polls == 2 && times.current_poll.is_none();
    let listed = wait_for(&reactor, task.id(), |task| {
        // The timer is listed with one shard too.
        let has_timer = matches!(task.waits[..], [TaskWait::Timer { .. }]);
        waits(task) && has_timer && task.times.is_some_and(has_slept)
    });
    let times = listed.times.unwrap();
    assert!(times.busy >= BUSY && times.age >= times.busy, "{times:?}");
    assert!(times.since_last_poll.is_some(), "{times:?}");
    // A task that moves to another shard is still the same task.
    task.abort();
    assert!(reactor.block_on(task).unwrap_err().is_cancelled());
    assert!(reactor.handle().tasks().is_empty());
}

#[test]
fn a_poll_that_lasts_shows_its_time_so_far() {
    let reactor = builder(2).task_tracking(true).build().unwrap();
    let (go, gate) = channel::<()>();
    let task = reactor.spawn(async move { gate.recv().unwrap() });
    let long = Duration::from_millis(10);
    let lasts = |times: TaskTimes| times.current_poll.is_some_and(|poll| poll >= long);
    let listed = wait_for(&reactor, task.id(), |task| {
        task.state == TaskState::Running && task.times.is_some_and(lasts)
    });
    assert!(listed.times.unwrap().busy >= long);
    go.send(()).unwrap();
    reactor.block_on(task).unwrap();
}

#[test]
fn the_current_task_of_a_turns_hook_is_none() {
    let (sender, seen) = channel();
    let reactor = builder(1)
        .poll_tasks_with(move |poll_next| {
            while poll_next() {
                let _ = sender.send(TaskId::current());
            }
        })
        .build()
        .unwrap();
    reactor.block_on(reactor.spawn(async {})).unwrap();
    assert_eq!(seen.recv(), Ok(None));
}
