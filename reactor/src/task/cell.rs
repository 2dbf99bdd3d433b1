//! A task's memory behind its header: the future, then its output. All code that needs the future's
//! type is here, and is reached through the header's vtable.

#![expect(
    unsafe_code,
    reason = "the future lies behind a header that does not know its type"
)]

use std::any::type_name;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::hooks::PanicPlace;
use crate::panics::drop_payload;
use crate::sync::UnsafeCell;
use crate::task::error::JoinError;
use crate::task::header::{Header, NewTask, Polled, Schedule, TaskRef, Vtable};
use crate::task::meta::as_task;
use crate::task::runnable::Runnable;
use crate::task::site::SpawnSite;
use crate::task::state::Mobility;

/// The header, and the stage that follows it in memory.
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

/// Allocates a task for a future. Reports name the task after the type `Name`.
///
/// # Safety
///
/// 1. `F` may be moved to the scheduler's home thread and dropped there: it is `Send`, or the
///    calling thread is that home. 2. `F` is `Send` if the task is mobile.
pub(super) unsafe fn allocate<Name, F: Future, S: Schedule>(
    future: F,
    scheduler: S,
    mobility: Mobility,
    spawned_at: SpawnSite,
) -> NewTask<S> {
    let cell = Box::new(Cell {
        header: Header::new(Named::<Name, F, S>::VTABLE, scheduler, mobility, spawned_at),
        stage: UnsafeCell::new(Stage::Future(future)),
    });
    let header = NonNull::from(Box::leak(cell)).cast();
    // SAFETY: a new header counts three references, which are made here.
    let reference = || unsafe { TaskRef::from_raw(header) };
    NewTask {
        live: reference(),
        first_run: Runnable(reference()),
        join: reference(),
    }
}

/// Drops an output that no handle takes. The drop runs as the task, whichever thread this is.
fn drop_guarded<S: Schedule>(header: &Header<S>, output: impl Sized) {
    let drop = || header.guarded(PanicPlace::OutputDrop, || drop(output));
    if let Err(payload) = as_task(header.id(), drop) {
        header.report_unhandled(PanicPlace::OutputDrop, &*payload);
        drop_payload(payload);
    }
}

/// Drops the future while a panic of its poll unwinds, so that `std::thread::panicking` is true in
/// its drop. The poll forgets this guard when it returns.
struct DropOnUnwind<F: Future, S: Schedule> {
    header: NonNull<Header<S>>,
    stage: *mut Stage<F>,
}

impl<F: Future, S: Schedule> Drop for DropOnUnwind<F, S> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: the polling code has a reference to the task.
        let task = unsafe { self.header.as_ref() };
        let dropped = task.guarded(PanicPlace::FutureDrop, || {
            // SAFETY: the poll that made this guard may access the stage, and has given up its
            // borrow. The assignment drops the future in place, and writes even if that unwinds.
            unsafe { *self.stage = Stage::Empty };
        });
        // The first panic is the one that the handle reports. A second one that escaped from here
        // would abort the process.
        if let Err(payload) = dropped {
            drop_payload(payload);
        }
    }
}

/// The vtable of a `Cell<F, S>` whose task is named after `Name`.
struct Named<Name, F, S>(PhantomData<(Name, F, S)>);

impl<Name, F: Future, S: Schedule> Named<Name, F, S> {
    const VTABLE: &'static Vtable<S> = &Vtable {
        poll: Cell::<F, S>::poll,
        fail: Cell::<F, S>::fail,
        take_output: Cell::<F, S>::take_output,
        drop_output: Cell::<F, S>::drop_output,
        dealloc: Cell::<F, S>::dealloc,
        future: type_name::<Name>,
    };
}

impl<F: Future, S: Schedule> Cell<F, S> {
    /// Returns the stage behind a header.
    ///
    /// # Safety
    ///
    /// The header is the head of a live `Cell<F, S>`.
    unsafe fn stage<'a>(header: NonNull<Header<S>>) -> &'a UnsafeCell<Stage<F>> {
        // SAFETY: by this function's demand; `repr(C)` puts the header first. Only shared
        // references to a Cell are ever made.
        unsafe { &header.cast::<Self>().as_ref().stage }
    }

    unsafe fn poll(header: NonNull<Header<S>>, cx: &mut Context<'_>) -> Polled {
        // SAFETY: the vtable belongs to this type.
        let stage = unsafe { Self::stage(header) };
        let poll = |stage: *mut Stage<F>| {
            // SAFETY: RUNNING keeps all other code away from the stage.
            let Stage::Future(future) = (unsafe { &mut *stage }) else {
                unreachable!("a task is polled before it completes")
            };
            let unwinding = DropOnUnwind { header, stage };
            // SAFETY: the future stays in the task's memory until it is dropped there.
            let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
            std::mem::forget(unwinding);
            polled
        };
        match stage.with_mut(poll) {
            Poll::Pending => Polled::Pending,
            // SAFETY: as for this function.
            Poll::Ready(output) => unsafe { Self::store(header, Ok(output)) },
        }
    }

    unsafe fn fail(header: NonNull<Header<S>>, error: JoinError) -> Polled {
        // The shard's end, or a refused spawn, drops the future outside of a poll.
        // SAFETY: the caller of a vtable function has a reference to the task.
        let id = unsafe { header.as_ref() }.id();
        as_task(id, || {
            // SAFETY: by the vtable's demand.
            unsafe { Self::store(header, Err(error)) }
        })
    }

    /// Drops the future in place and stores the output there. If the drop panics, the panic
    /// replaces the output, unless the output is the panic of a poll.
    ///
    /// # Safety
    ///
    /// The header is the head of a live `Cell<F, S>`. The caller may access its stage, on a thread
    /// where the future may be dropped.
    #[inline(never)]
    unsafe fn store(header: NonNull<Header<S>>, output: Result<F::Output, JoinError>) -> Polled {
        // SAFETY: by this function's demand.
        let stage = unsafe { Self::stage(header) };
        // SAFETY: the caller of a vtable function has a reference to the task.
        let task = unsafe { header.as_ref() };
        let dropped = task.guarded(PanicPlace::FutureDrop, || {
            stage.with_mut(|stage| {
                // SAFETY: by this function's demand. An assignment drops the future in place, as
                // its pinning requires, and writes the new value even if that drop unwinds.
                unsafe { *stage = Stage::Empty };
            });
        });
        let output = match (dropped, output) {
            (Ok(()), output) => output,
            (Err(payload), Ok(output)) => {
                drop_guarded(task, output);
                Err(JoinError::panicked(task.id(), payload))
            }
            (Err(payload), Err(error)) if error.is_panic() => {
                drop_payload(payload);
                Err(error)
            }
            (Err(payload), Err(_)) => Err(JoinError::panicked(task.id(), payload)),
        };
        // SAFETY: by this function's demand; the overwritten value is `Empty`.
        stage.with_mut(|stage| unsafe { *stage = Stage::Output(output) });
        Polled::Done
    }

    unsafe fn take_output(header: NonNull<Header<S>>, target: *mut ()) {
        // SAFETY: the vtable belongs to this type.
        let stage = unsafe { Self::stage(header) };
        // SAFETY: the caller owns the output.
        let taken = stage.with_mut(|stage| unsafe { std::mem::replace(&mut *stage, Stage::Empty) });
        let Stage::Output(output) = taken else {
            unreachable!("an output is taken once, after the task completed")
        };
        // SAFETY: the target is valid for a write of this type, by the vtable's demand.
        unsafe { *target.cast() = Poll::Ready(output) };
    }

    unsafe fn drop_output(header: NonNull<Header<S>>) {
        // SAFETY: the vtable belongs to this type.
        let stage = unsafe { Self::stage(header) };
        // SAFETY: the caller owns the output.
        let output =
            stage.with_mut(|stage| unsafe { std::mem::replace(&mut *stage, Stage::Empty) });
        // SAFETY: the caller of a vtable function has a reference to the task.
        let task = unsafe { header.as_ref() };
        if let Stage::Output(Err(error)) = &output {
            if let Some(payload) = error.payload() {
                task.report_unhandled(PanicPlace::Poll, payload);
            }
        }
        drop_guarded(task, output);
    }

    unsafe fn dealloc(header: NonNull<Header<S>>) {
        // SAFETY: the memory came from a `Box<Cell<F, S>>` and this was the last reference. The
        // stage holds no future (the list of live tasks keeps a reference until the task has
        // completed) and no output (the handle or the completing side dropped it).
        drop(unsafe { Box::from_raw(header.cast::<Self>().as_ptr()) });
    }
}

// There are tens of thousands of headers. ARCHITECTURE.md names this number.
#[cfg(not(reactor_loom))]
const _: () = assert!(size_of::<Header<crate::shard::ShardRef>>() == 64);
