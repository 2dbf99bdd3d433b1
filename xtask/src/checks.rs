//! Commands that run cases and pass or fail: whole programs under faults, with independent peers,
//! and over a long time.

pub(crate) mod cluster;
pub(crate) mod examples;
pub(crate) mod faults;
pub(crate) mod interop;
pub(crate) mod network;
pub(crate) mod observe;
pub(crate) mod page;
pub(crate) mod protocols;
pub(crate) mod readers;
pub(crate) mod repeat;
pub(crate) mod report;
pub(crate) mod smoke;
pub(crate) mod soak;
pub(crate) mod trial;
