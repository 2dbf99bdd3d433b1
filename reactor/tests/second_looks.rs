//! Waits whose reactor ends between the first check of the wait and the store of its waker. Without
//! a second check after the store, nothing would ever wake them.
//!
//! A wait clones its waker between the two. The waker here ends the reactor when it is cloned.
#![expect(
    unsafe_code,
    reason = "a waker that notices its own clones needs a vtable of its own"
)]

mod support;

use std::future::{Future, pending};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use reactor::{Handle, Interest, Placement, Reactor, Ready, Registration};

/// The state behind a waker that ends a reactor in its first clone.
struct Ender {
    reactor: Mutex<Option<Reactor>>,
    wakes: AtomicUsize,
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        let reactor = borrow(&data).reactor.lock().unwrap().take();
        drop(reactor);
        // SAFETY: `data` is an `Arc<Ender>` of which this waker holds a count.
        unsafe { Arc::increment_strong_count(data.cast::<Ender>()) };
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        borrow(&data).wakes.fetch_add(1, SeqCst);
        release(data);
    },
    |data| {
        borrow(&data).wakes.fetch_add(1, SeqCst);
    },
    release,
);

fn borrow(data: &*const ()) -> &Ender {
    // SAFETY: each waker of this vtable holds a count of the `Arc<Ender>` it points to.
    unsafe { &*data.cast::<Ender>() }
}

fn release(data: *const ()) {
    // SAFETY: as in `borrow`; the consumed waker gives up its count.
    drop(unsafe { Arc::from_raw(data.cast::<Ender>()) });
}

/// Polls a wait once, off every shard. Its reactor ends while it stores its waker.
fn ends_with_its_reactor<F: Future>(wait: impl FnOnce(&Handle) -> F) -> F::Output {
    let reactor = support::reactor(1);
    let handle = reactor.handle().clone();
    let mut wait = pin!(wait(&handle));
    let ender = Arc::new(Ender {
        reactor: Mutex::new(Some(reactor)),
        wakes: AtomicUsize::new(0),
    });
    let data = Arc::into_raw(Arc::clone(&ender)).cast::<()>();
    // SAFETY: the vtable keeps the contract: counts are atomic, and each waker has one.
    let waker = unsafe { Waker::new(data, &VTABLE) };
    let mut cx = Context::from_waker(&waker);
    let first = wait.as_mut().poll(&mut cx);
    assert!(ender.reactor.lock().unwrap().is_none(), "it stores a waker");
    match first {
        Poll::Ready(output) => output,
        Poll::Pending => {
            assert_ne!(ender.wakes.load(SeqCst), 0, "nobody wakes this wait");
            match wait.poll(&mut cx) {
                Poll::Ready(output) => output,
                Poll::Pending => panic!("it was woken for nothing"),
            }
        }
    }
}

#[test]
fn a_sleep_ends() {
    ends_with_its_reactor(|handle| {
        let _guard = handle.enter();
        reactor::time::sleep(Duration::from_secs(3_600))
    });
}

#[test]
fn a_wait_for_the_shutdown_ends() {
    ends_with_its_reactor(Handle::shutdown_requested);
}

#[test]
fn a_join_ends() {
    let joined = ends_with_its_reactor(|handle| handle.spawn(pending::<()>()));
    assert!(joined.unwrap_err().is_shutdown());
}

#[test]
fn a_wait_for_a_descriptor_ends() {
    let (near, _far) = UnixStream::pair().unwrap();
    let event = ends_with_its_reactor(|handle| {
        let registration = Registration::new(
            handle,
            Placement::Hash,
            &near,
            Interest::READABLE,
            Ready::EMPTY,
        );
        let registration = registration.unwrap();
        async move { registration.ready(Interest::READABLE).await }
    });
    assert!(reactor::is_shutdown_error(&event.unwrap_err()));
}
