//! Copies the registers and the stack of another thread of this process, for a backtrace.
//!
//! A real-time signal interrupts the thread. Its handler copies a few registers, and asks the
//! kernel to copy the stack (`process_vm_readv(2)`), which cannot fault. It calls nothing else: no
//! allocator, no lock, no unwinder. So the thread may be interrupted anywhere, also inside malloc.
//! `unwind.rs` finds the frames in the copy, on the thread that asked for it.
//!
//! The handler stays installed until the process ends. One sample is taken at a time. Tests are in
//! `tests/stall_backtrace.rs`.
#![expect(
    unsafe_code,
    reason = "a signal, its handler, and the buffer that both sides use"
)]
#![expect(clippy::disallowed_types, reason = "loom's cannot be static")]

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::sys::frames::unwind;

/// The maximum size of the copied part of a stack: its newest frames.
const STACK_MAX: usize = 128 * 1024;

/// The kernel copies a page as a whole or not at all.
const PAGE: usize = 4096;

/// The time that a thread gets to answer the signal. It may wait for a CPU, or be in a system call
/// that no signal interrupts.
const PATIENCE: Duration = Duration::from_millis(250);

/// The time between two looks at the answer.
const LOOK: Duration = Duration::from_micros(100);

/// The registers and the stack of a thread at one moment.
#[derive(Debug)]
pub(super) struct StackSample {
    /// The program counter.
    pub(super) pc: u64,
    /// The stack pointer.
    pub(super) sp: u64,
    /// The frame pointer.
    pub(super) fp: u64,
    /// The link register, on machines that have one.
    #[cfg_attr(target_arch = "x86_64", expect(dead_code, reason = "there is none"))]
    pub(super) lr: u64,
    /// The stack from `sp` up.
    pub(super) stack: Vec<u8>,
}

/// No sample is requested.
const IDLE: i32 = 0;
/// The handler writes the sample.
const TAKEN: i32 = -1;
/// The sample is complete.
const DONE: i32 = -2;

/// The state of the one sample: a constant from above, or the id of the thread that is to be
/// sampled.
static REQUEST: AtomicI32 = AtomicI32::new(IDLE);

/// Held while a sample is taken.
static SAMPLING: Mutex<()> = Mutex::new(());

/// The handler's output.
struct Buffer {
    registers: [u64; 4],
    len: usize,
    stack: [u8; STACK_MAX],
}

struct SharedBuffer(UnsafeCell<Buffer>);

// SAFETY: `REQUEST` says who may access the buffer: the handler that has set `TAKEN`, or after
// `DONE` the holder of `SAMPLING`.
unsafe impl Sync for SharedBuffer {}

static BUFFER: SharedBuffer = SharedBuffer(UnsafeCell::new(Buffer {
    registers: [0; 4],
    len: 0,
    stack: [0; STACK_MAX],
}));

/// Identifies a thread to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadNumber(i32);

impl ThreadNumber {
    pub(crate) fn current() -> Self {
        Self(rustix::thread::gettid().as_raw_nonzero().get())
    }
}

/// The right to take samples: the signal whose handler is installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    signal: i32,
}

impl Sampler {
    /// Installs the handler for a real-time signal that has none: this one, or by default the
    /// highest that is free.
    pub(crate) fn install(signal: Option<i32>) -> io::Result<Self> {
        let _one_at_a_time = SAMPLING.lock();
        let range = libc::SIGRTMIN()..=libc::SIGRTMAX();
        let candidates = match signal {
            Some(signal) if range.contains(&signal) => signal..=signal,
            Some(signal) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("stall_signal: {signal} is no real-time signal ({range:?})"),
                ));
            }
            // Valgrind and others use the last one.
            None => *range.start()..=range.end() - 1,
        };
        for signal in candidates.rev() {
            let present = action(signal)?;
            if present == handler_address() {
                return Ok(Self { signal });
            }
            if present == libc::SIG_DFL {
                install_handler(signal)?;
                return Ok(Self { signal });
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "stall_signal: the program has a handler for it already",
        ))
    }

    /// Interrupts a thread and returns the addresses of its frames, newest first. The first is the
    /// next instruction of the newest frame, and the others are return addresses. Returns `None` if
    /// the thread does not answer in time, or if the program has replaced the handler.
    pub(crate) fn frames_of(self, thread: ThreadNumber) -> Option<Vec<u64>> {
        self.sample(thread).map(|sample| unwind::frames(&sample))
    }

    fn sample(self, thread: ThreadNumber) -> Option<StackSample> {
        // A child that was forked while another thread held the lock never gets it.
        let _one_at_a_time = SAMPLING.try_lock_for(PATIENCE)?;
        // Without the handler, the signal would end the process.
        if action(self.signal).ok()? != handler_address() {
            return None;
        }
        // ORDERING [sample-ask], partner [sample-take]: the handler writes the buffer after the
        // last sample was read from it.
        REQUEST.store(thread.0, Ordering::Release);
        if send(self.signal, thread).is_err() {
            REQUEST.store(IDLE, Ordering::Relaxed);
            return None;
        }
        let start = Instant::now();
        // ORDERING [sample-read], partner [sample-done]: this thread sees the whole sample.
        while REQUEST.load(Ordering::Acquire) != DONE {
            let withdraws = start.elapsed() > PATIENCE
                && REQUEST
                    .compare_exchange(thread.0, IDLE, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if withdraws {
                return None;
            }
            thread::sleep(LOOK);
        }
        // SAFETY: the state is `DONE`, and this thread holds `SAMPLING`: no handler writes until
        // the next request.
        let buffer = unsafe { &*BUFFER.0.get() };
        let [pc, sp, fp, lr] = buffer.registers;
        let sample = StackSample {
            pc,
            sp,
            fp,
            lr,
            stack: buffer.stack[..buffer.len].to_vec(),
        };
        REQUEST.store(IDLE, Ordering::Relaxed);
        Some(sample)
    }
}

fn handler_address() -> usize {
    handle as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize
}

/// Returns the present handler of a signal.
fn action(signal: i32) -> io::Result<usize> {
    let mut present = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: it only reads the present action, into memory of the right size.
    let answered = unsafe { libc::sigaction(signal, ptr::null(), present.as_mut_ptr()) };
    if answered != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it, and zeros are a valid value too.
    let present = unsafe { present.assume_init() };
    Ok(present.sa_sigaction)
}

fn install_handler(signal: i32) -> io::Result<()> {
    // SAFETY: zeros are a valid value: no handler, no flags, an empty mask.
    let mut new: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    new.sa_sigaction = handler_address();
    // System calls that can go on after a signal do so.
    new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler only does what a handler may do, as its comment says.
    let answered = unsafe { libc::sigaction(signal, &raw const new, ptr::null_mut()) };
    if answered == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn send(signal: i32, thread: ThreadNumber) -> io::Result<()> {
    let process = process::id();
    // SAFETY: it passes numbers only. A thread that has ended is an error, and another thread that
    // got its number ignores the signal or is sampled.
    let answered = unsafe { libc::syscall(libc::SYS_tgkill, process, thread.0, signal) };
    if answered == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The signal handler. It makes two system calls and writes an atomic and the buffer, all of which
/// a handler may do. It keeps errno.
extern "C" fn handle(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let thread = ThreadNumber::current();
    // ORDERING [sample-take], partner [sample-ask].
    let asked = REQUEST.compare_exchange(thread.0, TAKEN, Ordering::Acquire, Ordering::Relaxed);
    // A signal of somebody else, or one that came too late, changes nothing.
    if asked.is_err() {
        return;
    }
    // SAFETY: with SA_SIGINFO, the kernel passes a valid context.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    // SAFETY: the state is `TAKEN`, set by this call, so nobody else accesses the buffer.
    let buffer = unsafe { &mut *BUFFER.0.get() };
    buffer.registers = registers(context);
    buffer.len = copy_memory(buffer.registers[1], &mut buffer.stack);
    // ORDERING [sample-done], partner [sample-read].
    REQUEST.store(DONE, Ordering::Release);
}

/// Returns the program counter, the stack pointer, the frame pointer and the link register.
#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> [u64; 4] {
    let registers = &context.uc_mcontext.gregs;
    let get = |register: i32| registers[register as usize] as u64;
    [
        get(libc::REG_RIP),
        get(libc::REG_RSP),
        get(libc::REG_RBP),
        0,
    ]
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> [u64; 4] {
    let machine = &context.uc_mcontext;
    [machine.pc, machine.sp, machine.regs[29], machine.regs[30]]
}

/// Copies memory of this process from `from` on, up to the first page that cannot be read. Returns
/// the number of bytes.
fn copy_memory(from: u64, to: &mut [u8]) -> usize {
    const PARTS: usize = STACK_MAX / PAGE + 1;
    let start = usize::try_from(from).unwrap_or(0);
    let end = start.saturating_add(to.len());
    // A part ends with its page, since the kernel copies only whole parts.
    let mut parts = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; PARTS];
    let mut at = start;
    for part in &mut parts {
        let next = ((at / PAGE).saturating_add(1) * PAGE).min(end);
        part.iov_base = ptr::without_provenance_mut(at);
        part.iov_len = next - at;
        at = next;
    }
    let whole = libc::iovec {
        iov_base: to.as_mut_ptr().cast(),
        iov_len: to.len(),
    };
    #[expect(clippy::cast_possible_wrap, reason = "a process number has 22 bits")]
    let process = process::id() as i32;
    // SAFETY: each thread has an errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let kept = unsafe { errno.read() };
    // SAFETY: the kernel writes to `to` alone, and checks each address that it reads.
    let copied = unsafe {
        libc::process_vm_readv(
            process,
            &raw const whole,
            1,
            parts.as_ptr(),
            PARTS as libc::c_ulong,
            0,
        )
    };
    // SAFETY: as above.
    unsafe { errno.write(kept) };
    usize::try_from(copied).unwrap_or(0)
}
