//! Helpers for cases that need the side's own `AsyncFd`.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::task::Poll;

use super::side::{AsyncFd, Interest, Ready};
use crate::support::{Probe, pair};

/// Returns once every event that happened before the call is published.
///
/// epoll delivers events in the order in which they happened, so the event of a socket that becomes
/// ready now comes after them. The cases use this where others would sleep.
pub(crate) async fn settle() {
    let (a, mut b) = pair();
    let a = AsyncFd::new(a).unwrap();
    b.write_all(b"x").unwrap();
    drop(a.readable().await.unwrap());
}

/// Returns the readiness that is cached at the moment.
pub(crate) fn cached<T: AsRawFd>(fd: &AsyncFd<T>, interest: Interest) -> Ready {
    match Probe::new().poll(pin!(fd.ready(interest))) {
        Poll::Ready(guard) => guard.unwrap().ready(),
        Poll::Pending => Ready::EMPTY,
    }
}

/// Returns the cached readiness, once all events so far are published.
pub(crate) async fn settled<T: AsRawFd>(fd: &AsyncFd<T>, interest: Interest) -> Ready {
    settle().await;
    cached(fd, interest)
}

/// Returns a pair of which one end is registered and known to be writable.
pub(crate) async fn registered() -> (
    AsyncFd<std::os::unix::net::UnixStream>,
    std::os::unix::net::UnixStream,
) {
    let (a, b) = pair();
    let a = AsyncFd::new(a).unwrap();
    a.writable().await.unwrap().retain_ready();
    (a, b)
}
