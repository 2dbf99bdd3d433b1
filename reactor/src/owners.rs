//! Who owns a descriptor number on one epoll instance, and the only way to it.
//!
//! The kernel knows a registration by descriptor number and open file together; a caller who closes a descriptor behind its
//! registration's back, and opens another, leaves us with the number alone. Without a second opinion, a late DEL or MOD for
//! the number would hit the stranger who has it now. So each number has an owner, the slot of the registration that added
//! it last, and every epoll call is made under the lock of the number's stripe, after asking who that is:
//!
//! | call | owner of the number | the system says | what becomes of it |
//! |---|---|---|---|
//! | add | nobody | done | the caller owns it |
//! | add | a stale registration | done | the number was closed and opened again: the caller owns it, the other is dispossessed |
//! | add | nobody | EEXIST | a duplicate kept the entry of a registration that is gone: taken over with MOD |
//! | add | a live registration | EEXIST | that error: the descriptor is registered twice (or, if the number was closed behind that one's back, nobody can tell) |
//! | modify | the caller | | passed on |
//! | modify | another, or nobody | not asked | an error |
//! | delete | the caller | | passed on; nobody owns it, whatever the system says |
//! | delete | another, or nobody | not asked | an error, which a drop ignores |
//!
//! An entry never outlives its registration, which takes it away as it leaves unless another one has; so a slot's number,
//! without its generation, is enough to name an owner, at four bytes a descriptor and shard. Tests are in `tests.rs`.

use std::io;
use std::os::fd::RawFd;

use crossbeam_utils::CachePadded;

use crate::Interest;
use crate::error::dispossessed_error;
use crate::sync::Mutex;
use crate::token::{SlotId, Token};

#[cfg(all(test, not(reactor_loom)))]
mod tests;

/// How many locks the numbers are spread over. Neighbouring numbers, as connections of one burst have, never meet.
const STRIPES: usize = 64;

/// No [`SlotId`] is all ones.
const NOBODY: u32 = u32::MAX;

/// The system's side: epoll_ctl, or a model of it.
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

/// The owners of the numbers `stripe`, `stripe + 64`, `stripe + 128` …, as [`SlotId::bits`]. Grown when a number is first
/// owned, so a number that the system never accepted costs nothing.
#[derive(Debug, Default)]
struct Stripe(Vec<u32>);

impl<C: Ctl> Owners<C> {
    pub(crate) fn new(ctl: C) -> Self {
        Self {
            ctl,
            stripes: (0..STRIPES)
                .map(|_| CachePadded::new(Mutex::new(Stripe::default())))
                .collect(),
        }
    }

    /// Asks the system for events of `fd` and makes the token's slot the owner of the number.
    ///
    /// # Errors
    ///
    /// The system's; nothing has changed then. `AlreadyExists` means that a live registration has this very descriptor.
    pub(crate) fn add(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let (stripe, place) = self.locate(fd)?;
        let mut stripe = stripe.lock();
        match self.ctl.add(fd, token, interest) {
            Ok(()) => {}
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && stripe.owner(place) == NOBODY =>
            {
                self.ctl.modify(fd, token, interest)?;
            }
            Err(error) => return Err(error),
        }
        stripe.set_owner(place, token.id().bits());
        Ok(())
    }

    /// Changes what is asked of the system for `fd`, which also makes it report again what is true now.
    ///
    /// # Errors
    ///
    /// `NotFound` where the token's slot does not own the number; else the system's. Nothing has changed then.
    pub(crate) fn modify(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let (stripe, place) = self.locate(fd)?;
        let stripe = stripe.lock();
        if stripe.owner(place) != token.id().bits() {
            return Err(dispossessed_error());
        }
        self.ctl.modify(fd, token, interest)
    }

    /// Ends the ownership of `fd` and has the system forget it.
    ///
    /// # Errors
    ///
    /// `NotFound` where the slot did not own the number, and the system was not asked; else the system's. The slot does
    /// not own the number any more in any case.
    pub(crate) fn delete(&self, fd: RawFd, id: SlotId) -> io::Result<()> {
        let (stripe, place) = self.locate(fd)?;
        let mut stripe = stripe.lock();
        if stripe.owner(place) != id.bits() {
            return Err(dispossessed_error());
        }
        stripe.set_owner(place, NOBODY);
        self.ctl.delete(fd)
    }

    fn locate(&self, fd: RawFd) -> io::Result<(&Mutex<Stripe>, usize)> {
        let fd = usize::try_from(fd).map_err(|_| io::Error::from(rustix::io::Errno::BADF))?;
        Ok((&self.stripes[fd % STRIPES], fd / STRIPES))
    }
}

impl Stripe {
    fn owner(&self, place: usize) -> u32 {
        self.0.get(place).copied().unwrap_or(NOBODY)
    }

    fn set_owner(&mut self, place: usize, owner: u32) {
        if place >= self.0.len() {
            self.0.resize(place + 1, NOBODY);
        }
        self.0[place] = owner;
    }
}

#[cfg(all(test, not(reactor_loom)))]
impl<C> Owners<C> {
    /// The slot that owns a number, for tests.
    pub(crate) fn owner_of(&self, fd: RawFd) -> Option<u32> {
        let fd = usize::try_from(fd).ok()?;
        let owner = self.stripes[fd % STRIPES].lock().owner(fd / STRIPES);
        (owner != NOBODY).then_some(owner)
    }
}
