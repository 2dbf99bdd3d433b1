//! [`StallBacktrace`]: the frames of a thread that is stuck in a poll.
//!
//! The watch thread finds the addresses of the frames (`sys/frames.rs`). Names are looked up only
//! when a backtrace is printed, which may take a tenth of a second the first time. The test is
//! `tests/stall_backtrace.rs`.

use std::fmt;
use std::ptr;

use crate::sys::{Sampler, ThreadNumber};

/// The calls in which a stuck poll was found, newest first.
///
/// It needs the feature `stall-backtrace` and
/// [`Builder::stall_backtraces`](crate::Builder::stall_backtraces). Its `Display` form has two
/// lines per call, as the standard library's backtraces, and ends where the reactor polls the task.
/// The alternate form (`{:#}`) goes on to the beginning of the thread. Both read the program's
/// debug information, so print them where a delay does no harm. A program without debug information
/// has names, unless its symbols are stripped; then the lines have addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StallBacktrace {
    /// The first is the address of an instruction. The others are return addresses.
    frames: Vec<u64>,
}

impl StallBacktrace {
    /// Interrupts a thread and finds its frames. Returns `None` if the thread does not answer.
    pub(super) fn capture(sampler: Sampler, thread: ThreadNumber) -> Option<Self> {
        let frames = sampler.frames_of(thread)?;
        Some(Self { frames })
    }

    /// Returns the addresses of the calls. The first is the next instruction of the newest call.
    /// The others are return addresses.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.frames.iter().copied()
    }
}

impl fmt::Display for StallBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = 0;
        let mut is_over = false;
        for (index, &address) in self.frames.iter().enumerate() {
            // The library looks at the instruction before the address, as is right for a return
            // address.
            let address = address + u64::from(index == 0);
            let mut outcome = Ok(());
            let mut has_name = false;
            let pointer = ptr::without_provenance_mut(usize::try_from(address).unwrap_or(0));
            // Several names belong to one address if calls were inlined.
            backtrace::resolve(pointer, |symbol| {
                has_name = true;
                is_over |= !f.alternate() && is_poll_of_a_task(symbol);
                if !is_over {
                    outcome = outcome.and_then(|()| write_symbol(f, &mut number, symbol));
                }
            });
            outcome?;
            if is_over {
                break;
            }
            if !has_name {
                writeln!(f, "{number:4}: {address:#x}")?;
                number += 1;
            }
        }
        Ok(())
    }
}

/// Returns true for the function that polls a task's future, in `task/cell.rs`.
fn is_poll_of_a_task(symbol: &backtrace::Symbol) -> bool {
    // The path of this file as the compiler was told it, without its own name.
    let sources = file!()
        .strip_suffix("stall/backtrace.rs")
        .unwrap_or_default();
    let is_file = symbol
        .filename()
        .is_some_and(|file| file.ends_with(format!("{sources}task/cell.rs")));
    // Without line numbers there are only names.
    let name = symbol.name().map(|name| name.to_string());
    is_file || name.is_some_and(|name| name.contains("reactor::task::cell::"))
}

fn write_symbol(
    f: &mut fmt::Formatter<'_>,
    number: &mut usize,
    symbol: &backtrace::Symbol,
) -> fmt::Result {
    write!(f, "{number:4}: ")?;
    *number += 1;
    match symbol.name() {
        // The alternate form leaves out the hash.
        Some(name) => writeln!(f, "{name:#}")?,
        None => writeln!(f, "unknown")?,
    }
    if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
        writeln!(f, "             at {}:{line}", file.display())?;
    }
    Ok(())
}
