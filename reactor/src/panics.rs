//! Running foreign code (futures, wakers, hooks, drops) so that its panic ends nothing but itself.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// How many payloads of one panic are dropped. A payload's drop may panic with another payload, and so on for ever.
const PAYLOADS_DROPPED_MAX: u32 = 4;

/// Runs foreign code and catches its panic. Returns what it gave, and how many panics that took: 0 or 1.
#[inline]
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> (Option<R>, u32) {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => (Some(value), 0),
        Err(payload) => {
            drop_payload(payload);
            (None, 1)
        }
    }
}

/// What a panic said, where it said something.
pub(crate) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Drops what a panic carried. What is left after a few panics in its drop is leaked: there is nobody to report it to.
#[cold]
pub(crate) fn drop_payload(mut payload: Payload) {
    for _ in 0..PAYLOADS_DROPPED_MAX {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    mem::forget(payload);
}
