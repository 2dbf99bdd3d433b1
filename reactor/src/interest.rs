//! The readiness that a caller requests: a small set type that is never empty, with no mio in its
//! signatures.
//!
//! `driver.rs` translates it into the system's interest, and `Ready::from_interest` into the states
//! that end a wait. The tests of both set types are at the end.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of readiness states to wait for. It is never empty.
///
/// Same as tokio's, with the same names.
///
/// # Platform notes
///
/// `PRIORITY` exists on Linux only. Errors are always reported, even if they are not requested;
/// `ERROR` alone is for callers that want nothing else.
///
/// # Examples
///
/// ```
/// use reactor::Interest;
///
/// const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// assert_eq!(format!("{BOTH:?}"), "READABLE | WRITABLE");
/// assert_eq!(BOTH.remove(Interest::READABLE), Some(Interest::WRITABLE));
/// assert_eq!(BOTH.remove(BOTH), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

const PRIORITY: u8 = 1 << 4;
const EXCLUSIVE: u8 = 1 << 6;

impl Interest {
    /// Readability.
    pub const READABLE: Self = Self(1);
    /// Writability.
    pub const WRITABLE: Self = Self(1 << 1);
    /// Urgent data, and other priority events of the descriptor's type.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub const PRIORITY: Self = Self(PRIORITY);
    /// An error that can be fetched.
    pub const ERROR: Self = Self(1 << 5);
    /// A modifier of [`READABLE`](Self::READABLE) for a listener that several shards wait for: an
    /// event wakes one sleeping shard rather than all of them (`EPOLLEXCLUSIVE`).
    ///
    /// It takes effect when a descriptor is registered. The system then reports readability and
    /// nothing else, and it is level-triggered: each turn of the shard reports a connection that
    /// still waits. So accept once per event, clear the readiness, and wait again. To pause, drop
    /// the registration, or the shard never sleeps. Each shard registers the same listener with
    /// [`Placement::Current`] or [`Placement::Shard`]. Waits ignore the modifier.
    ///
    /// [`Placement::Current`]: crate::Placement::Current
    /// [`Placement::Shard`]: crate::Placement::Shard
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub const EXCLUSIVE: Self = Self(EXCLUSIVE);

    /// Returns the union of both sets.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "tokio's name, and const")]
    pub const fn add(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns this set without `other`, or `None` if nothing remains.
    #[must_use]
    pub const fn remove(self, other: Self) -> Option<Self> {
        match self.0 & !other.0 {
            0 => None,
            rest => Some(Self(rest)),
        }
    }

    /// Returns true if the set contains readable.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & Self::READABLE.0 != 0
    }

    /// Returns true if the set contains writable.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE.0 != 0
    }

    /// Returns true if the set contains priority.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.has_priority()
    }

    /// Returns true if the set contains error.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 & Self::ERROR.0 != 0
    }

    /// Same as `is_priority`, on every platform.
    pub(crate) const fn has_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Returns true if an event should wake only one of the shards that wait for the descriptor.
    pub(crate) const fn is_exclusive(self) -> bool {
        self.0 & EXCLUSIVE != 0
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.add(other)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.add(other);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u8, &str); 5] = [
            (Interest::READABLE.0, "READABLE"),
            (Interest::WRITABLE.0, "WRITABLE"),
            (PRIORITY, "PRIORITY"),
            (Interest::ERROR.0, "ERROR"),
            (EXCLUSIVE, "EXCLUSIVE"),
        ];
        fmt_flags(f, self.0, &NAMES)
    }
}

/// Writes the names of the set bits, as `A | B`, or `EMPTY`.
pub(crate) fn fmt_flags(f: &mut fmt::Formatter<'_>, bits: u8, names: &[(u8, &str)]) -> fmt::Result {
    let mut separator = "";
    for (_, name) in names.iter().filter(|(bit, _)| bits & bit != 0) {
        f.write_str(separator)?;
        f.write_str(name)?;
        separator = " | ";
    }
    if separator.is_empty() {
        f.write_str("EMPTY")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Interest;
    use crate::Ready;

    const INTERESTS: [Interest; 3] = [Interest::READABLE, Interest::WRITABLE, Interest::ERROR];

    #[test]
    fn interests_combine_and_come_apart() {
        for a in INTERESTS {
            for b in INTERESTS {
                let both = a | b;
                assert_eq!(both, a.add(b));
                let mut assigned = a;
                assigned |= b;
                assert_eq!(assigned, both);
                assert_eq!(both.remove(b), if a == b { None } else { Some(a) });
                for (flag, has) in [
                    (Interest::READABLE, both.is_readable()),
                    (Interest::WRITABLE, both.is_writable()),
                    (Interest::ERROR, both.is_error()),
                ] {
                    assert_eq!(has, a == flag || b == flag, "{flag:?} in {both:?}");
                }
            }
        }
    }

    #[test]
    fn a_wait_also_ends_on_what_makes_it_pointless() {
        let mask = Ready::from_interest;
        assert_eq!(
            mask(Interest::READABLE),
            Ready::READABLE | Ready::READ_CLOSED
        );
        assert_eq!(
            mask(Interest::WRITABLE),
            Ready::WRITABLE | Ready::WRITE_CLOSED
        );
        assert_eq!(mask(Interest::ERROR), Ready::ERROR);
        #[cfg(target_os = "linux")]
        assert_eq!(
            mask(Interest::PRIORITY),
            Ready::PRIORITY | Ready::READ_CLOSED
        );
    }

    #[test]
    fn ready_is_a_set() {
        for a in 0..=Ready::ALL.bits() {
            let a = Ready::from_bits(a);
            assert_eq!(
                a.is_readable(),
                a.intersects(Ready::READABLE | Ready::READ_CLOSED)
            );
            assert_eq!(
                a.is_writable(),
                a.intersects(Ready::WRITABLE | Ready::WRITE_CLOSED)
            );
            assert_eq!(a.is_read_closed(), a.contains(Ready::READ_CLOSED));
            assert_eq!(a.is_write_closed(), a.contains(Ready::WRITE_CLOSED));
            assert_eq!(a.is_error(), a.contains(Ready::ERROR));
            for b in 0..=Ready::ALL.bits() {
                let b = Ready::from_bits(b);
                assert_eq!((a - b) | (a & b), a);
                assert!(((a - b) & b).is_empty());
                assert!((a | b).contains(a) && (a | b).contains(b));
                assert_eq!(a.contains(b), a | b == a);
                assert_eq!(a.intersects(b), !(a & b).is_empty());
            }
        }
        assert_eq!(Ready::from_bits(0xff), Ready::ALL);
    }

    #[test]
    fn sets_print_as_they_are_written() {
        assert_eq!(
            format!("{:?}", Interest::WRITABLE | Interest::ERROR),
            "WRITABLE | ERROR"
        );
        assert_eq!(
            format!("{:?}", Ready::READABLE | Ready::READ_CLOSED),
            "READABLE | READ_CLOSED"
        );
        assert_eq!(format!("{:?}", Ready::EMPTY), "EMPTY");
    }
}
