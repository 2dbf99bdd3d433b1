//! A global allocator that counts, for test programs that check allocations.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, with two counters.
#[derive(Debug)]
pub struct Counting;

fn count(bytes_more: usize, bytes_less: usize) {
    let change = i64::try_from(bytes_more).unwrap_or(0) - i64::try_from(bytes_less).unwrap_or(0);
    BYTES.fetch_add(change, Ordering::Relaxed);
    if bytes_more > 0 {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Returns the number of allocations that this process has made.
pub fn allocations() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Returns the number of bytes that are allocated now.
pub fn bytes() -> i64 {
    BYTES.load(Ordering::Relaxed)
}
