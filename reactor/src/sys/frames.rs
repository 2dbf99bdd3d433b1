//! The frames of another thread of this process: it is interrupted by a signal, its registers and
//! its stack are copied (`sample.rs`), and the copy is searched for frames (`unwind.rs`).
//!
//! It needs Linux on x86-64 or ARM; `other.rs` is for other systems.

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "frames/other.rs"]
mod sample;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod sample;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod unwind;

pub(crate) use sample::{Sampler, ThreadNumber};
