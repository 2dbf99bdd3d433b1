//! The number that epoll returns with an event: generation, table and slot, never a pointer.
//!
//! This is pure arithmetic. The driver passes tokens to the system and back; `io.rs` resolves them.
//! A token names the table that owns the slot, not the shard whose epoll delivers it. So a
//! registration can move between shards and keep its slot. A late token is harmless: its generation
//! no longer matches the slot's, so a comparison fails and nothing else happens.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a token needs 64 bits: this crate is for 64-bit targets only");

/// The bits of a token for the slot of a table.
pub(crate) const SLOT_BITS: u32 = 22;
/// The bits of a token for the table.
pub(crate) const TABLE_BITS: u32 = 10;
const GENERATION_SHIFT: u32 = SLOT_BITS + TABLE_BITS;

/// The maximum number of slots of a table.
pub(crate) const SLOTS_MAX: usize = 1 << SLOT_BITS;
/// The maximum number of tables, and so of shards, of a reactor. It is one less than the bits
/// allow: the last number stays free, so that no [`SlotId`] is all ones (`owners.rs` uses that
/// value for "nobody").
pub(crate) const TABLES_MAX: usize = (1 << TABLE_BITS) - 1;

/// The location of a slot: its table, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(u32);

impl SlotId {
    /// Creates the id of a slot.
    ///
    /// # Panics
    ///
    /// Panics if a number is past its limit: the builder checks tables, the table checks slots.
    pub(crate) fn new(table: usize, slot: u32) -> Self {
        assert!(
            table < TABLES_MAX,
            "a reactor has at most {TABLES_MAX} tables"
        );
        assert!(
            slot >> SLOT_BITS == 0,
            "a table has at most {SLOTS_MAX} slots"
        );
        #[expect(
            clippy::cast_possible_truncation,
            reason = "below 2^10, as checked above"
        )]
        let table = table as u32;
        Self(table << SLOT_BITS | slot)
    }

    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        self.0 & ((1 << SLOT_BITS) - 1)
    }

    #[inline]
    pub(crate) const fn table(self) -> usize {
        (self.0 >> SLOT_BITS) as usize
    }

    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }
}

/// One registration, as the system knows it: 32 bits of generation, 10 of table, 22 of slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(u64);

impl Token {
    /// The token of the eventfd that ends a shard's sleep. No registration's token is all ones,
    /// because that table number is unused. The turn detects it where it looks up other shards'
    /// tables, so events of its own table pay nothing for it.
    pub(crate) const NOTIFIER: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn new(id: SlotId, generation: u32) -> Self {
        Self((generation as u64) << GENERATION_SHIFT | id.0 as u64)
    }

    #[inline]
    pub(crate) const fn id(self) -> SlotId {
        #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
        SlotId(self.0 as u32)
    }

    #[inline]
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }

    /// Returns the number to give to the system.
    #[inline]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the token for a number that the system returned.
    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SLOTS_MAX, SlotId, TABLES_MAX, Token};

    proptest! {
        #[test]
        fn a_token_keeps_its_parts(
            generation in any::<u32>(),
            table in 0..TABLES_MAX,
            slot in 0..u32::try_from(SLOTS_MAX).unwrap(),
        ) {
            let id = SlotId::new(table, slot);
            let token = Token::from_bits(Token::new(id, generation).to_bits());
            prop_assert_eq!(token.generation(), generation);
            prop_assert_eq!(token.id(), id);
            prop_assert_eq!(id.table(), table);
            prop_assert_eq!(id.slot(), slot);
            prop_assert_ne!(id.bits(), u32::MAX);
            prop_assert!(token != Token::NOTIFIER);
            prop_assert_ne!(id.table(), Token::NOTIFIER.id().table());
        }
    }
}
