//! The future under every asynchronous wait of a registration, and the mask it waits for.
//!
//! It owns its waiter in the slot's list: the first poll that has to wait adds the waiter, and the
//! drop removes it. Called by `registration.rs` only. Tests are in that file's tests.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{ReadyEvent, Registration};
use crate::Ready;
use crate::budget;
use crate::error::forked_error;
use crate::readiness::{Side, Snapshot, WaiterId};

/// The states that a wait waits for. Each direction has a type of its own, so that the most common
/// waits store and load no mask.
pub(super) trait Mask: Copy + Unpin {
    fn states(self) -> Ready;
}

#[derive(Clone, Copy)]
pub(super) struct ReadSide;

#[derive(Clone, Copy)]
pub(super) struct WriteSide;

impl Mask for ReadSide {
    #[inline(always)]
    fn states(self) -> Ready {
        const { Side::mask(Side::READ) }
    }
}

impl Mask for WriteSide {
    #[inline(always)]
    fn states(self) -> Ready {
        const { Side::mask(Side::WRITE) }
    }
}

impl Mask for Ready {
    #[inline(always)]
    fn states(self) -> Ready {
        self
    }
}

/// A wait for any state of `mask`. It has one waiter in the slot's list, from the first poll that
/// has to wait until the end.
pub(super) struct Wait<'a, M> {
    pub(super) registration: &'a Registration,
    pub(super) id: Option<WaiterId>,
    pub(super) mask: M,
}

impl<M: Mask> Future for Wait<'_, M> {
    type Output = io::Result<ReadyEvent>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(budget::poll_budget(cx));
        let this = &mut *self;
        let (readiness, mask) = (this.registration.readiness(), this.mask.states());
        let seen = match this.id {
            None => {
                let seen = readiness.load();
                if seen.ends_wait(mask) {
                    seen
                } else {
                    match ready!(begin(this.registration, this.mask, cx, &mut this.id)) {
                        Some(seen) => seen,
                        None => return Poll::Ready(Err(forked_error())),
                    }
                }
            }
            Some(id) => {
                let seen = match readiness.end_notified(id) {
                    // This takes no lock, so it needs no check for a forked child.
                    Some(seen) => seen,
                    None if this.registration.slot.io().is_forked() => {
                        return Poll::Ready(Err(forked_error()));
                    }
                    None => ready!(readiness.poll_wait(id, cx.waker())),
                };
                this.id = None;
                seen
            }
        };
        budget::charge();
        Poll::Ready(ReadyEvent::new(seen, mask))
    }
}

/// Begins a wait that has to block. It is not inlined, so a wait that does not block compiles to a
/// few instructions in its caller.
///
/// The result is returned in registers. It is `None` in a forked child. The id, which is needed
/// only to wait, is returned through `id`.
#[inline(never)]
fn begin<M: Mask>(
    registration: &Registration,
    mask: M,
    cx: &Context<'_>,
    id: &mut Option<WaiterId>,
) -> Poll<Option<Snapshot>> {
    if !registration.is_settled_here() {
        return begin_away(registration, mask.states(), cx, id);
    }
    match registration.readiness().wait(mask.states(), cx.waker()) {
        Ok(begun) => {
            *id = Some(begun);
            Poll::Pending
        }
        Err(seen) => Poll::Ready(Some(seen)),
    }
}

/// Like `begin`, on a thread that is not the registration's shard, or after other shards had waits.
#[inline(never)]
fn begin_away(
    registration: &Registration,
    mask: Ready,
    cx: &Context<'_>,
    id: &mut Option<WaiterId>,
) -> Poll<Option<Snapshot>> {
    if registration.slot.io().is_forked() {
        return Poll::Ready(None);
    }
    match registration.readiness().wait(mask, cx.waker()) {
        Ok(begun) => {
            *id = Some(begun);
            registration.follow();
            Poll::Pending
        }
        Err(seen) => Poll::Ready(Some(seen)),
    }
}

impl<M> Drop for Wait<'_, M> {
    #[inline]
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.registration.give_up_slow(id);
        }
    }
}
