//! The owner table on a small model of the kernel: open files, descriptor numbers, and epoll
//! entries that are keyed by both.

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use rustix::io::Errno;

use super::{Added, Ctl, Owners, STRIPES};
use crate::Interest;
use crate::sync::Mutex;
use crate::token::{SlotId, Token};

type File = u32;

/// The kernel's state.
#[derive(Debug, Default)]
struct Kernel {
    open: HashMap<RawFd, File>,
    /// Files that a duplicate under another number keeps open for good.
    duplicated: Vec<File>,
    entries: HashMap<(RawFd, File), Token>,
    /// The error of the next call, if set.
    failure: Option<Errno>,
}

impl Kernel {
    fn close(&mut self, fd: RawFd) {
        let Some(file) = self.open.remove(&fd) else {
            return;
        };
        if !self.duplicated.contains(&file) && !self.open.values().any(|other| *other == file) {
            self.entries.retain(|(_, of), _| *of != file);
        }
    }

    fn key(&mut self, fd: RawFd) -> io::Result<(RawFd, File)> {
        if let Some(failure) = self.failure.take() {
            return Err(failure.into());
        }
        self.open
            .get(&fd)
            .map(|file| (fd, *file))
            .ok_or_else(|| Errno::BADF.into())
    }
}

impl Ctl for Mutex<Kernel> {
    fn add(&self, fd: RawFd, token: Token, _: Interest) -> io::Result<()> {
        let mut kernel = self.lock();
        let key = kernel.key(fd)?;
        if kernel.entries.contains_key(&key) {
            return Err(Errno::EXIST.into());
        }
        kernel.entries.insert(key, token);
        Ok(())
    }

    fn modify(&self, fd: RawFd, token: Token, _: Interest) -> io::Result<()> {
        let mut kernel = self.lock();
        let key = kernel.key(fd)?;
        *kernel.entries.get_mut(&key).ok_or(Errno::NOENT)? = token;
        Ok(())
    }

    fn delete(&self, fd: RawFd) -> io::Result<()> {
        let mut kernel = self.lock();
        let key = kernel.key(fd)?;
        kernel
            .entries
            .remove(&key)
            .map(drop)
            .ok_or_else(|| Errno::NOENT.into())
    }
}

fn owners() -> Owners<Mutex<Kernel>> {
    Owners::new(Mutex::new(Kernel::default()))
}

fn token(slot: u32) -> Token {
    Token::new(SlotId::new(0, slot), 1)
}

#[derive(Debug, Clone)]
enum Op {
    /// Closes the number, if open, and opens a new file there.
    Open(RawFd),
    Close(RawFd),
    /// Makes a duplicate elsewhere, which keeps the file open.
    Duplicate(RawFd),
    /// Makes one number refer to another number's file, as dup2 does.
    Dup2(RawFd, RawFd),
    Register(RawFd),
    Modify(usize),
    Drop(usize),
}

fn ops() -> impl Strategy<Value = Op> {
    let fd = || 0..3_i32;
    prop_oneof![
        3 => fd().prop_map(Op::Open),
        1 => fd().prop_map(Op::Close),
        1 => fd().prop_map(Op::Duplicate),
        1 => (fd(), fd()).prop_map(|(from, to)| Op::Dup2(from, to)),
        4 => fd().prop_map(Op::Register),
        2 => any::<usize>().prop_map(Op::Modify),
        3 => any::<usize>().prop_map(Op::Drop),
    ]
}

/// A registration. The flag says if its number was closed while it was registered.
#[derive(Debug, Clone, Copy)]
struct Registered {
    fd: RawFd,
    file: File,
    token: Token,
    betrayed: bool,
}

proptest! {
    /// A registration whose descriptor stays open keeps its notifications, whatever other code does
    /// with its own descriptors.
    #[test]
    fn nobody_loses_events_for_what_others_close(ops in prop::collection::vec(ops(), 0..80)) {
        let owners = owners();
        let mut registered: Vec<Registered> = Vec::new();
        let mut files = 0;
        let mut slots = 0;
        let betray = |registered: &mut Vec<Registered>, fd| {
            registered.iter_mut().filter(|r| r.fd == fd).for_each(|r| r.betrayed = true);
        };
        for op in ops {
            match op {
                Op::Open(fd) => {
                    betray(&mut registered, fd);
                    let mut kernel = owners.ctl.lock();
                    kernel.close(fd);
                    files += 1;
                    kernel.open.insert(fd, files);
                }
                Op::Close(fd) => {
                    betray(&mut registered, fd);
                    owners.ctl.lock().close(fd);
                }
                Op::Duplicate(fd) => {
                    let mut kernel = owners.ctl.lock();
                    if let Some(file) = kernel.open.get(&fd).copied() {
                        kernel.duplicated.push(file);
                    }
                }
                Op::Dup2(from, to) => {
                    let mut kernel = owners.ctl.lock();
                    let file = kernel.open.get(&from).copied().filter(|_| from != to);
                    if let Some(file) = file {
                        betray(&mut registered, to);
                        kernel.close(to);
                        kernel.open.insert(to, file);
                    }
                }
                Op::Register(fd) => {
                    slots += 1;
                    let token = token(slots);
                    let file = owners.ctl.lock().open.get(&fd).copied();
                    let here = |r: &&Registered| r.fd == fd;
                    match (owners.add(fd, token, Interest::READABLE), file) {
                        (Ok(Added::Done), Some(file)) => {
                            prop_assert!(registered.iter().filter(here).all(|r| r.betrayed));
                            registered.push(Registered { fd, file, token, betrayed: false });
                        }
                        (Ok(Added::Marked(_)), _) => prop_assert!(false, "nothing moves here"),
                        (Ok(Added::Done), None) => prop_assert!(false, "a closed number was registered"),
                        (Err(error), Some(_)) => {
                            // The number's owner may differ from the entry's registration, but the
                            // two cannot be told apart.
                            prop_assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
                            prop_assert!(registered.iter().any(|r| r.fd == fd));
                        }
                        (Err(error), None) => {
                            prop_assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
                        }
                    }
                }
                Op::Modify(index) if !registered.is_empty() => {
                    let r = registered[index % registered.len()];
                    let modified = owners.modify(r.fd, r.token, Interest::WRITABLE);
                    prop_assert!(r.betrayed || modified.is_ok());
                }
                Op::Drop(index) if !registered.is_empty() => {
                    let r = registered.swap_remove(index % registered.len());
                    let deleted = owners.delete(r.fd, r.token.id());
                    prop_assert!(r.betrayed || deleted.is_ok());
                    prop_assert_ne!(owners.owner_of(r.fd), Some(r.token.id().bits()));
                    let kernel = owners.ctl.lock();
                    prop_assert!(r.betrayed || !kernel.entries.contains_key(&(r.fd, r.file)));
                }
                Op::Modify(_) | Op::Drop(_) => {}
            }
            let kernel = owners.ctl.lock();
            for r in registered.iter().filter(|r| !r.betrayed) {
                prop_assert_eq!(kernel.entries.get(&(r.fd, r.file)), Some(&r.token));
            }
        }
    }
}

#[test]
fn an_entry_that_a_duplicate_kept_is_taken_over() {
    let owners = owners();
    owners.ctl.lock().open.insert(5, 1);
    owners.ctl.lock().duplicated.push(1);
    owners.add(5, token(1), Interest::READABLE).unwrap();
    owners.ctl.lock().close(5);
    // The number is closed, so the system cannot remove the entry. The ownership ends anyway.
    assert!(owners.delete(5, token(1).id()).is_err());
    assert_eq!(owners.owner_of(5), None);
    owners.ctl.lock().open.insert(5, 1);
    owners.add(5, token(2), Interest::READABLE).unwrap();
    assert_eq!(owners.ctl.lock().entries[&(5, 1)], token(2));
}

#[test]
fn a_late_delete_and_a_late_modify_leave_a_stranger_alone() {
    let owners = owners();
    owners.ctl.lock().open.insert(5, 1);
    owners.add(5, token(1), Interest::READABLE).unwrap();
    owners.ctl.lock().close(5);
    owners.ctl.lock().open.insert(5, 2);
    owners.add(5, token(2), Interest::READABLE).unwrap();
    for refused in [
        owners.delete(5, token(1).id()),
        owners.modify(5, token(1), Interest::READABLE),
    ] {
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(owners.ctl.lock().entries[&(5, 2)], token(2));
}

#[test]
fn a_failed_call_changes_no_owner() {
    let owners = owners();
    owners.ctl.lock().open.extend([(5, 1), (6, 2)]);
    owners.add(5, token(1), Interest::READABLE).unwrap();
    for failure in [Errno::NOMEM, Errno::NOSPC, Errno::PERM] {
        owners.ctl.lock().failure = Some(failure);
        let error = owners.add(6, token(2), Interest::READABLE).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(failure.raw_os_error()));
        assert_eq!(owners.owner_of(6), None);
        owners.ctl.lock().failure = Some(failure);
        assert!(owners.modify(5, token(1), Interest::WRITABLE).is_err());
        assert_eq!(owners.owner_of(5), Some(token(1).id().bits()));
    }
}

#[test]
fn numbers_that_are_none_are_refused_and_cost_nothing() {
    let owners = owners();
    for fd in [-1, RawFd::MIN, RawFd::MAX] {
        let error = owners.add(fd, token(1), Interest::READABLE).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
    }
    assert!(
        owners
            .stripes
            .iter()
            .all(|stripe| stripe.lock().owners.is_empty())
    );
}

#[test]
fn neighbours_have_locks_of_their_own() {
    let owners = owners();
    let stripes = RawFd::try_from(STRIPES).unwrap();
    for fd in 0..2 * stripes {
        owners
            .ctl
            .lock()
            .open
            .insert(fd, File::try_from(fd).unwrap());
        owners
            .add(fd, token(fd.unsigned_abs()), Interest::READABLE)
            .unwrap();
    }
    assert!(
        owners
            .stripes
            .iter()
            .all(|stripe| stripe.lock().owners.len() == 2)
    );
    for fd in 0..2 * stripes {
        assert_eq!(
            owners.owner_of(fd),
            Some(token(fd.unsigned_abs()).id().bits())
        );
    }
}

#[test]
fn a_move_leaves_its_entry_and_a_mark_at_the_birthplace_only() {
    let (birth, other) = (owners(), owners());
    for one in [&birth, &other] {
        one.ctl.lock().open.insert(5, 1);
    }
    let read = Interest::READABLE;
    birth.add(5, token(1), read).unwrap();
    birth.ctl.lock().failure = Some(Errno::NOENT);
    let failed = birth.move_to(&other, true, 5, token(1), read, || panic!("it stays"));
    assert!(failed.is_err() && birth.owner_of(5) == Some(token(1).id().bits()));

    birth
        .move_to(&other, true, 5, token(1), read, || ())
        .unwrap();
    assert!(birth.ctl.lock().entries.is_empty());
    let marked = birth.add(5, token(2), read).unwrap();
    assert!(matches!(marked, Added::Marked(id) if id == token(1).id()));

    other
        .move_to(&birth, false, 5, token(1), read, || ())
        .unwrap();
    assert!(other.ctl.lock().entries.is_empty());
    let added = other.add(5, token(2), read).unwrap();
    assert!(matches!(added, Added::Done));
}

#[test]
fn moves_in_both_directions_never_wait_for_each_other() {
    let both = Arc::new([owners(), owners()]);
    let (ends, ended) = channel();
    // Both numbers are in the first stripe.
    for (fd, file, start) in [(0, 1, 0), (RawFd::try_from(STRIPES).unwrap(), 2, 1)] {
        for one in both.iter() {
            one.ctl.lock().open.insert(fd, file);
        }
        both[start]
            .add(fd, token(file), Interest::READABLE)
            .unwrap();
        let (both, ends) = (Arc::clone(&both), ends.clone());
        thread::spawn(move || {
            for turn in start..start + 20_000 {
                let (from, to) = (&both[turn % 2], &both[(turn + 1) % 2]);
                from.move_to(to, false, fd, token(file), Interest::READABLE, || ())
                    .unwrap();
            }
            ends.send(()).unwrap();
        });
    }
    for _ in 0..2 {
        let end = ended.recv_timeout(Duration::from_secs(60));
        end.expect("the moves of a thread end");
    }
}
