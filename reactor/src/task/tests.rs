//! Tests that need access to private state: a lock that is held while the process forks.
#![expect(unsafe_code, reason = "fork(2)")]

use std::sync::mpsc::channel;

use super::join::TaskOrJob;
use crate::{JoinHandle, Pinning, Reactor, TaskId};

/// Forks, and drops the handle in the child. Returns it to the parent. A drop that hangs is ended
/// by a signal.
fn drop_in_a_child<T>(handle: JoinHandle<T>) -> JoinHandle<T> {
    // SAFETY: the child drops its copy of the handle, which is the tested action, and leaves with
    // _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: it touches no memory.
        unsafe { libc::alarm(10) };
        drop(handle);
        // SAFETY: ends the child without running any code of the parent.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` is alive for the call.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child);
    assert!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        "status {status}"
    );
    handle
}

#[test]
fn an_id_of_48_bits_is_the_same_from_its_parts() {
    let id = TaskId::from_parts(0x1234, 0x5678_9abc);
    assert_eq!(id.as_u64(), 0x1234_5678_9abc);
    assert_eq!(id.to_parts(), (0x1234, 0x5678_9abc));
}

#[test]
fn a_handle_dropped_in_a_forked_child_takes_no_lock() {
    let reactor = Reactor::builder()
        .shards(1)
        .pinning(Pinning::None)
        .build()
        .unwrap();
    let (go, gate) = channel::<()>();
    let (other_go, other_gate) = channel::<()>();
    let task = reactor.handle().spawn(async move { gate.recv() });
    let job = reactor.handle().spawn_blocking(move || other_gate.recv());
    for handle in [task, job] {
        let (shard, pool) = match &handle.of {
            TaskOrJob::Task(raw) => (Some(raw.task().clone()), None),
            TaskOrJob::Job(raw) => (None, Some(raw.task().clone())),
        };
        // The parent's threads may be anywhere when it forks. Here one of them holds the lock, and
        // in the child it stays held for good.
        let held = shard.as_ref().map(|task| task.join_waker().lock());
        let also = pool.as_ref().map(|job| job.join_waker().lock());
        let handle = drop_in_a_child(handle);
        // The parent's own drop of the handle takes the lock.
        drop((held, also));
        drop(handle);
    }
    drop((go, other_go));
}
