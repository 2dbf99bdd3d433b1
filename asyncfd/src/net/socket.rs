//! The common part of all types of `net`, over the `AsyncFd` inside: waits, the caller's own
//! operations, conversions and traits.
//!
//! These are macros and not a generic type, so that each type shows plain methods in its
//! documentation. A type that uses one has a field `fd: AsyncFd<_>`. They know nothing about
//! reading and writing: `stream.rs` and `datagram.rs` do.

#![forbid(unsafe_code)]

/// Waits for one direction. `$poll_ready` is the name of the `poll` form.
macro_rules! waits_for {
    (readable, $socket:ident, $poll_ready:ident) => {
        impl $socket {
            /// Waits until this is readable or its read side is closed.
            ///
            /// # Errors
            ///
            /// Returns the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; readiness that was seen stays cached.
            #[inline]
            pub async fn readable(&self) -> io::Result<()> {
                self.fd.registration().ready(Interest::READABLE).await?;
                Ok(())
            }

            /// Polls for readiness to read. It shares one slot with all reading methods whose names
            /// begin with `poll`.
            ///
            /// # Errors
            ///
            /// Returns the shutdown error.
            ///
            /// # Wakeups
            ///
            /// If the result is `Pending`, the task of `cx` is woken once this is readable. One
            /// task at a time: the newest waker replaces the one before.
            pub fn $poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.fd
                    .registration()
                    .poll_ready(cx, reactor::Direction::Read)
                    .map_ok(drop)
            }
        }
    };
    (writable, $socket:ident, $poll_ready:ident) => {
        impl $socket {
            /// Waits until this is writable or its write side is closed.
            ///
            /// # Errors
            ///
            /// Returns the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; readiness that was seen stays cached.
            #[inline]
            pub async fn writable(&self) -> io::Result<()> {
                self.fd.registration().ready(Interest::WRITABLE).await?;
                Ok(())
            }

            /// Polls for readiness to write. It shares one slot with all writing methods whose
            /// names begin with `poll`.
            ///
            /// # Errors
            ///
            /// Returns the shutdown error.
            ///
            /// # Wakeups
            ///
            /// If the result is `Pending`, the task of `cx` is woken once this is writable. One
            /// task at a time: the newest waker replaces the one before.
            pub fn $poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.fd
                    .registration()
                    .poll_ready(cx, reactor::Direction::Write)
                    .map_ok(drop)
            }
        }
    };
}

/// Waits for any state, and the caller's own operations.
macro_rules! own_operations {
    ($socket:ident) => {
        impl $socket {
            /// Waits for any of the states in `interest`, and returns those that were seen
            /// (possibly none).
            ///
            /// # Errors
            ///
            /// Returns the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; readiness that was seen stays cached.
            pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
                Ok(self.fd.registration().ready(interest).await?.ready())
            }

            /// Runs your own operation if `interest` was reported ready, without waiting.
            ///
            /// It is for system calls without a method here, which reach the descriptor through
            /// [`AsFd`]. The operation must work in one direction of `interest`, on this
            /// descriptor, and return [`WouldBlock`](io::ErrorKind::WouldBlock) only when the
            /// system did. Only that clears the readiness.
            ///
            /// # Errors
            ///
            /// Returns `WouldBlock`, without a call, when nothing is ready; the shutdown error;
            /// otherwise the error of `operation`.
            pub fn try_io<R>(
                &self,
                interest: Interest,
                operation: impl FnOnce() -> io::Result<R>,
            ) -> io::Result<R> {
                self.fd.registration().try_io(interest, operation)
            }

            /// Like [`try_io`](Self::try_io), but waits and tries again until the operation does
            /// not block.
            ///
            /// # Errors
            ///
            /// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) for an interest that is both
            /// readable and writable; the shutdown error; otherwise the error of `operation`,
            /// except `WouldBlock`.
            ///
            /// # Cancel safety
            ///
            /// It only waits after an operation that did nothing, so dropping it loses nothing.
            pub fn async_io<R>(
                &self,
                interest: Interest,
                operation: impl FnMut() -> io::Result<R>,
            ) -> impl Future<Output = io::Result<R>> {
                self.fd.registration().async_io(interest, operation)
            }
        }
    };
}

/// The part that every type has, whatever its descriptor is.
macro_rules! descriptor_traits {
    ($socket:ident, $inner:ty) => {
        impl $socket {
            /// Returns the shard whose thread polls this descriptor.
            pub fn shard(&self) -> ShardId {
                self.fd.shard()
            }

            /// Returns the [`AsyncFd`] inside, for guards and for operations without a method here.
            ///
            /// Both share the readiness.
            pub fn as_async_fd(&self) -> &AsyncFd<$inner> {
                &self.fd
            }
        }

        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.fd.get_ref().as_fd()
            }
        }

        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.fd.as_raw_fd()
            }
        }

        impl fmt::Debug for $socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.fd.get_ref(), f)
            }
        }

        /// Ends the registration; the descriptor stays open, and non-blocking.
        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> Self {
                socket.fd.into_inner().into()
            }
        }
    };
}

/// The part of every type that wraps a socket of the standard library. Such a type has an
/// associated function `from_std`.
macro_rules! socket_traits {
    ($socket:ident, $std:ty) => {
        impl $socket {
            /// Ends the registration and returns the socket of the standard library, still in
            /// non-blocking mode.
            ///
            /// # Errors
            ///
            /// Returns no error today.
            pub fn into_std(self) -> io::Result<$std> {
                Ok(self.fd.into_inner())
            }

            /// Takes the pending error of this socket (SO_ERROR), if there is one.
            ///
            /// # Errors
            ///
            /// Returns the errors of getsockopt(2).
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.fd.get_ref().take_error()
            }
        }

        descriptor_traits!($socket, $std);

        /// Registers the descriptor, as `from_std` does. It must be a socket of this kind; this is
        /// not checked.
        impl TryFrom<OwnedFd> for $socket {
            type Error = io::Error;

            #[track_caller]
            fn try_from(fd: OwnedFd) -> io::Result<Self> {
                Self::from_std(fd.into())
            }
        }

        /// Like `from_std`.
        impl TryFrom<$std> for $socket {
            type Error = io::Error;

            #[track_caller]
            fn try_from(socket: $std) -> io::Result<Self> {
                Self::from_std(socket)
            }
        }
    };
}

/// Socket options with a getter and a setter: their names here, the type, and their names on the
/// value of `$of`, which is the standard library's type or socket2's view of it.
macro_rules! socket_options {
    ($socket:ident, |$this:ident| $of:expr, {$(
        $(#[$doc:meta])+
        $get:ident, $set:ident: $type:ty = $inner_get:ident, $inner_set:ident;
    )+}) => {
        impl $socket {$(
            $(#[$doc])+
            ///
            /// # Errors
            ///
            /// Returns the errors of getsockopt(2).
            pub fn $get(&self) -> io::Result<$type> {
                let $this = self;
                $of.$inner_get()
            }

            #[doc = concat!("Sets what [`", stringify!($get), "`](Self::", stringify!($get), ") returns.")]
            ///
            /// # Errors
            ///
            /// Returns the errors of setsockopt(2).
            pub fn $set(&self, value: $type) -> io::Result<()> {
                let $this = self;
                $of.$inner_set(value)
            }
        )+}
    };
}

pub(crate) use {descriptor_traits, own_operations, socket_options, socket_traits, waits_for};
