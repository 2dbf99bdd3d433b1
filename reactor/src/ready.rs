//! The readiness observed on a descriptor: a small set type, one byte, with no mio in its
//! signatures.
//!
//! The bits are this crate's own; `driver.rs` translates. `readiness::snapshot` keeps them in the
//! low end of its word, and a waiter's mask is a `Ready` too. Tests are in `interest.rs`.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

use crate::Interest;

/// A set of readiness states, as observed on a descriptor.
///
/// An [`Interest`] is the request of a caller, and a `Ready` is the observed state. It includes the
/// two closed states, because a wait for reading also ends if no more data will arrive.
///
/// Same as tokio's.
///
/// # Examples
///
///
/// ```
/// use reactor::Ready;
///
/// let ready = Ready::READABLE | Ready::WRITE_CLOSED;
/// assert!(ready.is_readable() && ready.is_writable());
/// assert_eq!(ready - Ready::READABLE, Ready::WRITE_CLOSED);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ready(u8);

impl Ready {
    /// The empty set.
    pub const EMPTY: Self = Self(0);
    /// A read would not block.
    pub const READABLE: Self = Self(1);
    /// A write would not block.
    pub const WRITABLE: Self = Self(1 << 1);
    /// No more data will arrive: the peer closed its writing half, or the whole connection.
    pub const READ_CLOSED: Self = Self(1 << 2);
    /// No more data can be sent: the connection, or the reading end of a pipe, is closed.
    pub const WRITE_CLOSED: Self = Self(1 << 3);
    /// There is urgent data, or another priority event of the descriptor's type.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub const PRIORITY: Self = Self(PRIORITY);
    /// There is an error to be fetched.
    pub const ERROR: Self = Self(1 << 5);
    /// All of the above.
    pub const ALL: Self = Self(0x3f);

    /// The priority bit, on every platform. It is never set on platforms without such an event.
    pub(crate) const PRIORITY_BIT: Self = Self(PRIORITY);
    /// Both closed states.
    pub(crate) const CLOSED: Self = Self(Self::READ_CLOSED.0 | Self::WRITE_CLOSED.0);

    /// Returns the states that end a wait for `interest`: the requested states, and states that
    /// make the wait pointless.
    ///
    /// Readable includes read-closed, writable includes write-closed, and priority includes
    /// read-closed. An error includes no other state.
    ///
    /// # Examples
    ///
    ///
    /// ```
    /// use reactor::{Interest, Ready};
    ///
    /// let mask = Ready::from_interest(Interest::READABLE);
    /// assert_eq!(mask, Ready::READABLE | Ready::READ_CLOSED);
    /// ```
    #[must_use]
    pub const fn from_interest(interest: Interest) -> Self {
        let mut bits = 0;
        if interest.is_readable() {
            bits |= Self::READABLE.0 | Self::READ_CLOSED.0;
        }
        if interest.is_writable() {
            bits |= Self::WRITABLE.0 | Self::WRITE_CLOSED.0;
        }
        if interest.has_priority() {
            bits |= PRIORITY | Self::READ_CLOSED.0;
        }
        if interest.is_error() {
            bits |= Self::ERROR.0;
        }
        Self(bits)
    }

    /// Returns true if the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if a read would return at once: readable, or read-closed.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.0 & (Self::READABLE.0 | Self::READ_CLOSED.0) != 0
    }

    /// Returns true if a write would return at once: writable, or write-closed.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.0 & (Self::WRITABLE.0 | Self::WRITE_CLOSED.0) != 0
    }

    /// Returns true if the set contains read-closed.
    #[must_use]
    pub const fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED.0 != 0
    }

    /// Returns true if the set contains write-closed.
    #[must_use]
    pub const fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED.0 != 0
    }

    /// Returns true if the set contains priority.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Returns true if the set contains error.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 & Self::ERROR.0 != 0
    }

    /// Returns true if this set contains every state of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns true if this set contains any state of `other`.
    #[inline(always)]
    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the set as bits, all within those of [`Ready::ALL`], to be stored in a word.
    #[inline(always)]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the set with these bits. Unknown bits are ignored.
    #[inline(always)]
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

const PRIORITY: u8 = 1 << 4;

impl BitOr for Ready {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Ready {
    type Output = Self;

    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Ready {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u8, &str); 6] = [
            (Ready::READABLE.0, "READABLE"),
            (Ready::WRITABLE.0, "WRITABLE"),
            (Ready::READ_CLOSED.0, "READ_CLOSED"),
            (Ready::WRITE_CLOSED.0, "WRITE_CLOSED"),
            (PRIORITY, "PRIORITY"),
            (Ready::ERROR.0, "ERROR"),
        ];
        crate::interest::fmt_flags(f, self.0, &NAMES)
    }
}
