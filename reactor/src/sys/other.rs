//! Systems whose affinity calls differ too much, or bind too loosely, to promise anything: nothing is pinned.

use std::io;

/// Not known, so that `Pinning::Auto` plans no pins and nobody is warned about the default.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    Vec::new()
}

pub(crate) fn pin_current(cpu: usize) -> io::Result<()> {
    let reason = format!("cannot pin this thread to CPU {cpu}: not supported on this system");
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

/// Nothing is ever pinned here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CpuMask {}

impl CpuMask {
    pub(crate) fn restore(&self) -> io::Result<()> {
        match *self {}
    }
}

pub(crate) fn mask_before_pin() -> Option<CpuMask> {
    None
}

pub(crate) fn unpin_current() -> io::Result<()> {
    Ok(())
}
