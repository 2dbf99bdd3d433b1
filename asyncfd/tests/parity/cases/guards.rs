//! The guards: every method, on the shared one and on the mut one.

use std::io::{self, Read, Write};
use std::ptr;

use super::kit::{cached, registered, settle, settled};
use super::side::{AsyncFd, Interest, OURS, Ready, TryIoError, run};
use crate::support::{drain, pair};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

/// Returns the address of a value as a number, which a case can keep across an await on any
/// executor.
fn addr<T>(value: &T) -> usize {
    ptr::from_ref(value).addr()
}

/// The cases that read the same for both guards; `$ready` is the method that returns one.
macro_rules! for_a_guard {
    ($guard:ident, $ready:ident) => {
        #[allow(unused_mut, reason = "one of the two guards asks for it")]
        mod $guard {
            use super::*;

            #[test]
            fn dropping_it_clears_nothing() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    drop(a.$ready(Interest::READABLE).await.unwrap());
                    assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
                });
            }

            #[test]
            fn retain_ready_does_nothing() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    let mut guard = a.$ready(Interest::READABLE).await.unwrap();
                    guard.retain_ready();
                    assert_eq!(guard.ready(), Ready::READABLE);
                    guard.retain_ready();
                    drop(guard);
                    assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
                });
            }

            #[test]
            fn clear_ready_clears_what_it_saw_and_empties_it() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    settle().await;
                    let mut guard = a.$ready(BOTH).await.unwrap();
                    assert_eq!(guard.ready(), Ready::READABLE | Ready::WRITABLE);
                    guard.clear_ready();
                    assert_eq!(guard.ready(), Ready::EMPTY);
                    drop(guard);
                    assert_eq!(cached(&a, BOTH), Ready::EMPTY);
                });
            }

            #[test]
            fn clear_ready_spares_what_it_was_not_asked_for() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    settle().await;
                    a.$ready(Interest::READABLE).await.unwrap().clear_ready();
                    assert_eq!(cached(&a, BOTH), Ready::WRITABLE);
                });
            }

            #[test]
            fn a_second_clear_does_nothing() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    let mut guard = a.$ready(Interest::READABLE).await.unwrap();
                    guard.clear_ready();
                    b.write_all(b"y").unwrap();
                    settle().await;
                    guard.clear_ready();
                    guard.clear_ready_matching(Ready::ALL);
                    drop(guard);
                    assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
                });
            }

            #[test]
            fn clear_ready_matching_clears_its_argument_only() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    settle().await;
                    let mut guard = a.$ready(BOTH).await.unwrap();
                    guard.clear_ready_matching(Ready::READABLE);
                    assert_eq!(guard.ready(), Ready::WRITABLE);
                    drop(guard);
                    assert_eq!(cached(&a, BOTH), Ready::WRITABLE);

                    let mut guard = a.$ready(BOTH).await.unwrap();
                    guard.clear_ready_matching(Ready::READABLE | Ready::PRIORITY);
                    assert_eq!(guard.ready(), Ready::WRITABLE, "nothing of that was there");
                    guard.clear_ready_matching(Ready::EMPTY);
                    assert_eq!(guard.ready(), Ready::WRITABLE);
                    guard.clear_ready_matching(Ready::ALL);
                    assert_eq!(guard.ready(), Ready::EMPTY);
                    drop(guard);
                    assert_eq!(cached(&a, BOTH), Ready::EMPTY);
                });
            }

            #[test]
            fn the_rest_can_be_cleared_after_a_partial_clear() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    settle().await;
                    let mut guard = a.$ready(BOTH).await.unwrap();
                    guard.clear_ready_matching(Ready::WRITABLE);
                    guard.clear_ready();
                    assert_eq!(guard.ready(), Ready::EMPTY);
                    drop(guard);
                    assert_eq!(cached(&a, BOTH), Ready::EMPTY);
                });
            }

            #[test]
            fn closed_bits_survive_every_clear() {
                run(|| async {
                    let (mut a, b) = registered().await;
                    drop(b);
                    settle().await;
                    let closed = Ready::READ_CLOSED | Ready::WRITE_CLOSED;
                    let mut guard = a.$ready(BOTH).await.unwrap();
                    assert!((guard.ready() & closed) == closed, "{:?}", guard.ready());
                    guard.clear_ready();
                    drop(guard);
                    assert_eq!(cached(&a, BOTH), closed);
                    let mut guard = a.$ready(BOTH).await.unwrap();
                    guard.clear_ready_matching(Ready::ALL);
                    assert_eq!(guard.ready(), Ready::EMPTY, "the guard itself is emptied");
                    drop(guard);
                    assert_eq!(cached(&a, BOTH), closed);
                });
            }

            #[test]
            fn try_io_clears_on_would_block_and_says_so() {
                run(|| async {
                    let (mut a, _b) = registered().await;
                    let mut guard = a.$ready(Interest::WRITABLE).await.unwrap();
                    let result: Result<io::Result<()>, TryIoError> =
                        guard.try_io(|_| Err(would_block()));
                    assert!(result.is_err());
                    assert_eq!(guard.ready(), Ready::EMPTY);
                    drop(guard);
                    assert_eq!(cached(&a, Interest::WRITABLE), Ready::EMPTY);
                });
            }

            #[test]
            fn try_io_clears_only_what_the_guard_saw() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    let mut guard = a.$ready(Interest::READABLE).await.unwrap();
                    let blocked = guard.try_io(|fd| {
                        assert_eq!(drain(fd.get_ref()), 1);
                        let error = fd.get_ref().read(&mut [0; 8]).unwrap_err();
                        // The next byte arrives after the system returned EAGAIN.
                        b.write_all(b"y").unwrap();
                        Err::<(), _>(error)
                    });
                    assert!(blocked.is_err());
                    drop(guard);
                    assert_eq!(settled(&a, BOTH).await, Ready::READABLE | Ready::WRITABLE);
                });
            }

            #[test]
            fn try_io_passes_values_and_errors_and_clears_nothing() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    let mut guard = a.$ready(Interest::READABLE).await.unwrap();
                    let value = guard.try_io(|_| Ok(5)).unwrap().unwrap();
                    assert_eq!(value, 5);
                    for kind in [io::ErrorKind::Other, io::ErrorKind::Interrupted] {
                        let error = guard
                            .try_io(|_| Err::<(), _>(kind.into()))
                            .unwrap()
                            .unwrap_err();
                        assert_eq!(error.kind(), kind);
                    }
                    let n = guard
                        .try_io(|fd| fd.get_ref().read(&mut [0; 8]))
                        .unwrap()
                        .unwrap();
                    assert_eq!(n, 1);
                    assert_eq!(guard.ready(), Ready::READABLE);
                    drop(guard);
                    assert_eq!(settled(&a, Interest::READABLE).await, Ready::READABLE);
                });
            }

            #[test]
            fn an_emptied_guard_still_runs_operations() {
                run(|| async {
                    let (mut a, mut b) = registered().await;
                    b.write_all(b"x").unwrap();
                    let mut guard = a.$ready(Interest::READABLE).await.unwrap();
                    guard.clear_ready();
                    let n = guard
                        .try_io(|fd| fd.get_ref().read(&mut [0; 8]))
                        .unwrap()
                        .unwrap();
                    assert_eq!(n, 1);
                    assert!(guard.try_io(|_| Err::<(), _>(would_block())).is_err());
                });
            }

            #[test]
            fn it_leads_to_the_fd_and_to_the_object() {
                run(|| async {
                    let (mut a, _b) = registered().await;
                    let (fd, inner) = (addr(&a), addr(a.get_ref()));
                    let guard = a.$ready(Interest::WRITABLE).await.unwrap();
                    assert_eq!(addr(guard.get_ref()), fd);
                    assert_eq!(addr(guard.get_inner()), inner);
                });
            }

            #[test]
            fn debug_shows_the_object() {
                run(|| async {
                    let (mut a, _b) = registered().await;
                    let inner = format!("{:?}", a.get_ref());
                    let guard = a.$ready(Interest::WRITABLE).await.unwrap();
                    let text = format!("{guard:?}");
                    assert!(text.contains(&inner), "{text}");
                    if OURS {
                        assert!(text.contains("ready: WRITABLE"), "{text}");
                    }
                });
            }
        }
    };
}

for_a_guard!(shared, ready);
for_a_guard!(exclusive, ready_mut);

#[test]
fn the_mut_guard_gives_exclusive_access() {
    run(|| async {
        let (mut a, mut b) = registered().await;
        let fd = addr(&a);
        let mut guard = a.writable_mut().await.unwrap();
        assert_eq!(addr(guard.get_mut()), fd);
        guard.get_inner_mut().write_all(b"one").unwrap();
        let n = guard
            .try_io(|fd| fd.get_mut().write(b"two"))
            .unwrap()
            .unwrap();
        assert_eq!(n, 3);
        let mut text = [0; 8];
        assert_eq!(b.read(&mut text).unwrap(), 6);
        assert_eq!(&text[..6], b"onetwo");
    });
}

#[test]
fn a_reference_from_the_shared_guard_outlives_it() {
    run(|| async {
        let (a, mut b) = registered().await;
        let (fd, mut inner): (&AsyncFd<_>, _) = {
            let guard = a.writable().await.unwrap();
            (guard.get_ref(), guard.get_inner())
        };
        assert!(ptr::eq(fd, &raw const a));
        inner.write_all(b"x").unwrap();
        assert_eq!(b.read(&mut [0; 8]).unwrap(), 1);
        // So does a value that a closure borrows.
        let borrowed = {
            let mut guard = a.writable().await.unwrap();
            guard.try_io(|fd| Ok(fd.get_ref())).unwrap().unwrap()
        };
        assert!(ptr::eq(borrowed, inner));
    });
}

#[test]
fn two_guards_of_one_look_clear_once() {
    run(|| async {
        let (a, mut b) = registered().await;
        b.write_all(b"x").unwrap();
        let mut first = a.readable().await.unwrap();
        let mut second = a.readable().await.unwrap();
        first.clear_ready();
        assert_eq!(second.ready(), Ready::READABLE, "a guard keeps what it saw");
        b.write_all(b"y").unwrap();
        settle().await;
        second.clear_ready();
        assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
    });
}

#[test]
fn an_eagain_of_the_system_puts_closed_bits_in_doubt() {
    run(|| async {
        let (a, b) = pair();
        let a = AsyncFd::new(a).unwrap();
        b.shutdown(std::net::Shutdown::Write).unwrap();
        let mut guard = a.readable().await.unwrap();
        let closed = guard.ready();
        assert!(closed.is_read_closed());
        // A fake EAGAIN: the stream is at its end, so the system reports that again.
        let eagain = rustix::io::Errno::AGAIN;
        assert!(guard.try_io(|_| Err::<(), _>(eagain.into())).is_err());
        assert!(
            settled(&a, Interest::READABLE).await.is_read_closed(),
            "it is still true"
        );
        drop(guard);
        drop(b);
    });
}
