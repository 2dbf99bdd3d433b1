//! Wakers that panic when they are dropped. This is a program of its own, since two panics at once
//! would abort the process.

mod support;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use reactor::{Direction, Interest, Placement, Ready, Registration};
use support::{reactor, total};

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("a waker's drop");
    }
}

struct Foreign(#[allow(dead_code, reason = "held for its drop")] PanicsInDrop);

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn two_wakers_of_one_registration_that_panic_as_they_are_dropped_are_caught() {
    let reactor = reactor(1);
    let (near, _far) = UnixStream::pair().unwrap();
    let registration = Registration::new(
        reactor.handle(),
        Placement::Hash,
        &near,
        Interest::READABLE,
        Ready::EMPTY,
    )
    .unwrap();
    for direction in [Direction::Read, Direction::Write] {
        let waker = Waker::from(Arc::new(Foreign(PanicsInDrop)));
        // The registration's clone is the last.
        assert!(
            registration
                .poll_ready(&mut Context::from_waker(&waker), direction)
                .is_pending()
        );
        drop(waker);
    }
    drop(registration);
    assert_eq!(total(reactor.handle(), |shard| shard.panics), 2);
}
