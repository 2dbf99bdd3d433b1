//! A global allocator that counts, for test programs that check allocations.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Unknown until the thread first allocates.
    static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The system's allocator, with two counters.
#[derive(Debug)]
pub struct Counting;

fn count(bytes_more: usize, bytes_less: usize) {
    let change = i64::try_from(bytes_more).unwrap_or(0) - i64::try_from(bytes_less).unwrap_or(0);
    BYTES.fetch_add(change, Ordering::Relaxed);
    if bytes_more > 0 && !is_main() {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns true on the thread that runs `main`. The test harness waits there, and allocates when a
/// busy machine lets it begin to wait late.
fn is_main() -> bool {
    #[cfg(target_os = "linux")]
    let ask = || {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        u32::try_from(thread) == Ok(std::process::id())
    };
    #[cfg(not(target_os = "linux"))]
    let ask = || false;
    IS_MAIN.with(|is_main| {
        let answer = is_main.get().unwrap_or_else(ask);
        is_main.set(Some(answer));
        answer
    })
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

/// Returns the number of allocations that this process has made, without the thread that runs
/// `main`.
pub fn allocations() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Returns the number of bytes that are allocated now.
pub fn bytes() -> i64 {
    BYTES.load(Ordering::Relaxed)
}
