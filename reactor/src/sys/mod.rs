//! What the reactor asks of the system beyond `mio`, `rustix` and the standard library. Each platform file provides:
//!
//! - `allowed_cpus() -> Vec<usize>`: the CPUs that the calling thread may use, ascending; the numbers may have gaps. On a
//!   thread that [`pin_current`] pinned they are those from before the pin. Empty where they cannot be known.
//! - `pin_current(cpu) -> io::Result<()>`: the calling thread runs on this CPU alone from now on, checked by reading its
//!   mask back. After an error the mask is what it was.
//! - `mask_before_pin() -> Option<CpuMask>`: the mask of the calling thread, from before it was pinned if it is, where that is known; a `CpuMask` can
//!   be given to another thread and set there by `restore() -> io::Result<()>`.
//! - `unpin_current() -> io::Result<()>`: the calling thread gets back the mask from before its pin. One that was never pinned
//!   but may have been started by a pinned thread gets what the first thread ever pinned had; before that nothing happens.
//!
//! And for every Unix: `has_hung_up(fd)` and `is_fifo(fd)`, two questions about a bare number (`fd.rs`), and `Process`, which
//! tells a forked child from the process it was forked off (`fork.rs`).
//!
//! The builder and the shard threads call these. Operating-system cfgs stay in this folder. Only those two files have
//! unsafe code, one libc call each time: all else goes through `core_affinity` and `rustix`. Tests are in `tests.rs` (Linux
//! only, where there is something to test).

#[cfg(any(target_os = "linux", target_os = "android"))]
mod exclusive;
mod fd;
mod fork;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(all(test, target_os = "linux"))]
mod tests;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use exclusive::add_exclusive;
pub(crate) use fd::{has_hung_up, is_fifo};
pub(crate) use fork::Process;
#[cfg(target_os = "linux")]
pub(crate) use linux::{CpuMask, allowed_cpus, mask_before_pin, pin_current, unpin_current};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{CpuMask, allowed_cpus, mask_before_pin, pin_current, unpin_current};

/// How many shards a reactor has when nobody says: one for each allowed CPU, or what the standard library knows where the
/// mask cannot be read, but at least one.
pub(crate) fn default_shards(allowed: &[usize]) -> usize {
    if allowed.is_empty() {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    } else {
        allowed.len()
    }
}
