//! Runs foreign code (futures, wakers, hooks, drops) and contains its panics.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send>;

/// The maximum number of payloads dropped for one panic. A payload's drop may panic with another
/// payload, and so on without end.
const PAYLOADS_DROPPED_MAX: u32 = 4;

/// Runs foreign code and catches its panic. Returns its result, and the number of panics: 0 or 1.
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

/// Returns the message of a panic, if it has one.
pub(crate) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Drops a panic's payload. After a few panics in such drops, the rest is leaked, since it cannot
/// be reported.
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
