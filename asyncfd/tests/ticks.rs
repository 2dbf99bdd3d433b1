//! No event is erased and no clear is defeated: stale clears at every distance that the width of a
//! tick allows, and the cost of two-way traffic. Both failed in tokio (#8331, #8054).
#![cfg(target_os = "linux")]

mod common;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use asyncfd::{AsyncFd, Interest, Ready};
use rustix::event::{EventfdFlags, eventfd};

use common::support::{drain, fill, pair, tcp_pair};
use common::{cached, run, run_on_shard, settle};

/// The number of events after which a tick repeats: 2^19. The documentation of
/// `AsyncFdReadyGuard::clear_ready` states it too.
const WRAP: usize = 1 << 19;

#[test]
fn a_stale_clear_is_ignored_at_every_distance_short_of_the_wrap() {
    // The case runs on the shard, where an event costs no wake across threads.
    run_on_shard(|| async {
        let counter = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        let fd = AsyncFd::from_fd_with_interest(counter, Interest::READABLE).unwrap();
        let event = || rustix::io::write(fd.get_ref(), &1_u64.to_ne_bytes()).unwrap();

        event();
        // One guard of the same tick for each distance, to be cleared at that distance.
        let mut looks = Vec::with_capacity(WRAP);
        looks.push(fd.readable().await.unwrap());
        while looks.len() < WRAP {
            looks.push(fd.readable().await.unwrap());
        }
        let mut newest = fd.readable().await.unwrap();
        for distance in 1..WRAP {
            // A real wait for one event: the newest guard clears the old readiness first.
            newest.clear_ready();
            event();
            newest = fd.readable().await.unwrap();
            assert_eq!(newest.ready(), Ready::READABLE);
            looks.pop().unwrap().clear_ready();
            let kept = fd.try_io(Interest::READABLE, |_| Ok(()));
            assert!(kept.is_ok(), "erased by a clear {distance} events late");
        }
        // After one more event the tick has the value of the last guard again. This is the
        // documented limit; here it shows that the ticks above did wrap around.
        newest.clear_ready();
        event();
        drop(fd.readable().await.unwrap());
        looks.pop().unwrap().clear_ready();
        assert_eq!(cached(&fd, Interest::READABLE), Ready::EMPTY);
    });
}

#[test]
fn room_to_write_in_the_middle_of_every_read_costs_no_extra_try() {
    // tokio has one tick for both directions. There each clear below counts as stale, and the
    // reader loops for as long as room to write keeps appearing.
    run(|| async {
        const BYTES: usize = 200;
        let (a, mut b) = pair();
        let a = AsyncFd::from_fd(a).unwrap();
        fill(a.get_ref());
        let mut tries = 0;
        for received in 0..BYTES {
            b.write_all(b"x").unwrap();
            settle().await;
            let mut got = 0;
            // As long as a wait would end at once.
            while !cached(&a, Interest::READABLE).is_empty() {
                let mut guard = a.readable().await.unwrap();
                tries += 1;
                assert!(tries <= 2 * BYTES, "spinning after {received} bytes");
                let result = a.get_ref().read(&mut [0; 8]);
                // Meanwhile the peer makes room, and it is filled again: an event for writing.
                drain(&b);
                settle().await;
                fill(a.get_ref());
                match result {
                    Ok(n) => got += n,
                    Err(_) => guard.clear_ready(),
                }
            }
            assert_eq!(got, 1);
        }
        assert_eq!(tries, 2 * BYTES);
    });
}

/// Sends and receives `total` bytes over both ends at once, and panics if it takes more than
/// `limit` operations.
async fn two_way<S>(a: AsyncFd<S>, b: AsyncFd<S>, total: usize, limit: usize)
where
    S: std::os::fd::AsRawFd,
    for<'a> &'a S: Read + Write,
{
    let tries = AtomicUsize::new(0);
    let count = || {
        let tried = tries.fetch_add(1, Ordering::Relaxed);
        assert!(tried < limit, "more than {limit} tries");
    };
    let send = async |fd: &AsyncFd<S>| {
        let mut sent = 0;
        while sent < total {
            let chunk = [1; 1000];
            let end = chunk.len().min(total - sent);
            sent += fd
                .async_io(Interest::WRITABLE, |mut fd| {
                    count();
                    fd.write(&chunk[..end])
                })
                .await
                .unwrap();
        }
    };
    let receive = async |fd: &AsyncFd<S>| {
        let mut received = 0;
        while received < total {
            let mut chunk = [0; 1000];
            received += fd
                .async_io(Interest::READABLE, |mut fd| {
                    count();
                    fd.read(&mut chunk)
                })
                .await
                .unwrap();
        }
    };
    let (mut from_a, mut from_b) = (pin!(send(&a)), pin!(send(&b)));
    let (mut to_a, mut to_b) = (pin!(receive(&a)), pin!(receive(&b)));
    let mut over = [false; 4];
    poll_fn(|cx| {
        let [w, x, y, z] = &mut over;
        *w = *w || from_a.as_mut().poll(cx).is_ready();
        *x = *x || to_a.as_mut().poll(cx).is_ready();
        *y = *y || from_b.as_mut().poll(cx).is_ready();
        *z = *z || to_b.as_mut().poll(cx).is_ready();
        if over == [true; 4] {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[test]
fn reading_and_writing_at_once_costs_a_bounded_number_of_tries_per_byte() {
    run(|| async {
        const TOTAL: usize = 2_000_000;
        // Full chunks in both directions, plus as many tries that find nothing.
        const CHUNKS: usize = 4 * TOTAL / 1000;
        let (a, b) = pair();
        let fds = (AsyncFd::from_fd(a).unwrap(), AsyncFd::from_fd(b).unwrap());
        two_way(fds.0, fds.1, TOTAL, 3 * CHUNKS).await;
        let (a, b) = tcp_pair();
        let fds = (AsyncFd::from_fd(a).unwrap(), AsyncFd::from_fd(b).unwrap());
        two_way(fds.0, fds.1, TOTAL, 3 * CHUNKS).await;
    });
}
