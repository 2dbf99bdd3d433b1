//! A blocking call inside a task blocks its shard. The stall report names the task.

use std::sync::mpsc::channel;
use std::time::Duration;

use reactor::{Pinning, Reactor};

/// No test waits longer than this for anything.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn the_stall_report_names_a_task_in_blocking_recv() {
    let (tell, told) = channel();
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .detect_stalls(Duration::from_millis(20))
        .on_stall(move |stall| drop(tell.send(stall.clone())))
        .build()
        .unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let task = reactor
        .handle()
        .spawn(async move { receiver.blocking_recv() });
    let stall = told.recv_timeout(DEADLINE).unwrap();
    let report = stall.to_string();
    assert!(!stall.is_over(), "{report}");
    assert!(report.contains("has been in one poll for"), "{report}");
    assert!(report.contains("names_a_task_in_blocking_recv"), "{report}");
    let spawned_at = concat!("spawned at ", file!());
    assert!(report.contains(spawned_at), "{report}");
    // Nothing else of this shard runs until a message comes.
    let other = reactor.handle().spawn(async {});
    assert!(!other.is_finished());
    sender.blocking_send(7).unwrap();
    assert_eq!(reactor.block_on(task).unwrap(), Some(7));
    reactor.block_on(other).unwrap();
    let over = told.recv_timeout(DEADLINE).unwrap();
    assert!(over.is_over());
    assert_eq!(
        over.task().map(|task| task.id()),
        stall.task().map(|task| task.id())
    );
}
