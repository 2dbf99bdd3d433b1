//! Auto traits, trait implementations, and the output of `Debug`.

use std::cell::Cell;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::side::{
    AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, Interest, OURS, Ready,
    Runtime, TryIoError,
};
use crate::support::pair;

/// Evaluates to true, at compile time, if a type has a trait: the inherent constant wins where its
/// bound holds.
macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        #[allow(dead_code, reason = "unused where the bound holds")]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        struct Probe<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code, reason = "unused where the bound does not hold")]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const HAS: bool = true;
        }
        <Probe<$type>>::HAS
    }};
}

/// `T: Send + !Sync`.
type SendOnly = WithFd<Cell<()>>;
/// Neither.
type Neither = WithFd<*const ()>;

struct WithFd<X>(OwnedFd, PhantomData<X>);

impl<X> AsRawFd for WithFd<X> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[test]
fn the_table_of_auto_traits() {
    type Guard<T> = AsyncFdReadyGuard<'static, T>;
    type MutGuard<T> = AsyncFdReadyMutGuard<'static, T>;
    let sends = [
        [
            has!(AsyncFd<OwnedFd>: Send),
            has!(AsyncFd<SendOnly>: Send),
            has!(AsyncFd<Neither>: Send),
        ],
        [
            has!(Guard<OwnedFd>: Send),
            has!(Guard<SendOnly>: Send),
            has!(Guard<Neither>: Send),
        ],
        [
            has!(MutGuard<OwnedFd>: Send),
            has!(MutGuard<SendOnly>: Send),
            has!(MutGuard<Neither>: Send),
        ],
    ];
    assert_eq!(
        sends,
        [
            [true, true, false],
            [true, false, false],
            [true, true, false]
        ]
    );
    let syncs = [
        [
            has!(AsyncFd<OwnedFd>: Sync),
            has!(AsyncFd<SendOnly>: Sync),
            has!(AsyncFd<Neither>: Sync),
        ],
        [
            has!(Guard<OwnedFd>: Sync),
            has!(Guard<SendOnly>: Sync),
            has!(Guard<Neither>: Sync),
        ],
        [
            has!(MutGuard<OwnedFd>: Sync),
            has!(MutGuard<SendOnly>: Sync),
            has!(MutGuard<Neither>: Sync),
        ],
    ];
    assert_eq!(syncs, [[true, false, false]; 3]);
    assert!(
        has!(AsyncFd<Neither>: Unpin)
            && has!(Guard<Neither>: Unpin)
            && has!(MutGuard<Neither>: Unpin)
    );
}

#[test]
fn unwind_safe_where_the_object_is() {
    type Fragile = WithFd<&'static mut ()>;
    if !OURS {
        // In tokio it depends on its fields, which depend on its features.
        return;
    }
    assert!(has!(AsyncFd<OwnedFd>: UnwindSafe) && has!(AsyncFd<OwnedFd>: RefUnwindSafe));
    assert!(!has!(AsyncFd<Fragile>: UnwindSafe));
    assert!(!has!(AsyncFd<SendOnly>: RefUnwindSafe));
}

/// Like `has!`, for the type of an expression, which need not have a name: method lookup tries the
/// trait on the value before the one on its reference.
macro_rules! value_has {
    ($value:expr, $($bound:tt)+) => {{
        struct Probe<T>(PhantomData<T>);
        fn probe<T>(_: &T) -> Probe<T> {
            Probe(PhantomData)
        }
        #[allow(dead_code, reason = "unused where the bound does not hold")]
        trait Yes {
            fn has(&self) -> bool {
                true
            }
        }
        impl<T: $($bound)+> Yes for Probe<T> {}
        #[allow(dead_code, reason = "unused where the bound holds")]
        trait No {
            fn has(&self) -> bool {
                false
            }
        }
        impl<T> No for &Probe<T> {}
        #[allow(clippy::needless_borrow, reason = "the reference is what makes the order")]
        (&probe(&$value)).has()
    }};
}

#[test]
fn waits_are_send_where_the_borrow_is_and_never_unpin() {
    let runtime = Runtime::new();
    let object = || pair().0.into();
    let (mut sync, mut unsync) = runtime.enter(|| {
        let unsync: SendOnly = WithFd(object(), PhantomData);
        (
            AsyncFd::<OwnedFd>::new(object()).unwrap(),
            AsyncFd::new(unsync).unwrap(),
        )
    });
    let read = Interest::READABLE;
    assert!(value_has!(sync.readable(), Send));
    assert!(value_has!(sync.writable(), Send));
    assert!(value_has!(sync.ready(read), Send));
    assert!(value_has!(sync.ready_mut(read), Send));
    assert!(value_has!(sync.async_io(read, |_| Ok(())), Send));
    assert!(value_has!(sync.async_io_mut(read, |_| Ok(())), Send));
    assert!(!value_has!(unsync.readable(), Send));
    assert!(!value_has!(unsync.async_io(read, |_| Ok(())), Send));
    assert!(value_has!(unsync.readable_mut(), Send));
    assert!(value_has!(unsync.async_io_mut(read, |_| Ok(())), Send));

    assert!(!value_has!(sync.readable(), Unpin));
    assert!(!value_has!(sync.writable_mut(), Unpin));
    assert!(!value_has!(sync.ready(read), Unpin));
    assert!(!value_has!(sync.async_io(read, |_| Ok(())), Unpin));
    // The lookup itself tells the two apart.
    assert!(value_has!(std::future::ready(()), Unpin));
}

#[test]
fn debug_shows_the_object_and_errors_say_what_happened() {
    let runtime = Runtime::new();
    let (a, _b) = pair();
    let inner = format!("{a:?}");
    let a = runtime.enter(|| AsyncFd::new(a)).unwrap();
    assert_eq!(
        format!("{a:?}"),
        format!("AsyncFd {{ inner: Some({inner}) }}")
    );

    assert!(has!(TryIoError: Debug));
    assert!(has!(AsyncFdRegisterError<Neither>: std::error::Error));
    if OURS {
        assert!(has!(TryIoError: std::error::Error));
    }
}

#[test]
fn as_fd_asks_the_object() {
    let runtime = Runtime::new();
    let (a, _b) = pair();
    let number = a.as_raw_fd();
    let a = runtime.enter(|| AsyncFd::new(a)).unwrap();
    assert_eq!(a.as_fd().as_raw_fd(), number);
    if OURS {
        // A bare number promises nothing, so nothing can be borrowed from it. tokio still offers
        // the borrow.
        assert!(!has!(AsyncFd<RawFd>: AsFd));
        assert!(!has!(AsyncFd<Neither>: AsFd));
    }
}

#[test]
fn interests_and_ready_sets_combine_alike() {
    let both = Interest::READABLE | Interest::WRITABLE;
    assert_eq!(both, Interest::READABLE.add(Interest::WRITABLE));
    assert_eq!(both.remove(Interest::WRITABLE), Some(Interest::READABLE));
    assert_eq!(Interest::READABLE.remove(Interest::READABLE), None);
    assert_eq!(format!("{both:?}"), "READABLE | WRITABLE");
    assert!(both.is_readable() && both.is_writable() && !both.is_priority() && !both.is_error());

    assert_eq!(
        Ready::READABLE | Ready::WRITABLE,
        Ready::WRITABLE | Ready::READABLE
    );
    assert_eq!(
        (Ready::READABLE | Ready::WRITABLE) & Ready::WRITABLE,
        Ready::WRITABLE
    );
    assert_eq!(
        (Ready::READABLE | Ready::WRITABLE) - Ready::WRITABLE,
        Ready::READABLE
    );
    assert!(Ready::READ_CLOSED.is_readable() && Ready::WRITE_CLOSED.is_writable());
    assert!(!Ready::READ_CLOSED.is_writable() && !Ready::READABLE.is_read_closed());
    assert!(Ready::EMPTY.is_empty() && !Ready::ALL.is_empty());
    assert!(Ready::EMPTY < Ready::READABLE && Ready::READABLE < Ready::WRITABLE);
}
