//! The idle timeout of a connection. Tests: `idle/tests.rs`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use reactor::time::{self, Sleep};

use crate::shared::Shared;

/// The idle timeout of a connection: a timer that every byte moves. It counts from the time of the
/// turn, so a byte costs no clock read. Moving the deadline later only stores it.
///
/// It is in a box, since most servers have none.
#[derive(Debug)]
pub(crate) struct Idle(Option<Box<Timer>>);

#[derive(Debug)]
struct Timer {
    sleep: Sleep,
    limit: Duration,
}

impl Idle {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self(shared.idle_timeout.map(|limit| {
            let sleep = time::sleep(limit);
            Box::new(Timer { sleep, limit })
        }))
    }

    #[inline(always)]
    pub(crate) fn touch(&mut self) {
        if let Some(timer) = &mut self.0 {
            // A limit that the clock cannot represent needs no update.
            if let Some(due) = time::coarse_now().checked_add(timer.limit) {
                Pin::new(&mut timer.sleep).reset(due);
            }
        }
    }

    /// Completes when no byte has moved within the limit.
    #[inline(always)]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(timer) => Pin::new(&mut timer.sleep).poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests;
