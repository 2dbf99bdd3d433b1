//! A registration moves between two shards while events arrive, readiness is cleared, it is
//! dropped, and its descriptor is closed. See `io/moving.rs`.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use loom::thread;

use crate::io::ShardIo;
use crate::shard::model::Pair;
use crate::table::SlotRef;
use crate::token::Token;
use crate::{Interest, Ready};

/// Creates two connected sockets that do not block.
fn sockets() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (near, far)
}

fn relocate(pair: &Pair, (slot, token): &(SlotRef, Token), fd: &impl AsRawFd) -> bool {
    let to = &pair.shard(1).io;
    ShardIo::relocate(slot, to, fd.as_raw_fd(), *token, Interest::READABLE).is_ok()
}

fn ready(registered: &(SlotRef, Token)) -> Ready {
    registered.0.slot().readiness().load().ready()
}

/// A registration moves while both shards dispatch. The event that was there before reaches it.
#[test]
fn move_against_event() {
    super::model_bounded(2, || {
        let pair = Pair::new();
        let (near, far) = sockets();
        let registered = Arc::new(pair.register(near.as_raw_fd()));
        (&far).write_all(b"x").unwrap();
        let near = Arc::new(near);
        let mover = thread::spawn({
            let (pair, near, registered) = (pair.clone(), near.clone(), registered.clone());
            move || assert!(relocate(&pair, &registered, &*near))
        });
        let first = pair.play(0, |shard| shard.dispatch());
        let second = pair.play(1, |shard| shard.dispatch());
        mover.join().unwrap();
        first.join().unwrap();
        second.join().unwrap();
        pair.play(1, |shard| shard.dispatch()).join().unwrap();
        let seen = ready(&registered);
        assert!(seen.contains(Ready::READABLE), "an event was lost");
    });
}

/// A reader finds nothing, and clears, while its registration moves and a byte arrives. The byte
/// does not lie there unseen.
#[test]
fn move_against_clear() {
    super::model_bounded(2, || {
        let pair = Pair::new();
        let (near, far) = sockets();
        let registered = Arc::new(pair.register(near.as_raw_fd()));
        registered.0.slot().readiness().publish(Ready::READABLE);
        let near = Arc::new(near);
        let mover = thread::spawn({
            let (pair, near, registered) = (pair.clone(), near.clone(), registered.clone());
            move || assert!(relocate(&pair, &registered, &*near))
        });
        let reader = thread::spawn({
            let (pair, near, registered) = (pair.clone(), near.clone(), registered.clone());
            move || {
                let readiness = registered.0.slot().readiness();
                let seen = readiness.load();
                let epoll = pair.epoll();
                let found = (&*near).read(&mut [0]).is_ok();
                drop(epoll);
                if !found {
                    readiness.clear(seen.restricted_to(Ready::READABLE));
                }
                found
            }
        });
        let second = pair.play(1, {
            let pair = pair.clone();
            move |shard| {
                let epoll = pair.epoll();
                (&far).write_all(b"x").unwrap();
                drop(epoll);
                shard.dispatch();
                far
            }
        });
        mover.join().unwrap();
        let found = reader.join().unwrap();
        let _far = second.join().unwrap();
        pair.play(1, |shard| shard.dispatch()).join().unwrap();
        let seen = ready(&registered);
        assert!(
            found || seen.contains(Ready::READABLE),
            "a byte lies there unseen"
        );
    });
}

/// A moved registration is dropped and another one takes its slot, while the shard that polls it
/// holds an event for it. The second never sees that event.
#[test]
fn move_against_drop() {
    super::model_bounded(3, || {
        let pair = Pair::new();
        let (near, far) = sockets();
        let (silent, _other) = sockets();
        let first = pair.register(near.as_raw_fd());
        assert!(relocate(&pair, &first, &near));
        (&far).write_all(b"x").unwrap();
        let polls = pair.play(1, |shard| shard.dispatch());
        let birth = pair.play(0, |shard| shard.dispatch());
        let user = thread::spawn({
            let pair = pair.clone();
            move || {
                let epoll = pair.epoll();
                ShardIo::deregister(&first.0, near.as_raw_fd(), first.1).unwrap();
                drop(epoll);
                (pair.register(silent.as_raw_fd()), near, silent)
            }
        });
        polls.join().unwrap();
        birth.join().unwrap();
        let (second, ..) = user.join().unwrap();
        let seen = ready(&second);
        assert_eq!(seen, Ready::EMPTY, "a stranger's event was published");
    });
}

/// A descriptor is replaced by another one under the same number while its registration moves. The
/// other one can be registered, and gets its events.
#[test]
fn move_against_closed_descriptor() {
    super::model_bounded(2, || {
        let pair = Pair::new();
        let (near, _far) = sockets();
        let (stranger, far) = sockets();
        (&far).write_all(b"x").unwrap();
        let mut number = OwnedFd::from(near);
        let raw = number.as_raw_fd();
        let first = Arc::new(pair.register(raw));
        let mover = thread::spawn({
            let (pair, first) = (pair.clone(), first.clone());
            move || {
                let epoll = pair.epoll();
                // It fails if the number is another's by then.
                relocate(&pair, &first, &raw);
                drop(epoll);
            }
        });
        let user = thread::spawn({
            let pair = pair.clone();
            move || {
                let epoll = pair.epoll();
                rustix::io::dup2(&stranger, &mut number).unwrap();
                drop(epoll);
                let io = &pair.shard(0).io;
                let second = ShardIo::register(io, raw, Interest::READABLE, Ready::EMPTY);
                (second, number)
            }
        });
        mover.join().unwrap();
        let (second, _number) = user.join().unwrap();
        let second = second.expect("a stranger can be registered");
        pair.play(0, |shard| shard.dispatch()).join().unwrap();
        let seen = ready(&second);
        assert!(
            seen.contains(Ready::READABLE),
            "the stranger's event was lost"
        );
    });
}
