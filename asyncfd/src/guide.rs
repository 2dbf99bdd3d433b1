//! Guides for users, without code of their own. Their examples are tested with the crate.

#[doc = include_str!("docs/migration.md")]
pub mod migration {}

#[doc = include_str!("docs/diagnosis.md")]
#[doc = include_str!("docs/top.svg")]
pub mod diagnosis {}

#[doc = include_str!("docs/descriptors.md")]
pub mod descriptors {}
