//! Memory that has to come back: the timers of other threads, the slots of registrations that
//! failed, the waker of a join handle that is gone. There is one test for what is counted in bytes,
//! so that nothing else allocates meanwhile.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use reactor::time::sleep;
use reactor::{Interest, Placement, Reactor, Ready, Registration};
use support::{eventually, reactor};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const TIMES: usize = 40_000;

/// Repeats a step, and sees that the bytes in use come back to what they were.
#[track_caller]
fn assert_comes_back(what: &str, step: impl Fn()) {
    // Tables grow to the size that the steps under way at one time need.
    (0..TIMES).for_each(|_| step());
    let before = counting::bytes();
    (0..TIMES).for_each(|_| step());
    // A leak of one byte a step is more than this.
    let slack = i64::try_from(TIMES).unwrap();
    eventually(what, || counting::bytes() - before < slack);
}

fn a_sleep_that_another_thread_drops(reactor: &Reactor) {
    let _entered = reactor.enter();
    let mut wait = sleep(Duration::from_secs(3_600));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut wait).poll(&mut cx).is_pending());
    drop(wait);
    // The shard takes the messages of one before the next.
    while reactor.handle().metrics().total(|shard| shard.timers) > 0 {
        std::thread::yield_now();
    }
}

fn a_registration_that_fails(reactor: &Reactor, file: &File) {
    let handle = reactor.handle();
    let read = Interest::READABLE;
    let refused = Registration::new(handle, Placement::Hash, file, read, Ready::EMPTY);
    let error = refused.expect_err("a regular file cannot be waited for");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    // The shard frees slots between its turns. On a busy machine it would fall behind otherwise,
    // and the table would grow by a page.
    reactor.block_on(handle.spawn(async {})).unwrap();
}

#[test]
fn what_other_threads_begin_and_give_up_leaves_nothing_behind() {
    let reactor = reactor(1);
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    assert_comes_back("the slots of failed registrations", || {
        a_registration_that_fails(&reactor, &file);
    });
    assert_comes_back("the timers of other threads", || {
        a_sleep_that_another_thread_drops(&reactor);
    });
    a_join_handle_that_is_gone_keeps_no_waker(&reactor);
}

fn a_join_handle_that_is_gone_keeps_no_waker(reactor: &Reactor) {
    struct Counted;
    impl Wake for Counted {
        fn wake(self: Arc<Self>) {}
    }
    let counted = Arc::new(Counted);
    let waker = Waker::from(Arc::clone(&counted));
    let mut handle = reactor.handle().spawn(std::future::pending::<()>());
    let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&counted), 2, "the handle waits");
    let abort = handle.abort_handle();
    drop(handle);
    assert_eq!(
        Arc::strong_count(&counted),
        1,
        "the task goes on without the waker"
    );
    assert!(!abort.is_finished());
}
