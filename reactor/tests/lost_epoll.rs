//! A shard whose epoll instance is lost, which takes a bug elsewhere in the process. No wait on it
//! lasts without end. This is a program of its own, since the bug affects descriptors of the whole
//! process.
#![expect(unsafe_code, reason = "replaces the descriptors of epoll instances")]
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

use reactor::{Interest, Placement, Ready, Registration, is_shutdown_error};
use support::{DEADLINE, reactor, receive};

#[test]
fn waits_on_a_lost_epoll_end_and_so_does_its_reactor() {
    let reactor = reactor(1);
    let (near, _far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let registration = Registration::new(
        reactor.handle(),
        Placement::Hash,
        &near,
        Interest::READABLE,
        Ready::EMPTY,
    )
    .unwrap();
    // On another thread than the shard's, where no task ends with it.
    let handle = reactor.handle().clone();
    let (ended, result) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        let waited = handle.block_on(registration.ready(Interest::READABLE));
        ended.send(waited.map(drop)).unwrap();
    });
    let shard = reactor.handle().shards().next().unwrap();
    let poke = || reactor.handle().spawn_on(shard, || async {});
    reactor.block_on(poke()).unwrap();

    let null = File::open("/dev/null").unwrap();
    let mut lost = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        if fs::read_link(&path).is_ok_and(|to| to == Path::new("anon_inode:[eventpoll]")) {
            let number = path.file_name().unwrap().to_str().unwrap();
            // SAFETY: the reactor's own descriptor is replaced by one that it may use and close as
            // well. The test is about the calls that fail on it.
            let replaced = unsafe { libc::dup2(null.as_raw_fd(), number.parse().unwrap()) };
            assert!(replaced >= 0);
            lost += 1;
        }
    }
    assert!(lost > 0, "the reactor has an epoll instance");
    // It waits on the old instance. The wait after this one fails.
    let poked = poke();

    let waited = receive(&result, "the wait on the lost epoll");
    assert!(is_shutdown_error(&waited.unwrap_err()));
    waiter.join().unwrap();
    // It ran before the shard ended, or ended with it.
    let _ = reactor.block_on(poked);
    // The thread that ends the reactor reports the error.
    let end = catch_unwind(AssertUnwindSafe(|| reactor.shutdown(DEADLINE))).unwrap_err();
    let words = end.downcast_ref::<String>().expect("a message");
    assert!(words.contains("cannot wait for events any more"), "{words}");
}
