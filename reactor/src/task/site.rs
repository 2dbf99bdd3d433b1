//! Where a task was spawned, in four bytes that its header has to spare.
//!
//! A `&'static Location` is eight, and headers are counted by the ten thousand. Locations are constants of the program, which the linker
//! puts within a few megabytes of each other: so the distance from one static is kept. One that is too far off (a library loaded
//! far away) is not known then.
#![expect(unsafe_code, reason = "turns a distance back into a reference")]

use std::panic::Location;
use std::ptr;

/// What distances are measured from.
static ANCHOR: u64 = 0;

/// A place in the source that spawned a task; 0 is an unknown one, since no location is where `ANCHOR` is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnSite(i32);

impl SpawnSite {
    /// The caller of whatever function, marked `#[track_caller]`, calls this.
    #[inline]
    #[track_caller]
    pub(crate) fn here() -> Self {
        Self::of(Location::caller())
    }

    #[inline]
    fn of(location: &'static Location<'static>) -> Self {
        let at = ptr::from_ref(location).expose_provenance();
        let distance = at.wrapping_sub(ptr::from_ref(&ANCHOR).addr()) as isize;
        // Aligned as they are, both are whole steps apart.
        Self(i32::try_from(distance / STEP).unwrap_or(0))
    }

    pub(crate) fn location(self) -> Option<&'static Location<'static>> {
        if self.0 == 0 {
            return None;
        }
        let at = ptr::from_ref(&ANCHOR)
            .addr()
            .wrapping_add_signed(self.0 as isize * STEP);
        // SAFETY: `of` measured the distance of a `&'static Location`, whose provenance it exposed, and this undoes its arithmetic.
        Some(unsafe { &*ptr::with_exposed_provenance(at) })
    }
}

/// In what steps distances are counted.
const STEP: isize = align_of::<Location<'static>>() as isize;

const _: () = assert!(
    align_of::<u64>() >= align_of::<Location<'static>>(),
    "else the distance from the anchor is no number of whole steps"
);

impl std::fmt::Debug for SpawnSite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.location().fmt(f)
    }
}
