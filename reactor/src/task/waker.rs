//! Wakers of the reactor's own tasks: a counted task reference behind std's vtable.

#![expect(unsafe_code, reason = "a RawWakerVTable is made of unsafe functions")]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::task::header::{Schedule, TaskRef};

/// A waker that borrows a task reference and holds no count of its own.
pub(super) struct BorrowedWaker<'a> {
    waker: ManuallyDrop<Waker>,
    _task: PhantomData<&'a ()>,
}

impl Deref for BorrowedWaker<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.waker
    }
}

#[inline]
pub(super) fn borrowed<S: Schedule>(task: &TaskRef<S>) -> BorrowedWaker<'_> {
    let data = task.as_ptr();
    // SAFETY: the vtable's functions expect a pointer that is valid for the whole task. This waker
    // is never dropped, so it needs no count of its own. The borrow keeps the task alive.
    let waker = unsafe { Waker::new(data.cast(), vtable::<S>()) };
    BorrowedWaker {
        waker: ManuallyDrop::new(waker),
        _task: PhantomData,
    }
}

#[inline]
fn vtable<S: Schedule>() -> &'static RawWakerVTable {
    struct Of<S>(PhantomData<S>);
    impl<S: Schedule> Of<S> {
        const VTABLE: RawWakerVTable =
            RawWakerVTable::new(clone::<S>, wake::<S>, wake_by_ref::<S>, drop_waker::<S>);
    }
    &Of::<S>::VTABLE
}

/// Returns the task reference behind a waker's data.
///
/// # Safety
///
/// `data` is a waker's data: a task header, for which the waker holds one count or borrows one.
unsafe fn task<S: Schedule>(data: *const ()) -> TaskRef<S> {
    // SAFETY: wakers are made from non-null headers.
    let header = unsafe { NonNull::new_unchecked(data.cast_mut().cast()) };
    // SAFETY: by this function's demand. Callers that only borrow the count forget the reference.
    unsafe { TaskRef::from_raw(header) }
}

unsafe fn clone<S: Schedule>(data: *const ()) -> RawWaker {
    // SAFETY: `data` is a waker's data; the count stays with that waker.
    let task = ManuallyDrop::new(unsafe { task::<S>(data) });
    let _count_of_the_clone = ManuallyDrop::new(TaskRef::clone(&task));
    RawWaker::new(data, vtable::<S>())
}

unsafe fn wake<S: Schedule>(data: *const ()) {
    // SAFETY: `data` is a waker's data, and this call consumes the waker with its count.
    unsafe { task::<S>(data) }.wake();
}

unsafe fn wake_by_ref<S: Schedule>(data: *const ()) {
    // SAFETY: `data` is a waker's data; the count stays with that waker.
    let task = ManuallyDrop::new(unsafe { task::<S>(data) });
    task.wake_by_ref();
}

unsafe fn drop_waker<S: Schedule>(data: *const ()) {
    // SAFETY: `data` is a waker's data, and this call consumes the waker with its count.
    drop(unsafe { task::<S>(data) });
}
