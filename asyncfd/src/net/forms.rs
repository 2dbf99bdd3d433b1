//! The three forms of every operation: one that waits, one that does not, and one for code that
//! implements `poll` by hand.
//!
//! Each runs an operation of `operations.rs` in one of the three loops of `drain.rs`, so a type
//! only lists its operations in a table.

#![forbid(unsafe_code)]

/// Each row has: the documentation of the waiting form, with its sections; the names of the three
/// forms; their arguments and output; and the operation, built from `$this`, the object.
macro_rules! three_forms {
    ($socket:ident, |$this:ident| {$(
        $(#[$doc:meta])+
        $name:ident, $try_name:ident, $poll_name:ident($($argument:ident: $of:ty),*) -> $output:ty =
            $operation:expr;
    )+}) => {
        impl $socket {$(
            $(#[$doc])+
            #[inline]
            pub fn $name(&self, $($argument: $of),*) -> impl Future<Output = io::Result<$output>> {
                let $this = self;
                crate::drain::wait($operation)
            }

            #[doc = concat!("Like [`", stringify!($name), "`](Self::", stringify!($name), "), without waiting.")]
            ///
            /// # Errors
            ///
            /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) when the waiting form would wait,
            /// and when the system has not reported readiness yet; otherwise the errors of the
            /// waiting form.
            #[inline]
            pub fn $try_name(&self, $($argument: $of),*) -> io::Result<$output> {
                let $this = self;
                crate::drain::attempt($operation)
            }

            #[doc = concat!("Like [`", stringify!($name), "`](Self::", stringify!($name), "), for code that implements `poll` by hand.")]
            ///
            /// # Errors
            ///
            /// Returns the same errors as the waiting form.
            ///
            /// # Wakeups
            ///
            /// If the result is `Pending`, the task of `cx` is woken once this is ready for it. One
            /// task at a time in each direction: the newest waker replaces the one before.
            #[inline]
            pub fn $poll_name(
                &self,
                cx: &mut Context<'_>,
                $($argument: $of),*
            ) -> Poll<io::Result<$output>> {
                let $this = self;
                crate::drain::poll($operation, cx)
            }
        )+}
    };
}

pub(crate) use three_forms;
