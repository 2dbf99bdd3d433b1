//! The idle timeout of a connection. Tests: `idle/tests.rs`.

use std::pin::Pin;
use std::task::{Context, Poll};

use reactor::time::{self, Sleep};

use crate::shared::Shared;

/// The idle timeout of a connection: a timer that every byte moves. It counts from the time of the
/// turn, so a byte costs no clock read. Moving the deadline later only stores it.
///
/// It is in a box, since most servers have none.
#[derive(Debug)]
pub(crate) struct Idle(Option<Box<Sleep>>);

impl Idle {
    pub(crate) fn new(shared: &Shared) -> Self {
        let limit = shared.idle_timeout;
        Self(limit.map(|limit| Box::new(time::sleep(limit))))
    }

    #[inline(always)]
    pub(crate) fn touch(&mut self, shared: &Shared) {
        if let (Some(timer), Some(limit)) = (&mut self.0, shared.idle_timeout) {
            // A limit beyond the end of time needs no update.
            if let Some(due) = time::coarse_now().checked_add(limit) {
                Pin::new(&mut **timer).reset(due);
            }
        }
    }

    /// Completes when no byte has moved within the limit.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(timer) => Pin::new(&mut **timer).poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
