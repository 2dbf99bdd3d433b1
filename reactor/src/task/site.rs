//! The source location of a spawn, in four bytes that the task's header has to spare.
//!
//! A `&'static Location` takes eight bytes, and there are tens of thousands of headers. Locations
//! are constants of the program, which the linker places within a few megabytes of each other. So a
//! site stores the distance from one static. A location that is too far away, such as one in a
//! library loaded elsewhere, is unknown.
#![expect(unsafe_code, reason = "turns a distance back into a reference")]

use std::panic::Location;
use std::ptr;

/// The reference point for distances.
static ANCHOR: u64 = 0;

/// The source location that spawned a task. 0 is an unknown location, since no location lies at
/// `ANCHOR`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnSite(i32);

impl SpawnSite {
    /// Returns the location of the caller of the `#[track_caller]` function that calls this.
    #[inline]
    #[track_caller]
    pub(crate) fn here() -> Self {
        Self::of(Location::caller())
    }

    #[inline]
    fn of(location: &'static Location<'static>) -> Self {
        let at = ptr::from_ref(location).expose_provenance();
        let distance = at.wrapping_sub(ptr::from_ref(&ANCHOR).addr()) as isize;
        // Both addresses are aligned, so they are a whole number of steps apart.
        Self(i32::try_from(distance / STEP).unwrap_or(0))
    }

    pub(crate) fn location(self) -> Option<&'static Location<'static>> {
        if self.0 == 0 {
            return None;
        }
        let at = ptr::from_ref(&ANCHOR)
            .addr()
            .wrapping_add_signed(self.0 as isize * STEP);
        // SAFETY: `of` measured the distance of a `&'static Location`, whose provenance it exposed.
        // This reverses its arithmetic.
        Some(unsafe { &*ptr::with_exposed_provenance(at) })
    }
}

/// The unit of distances.
const STEP: isize = align_of::<Location<'static>>() as isize;

const _: () = assert!(
    align_of::<u64>() >= align_of::<Location<'static>>(),
    "otherwise the distance from the anchor is not a number of whole steps"
);

impl std::fmt::Debug for SpawnSite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.location().fmt(f)
    }
}
