//! Every kind of descriptor that the system can poll does real work through `AsyncFd`, and the
//! others are refused.
//!
//! The cases also test the draining rule of each kind: `AsyncFd` never takes a short transfer for
//! an empty descriptor. Most kinds here end a read early with more data behind it (a message, a
//! line, a record, a mark), and the system reports nothing for the rest. So [`reads_in_parts`]
//! hangs, and fails at its deadline, if anything but EAGAIN clears the readiness. Where needed, the
//! registration is for reading only: an event for writing would report the readable data again.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod events;
mod pipes;
mod refused;
mod sockets;
mod terminals;

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::Duration;

use asyncfd::{AsyncFd, Interest, Ready};

use common::{cached, settle};

const READ: Interest = Interest::READABLE;
const WRITE: Interest = Interest::WRITABLE;

/// The time limit of a read that finds something. Only a hang takes this long.
const SOON: Duration = Duration::from_secs(20);

/// Reads everything there is, in the pieces given by `parts`, and checks that readiness stays
/// exactly until EAGAIN.
async fn reads_in_parts<T: AsRawFd>(
    fd: &AsyncFd<T>,
    parts: &[usize],
    mut read: impl FnMut(&T) -> io::Result<usize>,
) {
    // The event of the send is published first, so that no event comes in between and hides a wrong
    // clear.
    settle().await;
    for (i, &part) in parts.iter().enumerate() {
        let n = reactor::time::timeout(SOON, fd.async_io(READ, &mut read)).await;
        let n = n.unwrap_or_else(|_| panic!("part {i} is there and nobody was told"));
        assert_eq!(n.unwrap(), part, "part {i}");
        assert!(
            cached(fd, READ).is_readable(),
            "part {i} was read, and nobody said EAGAIN"
        );
    }
    let error = fd.try_io(READ, |inner| read(inner)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(cached(fd, READ), Ready::EMPTY, "and after EAGAIN");
}

/// Reads once, into a buffer of the given length.
fn read_up_to(fd: &impl AsFd, len: usize) -> io::Result<usize> {
    Ok(rustix::io::read(fd, &mut vec![0; len][..])?)
}

fn set_nonblocking(fd: &impl AsFd) {
    let flags = rustix::fs::fcntl_getfl(fd).unwrap();
    rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
}

/// A folder for one run of a test, which is removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("asyncfd-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
