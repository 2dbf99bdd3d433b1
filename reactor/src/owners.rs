//! The owner of each descriptor number on one epoll instance. All epoll calls go through this
//! module.
//!
//! The kernel identifies a registration by descriptor number and open file together. If a caller
//! closes a registered descriptor and opens another one, this library knows only the number. A late
//! DEL or MOD for the number would then hit the new descriptor. So each number has an owner: the
//! slot of the registration that added it last. Every epoll call is made under the lock of the
//! number's stripe, after a check of the owner:
//!
//! | call | owner of the number | the system's answer | result |
//! |---|---|---|---|
//! | add | nobody | success | the caller owns it |
//! | add | a stale registration | success | closed and reopened (1) |
//! | add | nobody | EEXIST | taken over with MOD (2) |
//! | add | a live registration | EEXIST | that error (3) |
//! | modify | the caller | | passed on |
//! | modify | another, or nobody | not called | an error |
//! | delete | the caller | | passed on; nobody owns it, whatever the answer is |
//! | delete | another, or nobody | not called | an error, which a drop ignores |
//!
//! 1. The number was closed and opened again. The caller owns it, and the other registration loses
//!    it.
//! 2. A duplicate descriptor kept the entry of a registration that is gone.
//! 3. The descriptor is registered twice. The error is the same if the other registration's
//!    descriptor was closed: the two cases cannot be told apart.
//!
//! A registration that moves is deleted from this epoll and added to another shard's, under both
//! entries. The epoll of its table keeps a mark of it, so that a second registration of the
//! descriptor by hash still finds it:
//!
//! | call | mark on the number | answer of the epoll it moved to | result |
//! |---|---|---|---|
//! | add | a moved registration | EEXIST | that error: the descriptor is registered twice |
//! | add | a moved registration | success | closed and reopened: the call is made as above (4) |
//!
//! 4. The mark and the entry at the other epoll are removed first.
//!
//! An entry never outlives its registration, which removes it when it ends, unless another
//! registration owns the number by then. So a slot's number without its generation identifies an
//! owner, at four bytes per descriptor and shard. Tests are in `tests.rs`.

use std::io;
use std::os::fd::RawFd;
use std::ptr;

use crossbeam_utils::CachePadded;

use crate::Interest;
use crate::error::dispossessed_error;
use crate::sync::{Mutex, mutant};
use crate::token::{SlotId, Token};

#[cfg(all(test, not(reactor_loom)))]
mod tests;

/// The number of locks over which descriptor numbers are spread. Neighbouring numbers, such as
/// those of connections in one burst, never share a lock.
const STRIPES: usize = 64;

/// The value for a number without an owner. No [`SlotId`] is all ones.
const NOBODY: u32 = u32::MAX;

/// The system's interface: epoll_ctl, or a model of it.
pub(crate) trait Ctl {
    fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()>;
    fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()>;
    fn delete(&self, fd: RawFd) -> io::Result<()>;
}

#[derive(Debug)]
pub(crate) struct Owners<C> {
    ctl: C,
    stripes: Box<[CachePadded<Mutex<Stripe>>]>,
}

/// The outcome of [`Owners::add`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Done,
    /// No system call was made: the number has the mark of a registration that moved to another
    /// epoll. The caller checks if that registration still has the descriptor.
    Marked(SlotId),
}

/// The owners of the numbers `stripe`, `stripe + 64`, `stripe + 128` and so on, as
/// [`SlotId::bits`]. It grows when a number is first owned, so a number that the system never
/// accepted costs nothing.
#[derive(Debug, Default)]
struct Stripe {
    owners: Vec<u32>,
    /// The registrations of this table that moved to another epoll, by index. There are few: a
    /// registration moves only if its task runs elsewhere for long.
    moved: Vec<(usize, SlotId)>,
}

impl<C: Ctl> Owners<C> {
    pub(crate) fn new(ctl: C) -> Self {
        Self {
            ctl,
            stripes: (0..STRIPES)
                .map(|_| CachePadded::new(Mutex::new(Stripe::default())))
                .collect(),
        }
    }

    /// Returns the interface to the system.
    pub(crate) fn ctl(&self) -> &C {
        &self.ctl
    }

    /// Registers `fd` with the system and makes the token's slot the owner of the number.
    ///
    /// # Errors
    ///
    /// Returns the system's error. Nothing has changed in that case. `AlreadyExists` means that a
    /// live registration has the same descriptor.
    pub(crate) fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<Added> {
        let (stripe, index) = self.locate(fd)?;
        let mut stripe = stripe.lock();
        if let Some(moved) = stripe.mark(index) {
            return Ok(Added::Marked(moved));
        }
        self.add_locked(&mut stripe, index, fd, token, interest)?;
        Ok(Added::Done)
    }

    fn add_locked(
        &self,
        stripe: &mut Stripe,
        index: usize,
        fd: RawFd,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match self.ctl.add(fd, token, interest) {
            Ok(()) => {}
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && stripe.owner(index) == NOBODY =>
            {
                self.ctl.modify(fd, token, interest)?;
            }
            Err(error) => return Err(error),
        }
        stripe.set_owner(index, token.id().bits());
        Ok(())
    }

    /// Moves a registration to another epoll: DEL here, ADD there. `is_birth` is true for the epoll
    /// of the registration's table, which then keeps a mark. `moved` is called with both entries
    /// locked.
    ///
    /// The DEL comes first. It fails if the number was closed and opened again. The move then ends
    /// before it takes the new descriptor along.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if the token's slot does not own the number here; otherwise the system's
    /// error. The registration stays on its epoll then.
    pub(crate) fn move_to(
        &self,
        to: &Self,
        is_birth: bool,
        fd: RawFd,
        token: Token,
        interest: Interest,
        moved: impl FnOnce(),
    ) -> io::Result<()> {
        let (here, index) = self.locate(fd)?;
        let (there, _) = to.locate(fd)?;
        // The locks are taken in one order for every pair of epolls, so that two moves never wait
        // for each other.
        let (mut here, mut there) = if ptr::from_ref(here) < ptr::from_ref(there) {
            let here = here.lock();
            (here, there.lock())
        } else {
            let there = there.lock();
            (here.lock(), there)
        };
        if here.owner(index) != token.id().bits() {
            return Err(dispossessed_error());
        }
        if !mutant("move_keeps_old_entry") {
            let deleted = self.ctl.delete(fd);
            if !mutant("move_ignores_failed_delete") {
                deleted?;
            }
        }
        here.set_owner(index, NOBODY);
        if let Err(error) = to.add_locked(&mut there, index, fd, token, interest) {
            // The entry was just deleted, so there is room to add it again.
            self.add_locked(&mut here, index, fd, token, interest)?;
            return Err(error);
        }
        if is_birth && !mutant("move_leaves_no_mark") {
            here.moved.push((index, token.id()));
        }
        there.unmark(index, token.id());
        moved();
        Ok(())
    }

    /// Checks that a registration that moved here still has the descriptor that `fd` refers to now.
    /// If not, it loses the number.
    ///
    /// # Errors
    ///
    /// Returns `AlreadyExists` if it still has the descriptor; otherwise the system's error.
    pub(crate) fn evict_stale(
        &self,
        fd: RawFd,
        id: SlotId,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let (stripe, index) = self.locate(fd)?;
        let mut stripe = stripe.lock();
        if stripe.owner(index) == id.bits() {
            // Only the system knows if the number still refers to the same descriptor.
            self.ctl.add(fd, token, interest)?;
            stripe.set_owner(index, NOBODY);
            self.ctl.delete(fd)?;
        }
        Ok(())
    }

    /// Removes the mark of a registration.
    pub(crate) fn unmark(&self, fd: RawFd, id: SlotId) {
        if let Ok((stripe, index)) = self.locate(fd) {
            stripe.lock().unmark(index, id);
        }
    }

    /// Changes the interest in `fd`, which also makes the system report the current state again.
    ///
    /// # Errors
    ///
    /// Returns `NotFound` if the token's slot does not own the number; otherwise the system's
    /// error. Nothing has changed then.
    pub(crate) fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let (stripe, index) = self.locate(fd)?;
        let stripe = stripe.lock();
        if stripe.owner(index) != token.id().bits() {
            return Err(dispossessed_error());
        }
        self.ctl.modify(fd, token, interest)
    }

    /// Ends the ownership of `fd` and removes it from the system's set.
    ///
    /// # Errors
    ///
    /// Returns `NotFound`, without a system call, if the slot did not own the number; otherwise the
    /// system's error. In any case the slot no longer owns the number.
    #[inline]
    pub(crate) fn delete(&self, fd: RawFd, id: SlotId) -> io::Result<()> {
        let (stripe, index) = self.locate(fd)?;
        let mut stripe = stripe.lock();
        match stripe.owners.get_mut(index) {
            Some(owner) if *owner == id.bits() => *owner = NOBODY,
            _ => return Err(dispossessed_error()),
        }
        self.ctl.delete(fd)
    }

    fn locate(&self, fd: RawFd) -> io::Result<(&Mutex<Stripe>, usize)> {
        let fd = usize::try_from(fd).map_err(|_| io::Error::from(rustix::io::Errno::BADF))?;
        Ok((&self.stripes[fd % STRIPES], fd / STRIPES))
    }
}

impl Stripe {
    #[inline(always)]
    fn mark(&self, index: usize) -> Option<SlotId> {
        if self.moved.is_empty() {
            return None;
        }
        self.mark_slow(index)
    }

    #[cold]
    fn mark_slow(&self, index: usize) -> Option<SlotId> {
        let marked = self.moved.iter().find(|(at, _)| *at == index);
        marked.map(|(_, id)| *id)
    }

    fn unmark(&mut self, index: usize, id: SlotId) {
        self.moved.retain(|moved| *moved != (index, id));
    }

    fn owner(&self, index: usize) -> u32 {
        self.owners.get(index).copied().unwrap_or(NOBODY)
    }

    fn set_owner(&mut self, index: usize, owner: u32) {
        if index >= self.owners.len() {
            self.owners.resize(index + 1, NOBODY);
        }
        self.owners[index] = owner;
    }
}

#[cfg(all(test, not(reactor_loom)))]
impl<C> Owners<C> {
    /// Returns the slot that owns a number, for tests.
    pub(crate) fn owner_of(&self, fd: RawFd) -> Option<u32> {
        let fd = usize::try_from(fd).ok()?;
        let owner = self.stripes[fd % STRIPES].lock().owner(fd / STRIPES);
        (owner != NOBODY).then_some(owner)
    }
}
