//! The system calls of the reactor beyond `mio`, `rustix` and the standard library. Each platform
//! file provides:
//!
//! - `allowed_cpus() -> Vec<usize>`: the CPUs that the calling thread may use, ascending; the
//!   numbers may have gaps. On a thread that [`pin_current`] pinned, they are those from before the
//!   pin. Empty if they are unknown.
//! - `pin_current(cpu) -> io::Result<()>`: pins the calling thread to this CPU, and checks it by
//!   reading the mask back. After an error the mask is unchanged.
//! - `mask_before_pin() -> Option<CpuMask>`: the mask of the calling thread, from before its pin if
//!   it is pinned, or `None` if it is unknown. A `CpuMask` can be sent to another thread and set
//!   there with `restore() -> io::Result<()>`.
//! - `unpin_current() -> io::Result<()>`: restores the mask from before the calling thread's pin. A
//!   thread that was never pinned may have been started by a pinned thread: it gets the mask of the
//!   first thread that was ever pinned. If there is none, nothing happens.
//! - `lift_pin()`: gives the calling thread the same mask until the returned guard is dropped.
//! - `cpu_quota() -> Option<CpuQuota>`: the limit on this process's CPU time, or `None` if there is
//!   none.
//! - `give_up_timer_slack()`: makes the waits of the calling thread end as precisely as the system
//!   can, if it can be asked for that.
//!
//! For every Unix, `has_hung_up(fd)` and `is_fifo(fd)` answer two questions about a bare number
//! (`fd.rs`), and `Process` tells a forked child from its parent (`fork.rs`). With the feature
//! `stall-backtrace`, `Sampler` finds the frames of another thread (`frames.rs`).
//!
//! The builder, `cpus.rs`, `affinity.rs` and the shard threads call these. Operating-system cfgs
//! stay in this folder. The files with unsafe code (`fd.rs`, `fork.rs`, `exclusive.rs`,
//! `frames/sample.rs`) make one libc call at a time; all else goes through `core_affinity` and
//! `rustix`. Tests are in `tests.rs`, for Linux only.

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(reactor_sim)))]
mod exclusive;
mod fd;
mod fork;
#[cfg(feature = "stall-backtrace")]
mod frames;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(all(test, target_os = "linux"))]
mod tests;

#[cfg(target_os = "linux")]
pub(crate) use cgroup::cpu_quota;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(reactor_sim)))]
pub(crate) use exclusive::add_exclusive;
pub(crate) use fd::{has_hung_up, is_fifo};
pub(crate) use fork::{Process, is_child};
#[cfg(feature = "stall-backtrace")]
pub(crate) use frames::{Sampler, ThreadNumber};
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    CpuMask, allowed_cpus, give_up_timer_slack, lift_pin, mask_before_pin, pin_current,
    unpin_current,
};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{
    CpuMask, allowed_cpus, cpu_quota, give_up_timer_slack, lift_pin, mask_before_pin, pin_current,
    unpin_current,
};
