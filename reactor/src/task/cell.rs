//! A task's memory behind its header: the future, then its output. All that needs the future's type is here, and reached through the
//! header's vtable.

#![expect(
    unsafe_code,
    reason = "the future lies behind a header that does not know its type"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::panics::{caught, drop_payload};
use crate::sync::UnsafeCell;
use crate::task::header::{Header, NewTask, Polled, Runnable, Schedule, TaskRef, Vtable};
use crate::task::join::JoinError;

/// The header and what follows it in memory.
#[repr(C)]
struct Cell<F: Future, S: 'static> {
    header: Header<S>,
    stage: UnsafeCell<Stage<F>>,
}

enum Stage<F: Future> {
    Future(F),
    Output(Result<F::Output, JoinError>),
    /// The future is dropped, and the output taken or dropped.
    Empty,
}

/// Puts a future into a task of its own.
///
/// # Safety
///
/// `F` may be moved to and dropped on the scheduler's home thread: it is `Send`, or the calling thread is that home.
pub(super) unsafe fn allocate<F: Future, S: Schedule>(future: F, scheduler: S) -> NewTask<S> {
    let cell = Box::new(Cell {
        header: Header::new(Cell::<F, S>::VTABLE, scheduler),
        stage: UnsafeCell::new(Stage::Future(future)),
    });
    let header = NonNull::from(Box::leak(cell)).cast();
    // SAFETY: the count of a new header is for three references, which are made here.
    let reference = || unsafe { TaskRef::from_raw(header) };
    NewTask {
        live: reference(),
        first_run: Runnable(reference()),
        join: reference(),
    }
}

impl<F: Future, S: Schedule> Cell<F, S> {
    const VTABLE: &'static Vtable<S> = &Vtable {
        poll: Self::poll,
        cancel: Self::cancel,
        take_output: Self::take_output,
        drop_output: Self::drop_output,
        dealloc: Self::dealloc,
    };

    /// # Safety
    ///
    /// The header is the head of a live `Cell<F, S>`.
    unsafe fn stage<'a>(header: NonNull<Header<S>>) -> &'a UnsafeCell<Stage<F>> {
        // SAFETY: by the demand; `repr(C)` puts the header first. Only shared references to a Cell are ever made.
        unsafe { &header.cast::<Self>().as_ref().stage }
    }

    unsafe fn poll(header: NonNull<Header<S>>, cx: &mut Context<'_>) -> Polled {
        // SAFETY: the vtable belongs to this type.
        let stage = unsafe { Self::stage(header) };
        let poll = |stage: *mut Stage<F>| {
            // SAFETY: RUNNING keeps everybody else away from the stage.
            let Stage::Future(future) = (unsafe { &mut *stage }) else {
                unreachable!("a task is polled before it completes")
            };
            // SAFETY: the future stays in the task's memory until `store` drops it there.
            unsafe { Pin::new_unchecked(future) }.poll(cx)
        };
        match catch_unwind(AssertUnwindSafe(|| stage.with_mut(poll))) {
            Ok(Poll::Pending) => Polled::Pending,
            // SAFETY: as for this function.
            Ok(Poll::Ready(output)) => unsafe { Self::store(stage, Ok(output), 0) },
            // SAFETY: as for this function.
            Err(payload) => unsafe { Self::store(stage, Err(JoinError::panicked(payload)), 1) },
        }
    }

    unsafe fn cancel(header: NonNull<Header<S>>, error: JoinError) -> Polled {
        // SAFETY: the vtable belongs to this type.
        let stage = unsafe { Self::stage(header) };
        // SAFETY: by the vtable's demand.
        unsafe { Self::store(stage, Err(error), 0) }
    }

    /// Drops the future in place and puts the output there. A panic of the drop takes the place of a good output.
    ///
    /// # Safety
    ///
    /// The caller may touch the stage, on a thread where the future may be dropped.
    unsafe fn store(
        stage: &UnsafeCell<Stage<F>>,
        output: Result<F::Output, JoinError>,
        panics: u32,
    ) -> Polled {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            stage.with_mut(|stage| {
                // SAFETY: by the demand. An assignment drops the future where it lies, as its pinning asks, and writes the new
                // value also when that drop unwinds.
                unsafe { *stage = Stage::Empty };
            });
        }));
        let (output, more_panics) = match dropped {
            Ok(()) => (output, 0),
            Err(payload) if output.is_ok() => {
                let (_, panics) = caught(|| drop(output));
                (Err(JoinError::panicked(payload)), 1 + panics)
            }
            Err(payload) => {
                drop_payload(payload);
                (output, 1)
            }
        };
        // SAFETY: by the demand; what is overwritten is `Empty`.
        stage.with_mut(|stage| unsafe { *stage = Stage::Output(output) });
        Polled::Done {
            panics: panics + more_panics,
        }
    }

    unsafe fn take_output(header: NonNull<Header<S>>, target: *mut ()) {
        // SAFETY: the vtable belongs to this type.
        let stage = unsafe { Self::stage(header) };
        // SAFETY: the caller owns the output.
        let taken = stage.with_mut(|stage| unsafe { std::mem::replace(&mut *stage, Stage::Empty) });
        let Stage::Output(output) = taken else {
            unreachable!("an output is taken once, after the task completed")
        };
        // SAFETY: the target is a valid place of this type, by the vtable's demand.
        unsafe { *target.cast() = Poll::Ready(output) };
    }

    unsafe fn drop_output(header: NonNull<Header<S>>) -> u32 {
        // SAFETY: the vtable belongs to this type.
        let stage = unsafe { Self::stage(header) };
        // SAFETY: the caller owns the output.
        let output =
            stage.with_mut(|stage| unsafe { std::mem::replace(&mut *stage, Stage::Empty) });
        caught(|| drop(output)).1
    }

    unsafe fn dealloc(header: NonNull<Header<S>>) {
        // SAFETY: the memory came from a `Box<Cell<F, S>>` and this was the last reference. The stage holds no future (the list
        // of live tasks keeps a reference until the task completed) and no output (the handle or the completer dropped it).
        drop(unsafe { Box::from_raw(header.cast::<Self>().as_ptr()) });
    }
}
