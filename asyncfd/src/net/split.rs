//! The halves of a stream: borrowed ones from `split`, owned ones from `into_split`.
//!
//! A half is a reference to the stream that offers one direction of it. The stream works the same
//! whole or split. As in `stream.rs`, this is a macro that is used once per stream type.

#![forbid(unsafe_code)]

/// Methods of a half that call the stream. `$stream` reaches the stream from `&self`. Each method
/// has its own first line, and its sections refer to the stream's method.
macro_rules! delegate {
    ($half:ty, $type:ident, |$this:ident| $stream:expr, {$(
        $(#[$doc:meta])+
        $kind:ident $name:ident($($argument:ident: $of:ty),*) -> $output:ty;
    )+}) => {
        impl $half {$(
            $(#[$doc])+
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns the same errors as [`", stringify!($type), "::", stringify!($name), "`].")]
            #[doc = delegate!(section $kind)]
            pub fn $name(&self, $($argument: $of),*) -> delegate!(output $kind $output) {
                let $this = self;
                $stream.$name($($argument),*)
            }
        )+}
    };
    (section waits) => { "\n# Cancel safety\n\nThe same as there." };
    (section polls) => { "\n# Wakeups\n\nThe same as there." };
    (section tries) => { "" };
    (output waits $output:ty) => { impl Future<Output = io::Result<$output>> };
    (output polls $output:ty) => { Poll<io::Result<$output>> };
    (output tries $output:ty) => { io::Result<$output> };
}

/// The methods of one half, and access to the whole stream.
macro_rules! half_io {
    (read, $half:ty, $type:ident, $address:ty, |$this:ident| $stream:expr) => {
        delegate!($half, $type, |$this| $stream, {
            /// Reads into `buffer` once something can be read; 0 is the end of the stream.
            waits read(buffer: &mut [u8]) -> usize;
            /// Reads until `buffer` is full, and returns its length.
            waits read_exact(buffer: &mut [u8]) -> usize;
            /// Reads to the end of the stream, and appends the bytes to `bytes`.
            waits read_to_end(bytes: &mut Vec<u8>) -> usize;
            /// Like [`read`](Self::read), into several buffers.
            waits read_vectored(buffers: &mut [IoSliceMut<'_>]) -> usize;
            /// Like [`read`](Self::read), without waiting.
            tries try_read(buffer: &mut [u8]) -> usize;
            /// Like [`read_vectored`](Self::read_vectored), without waiting.
            tries try_read_vectored(buffers: &mut [IoSliceMut<'_>]) -> usize;
            /// Like [`read`](Self::read), for code that implements `poll` by hand.
            polls poll_read(cx: &mut Context<'_>, buffer: &mut [u8]) -> usize;
            /// Reads without taking the bytes off the stream.
            waits peek(buffer: &mut [u8]) -> usize;
            /// Like [`peek`](Self::peek), without waiting.
            tries try_peek(buffer: &mut [u8]) -> usize;
            /// Like [`peek`](Self::peek), for code that implements `poll` by hand.
            polls poll_peek(cx: &mut Context<'_>, buffer: &mut [u8]) -> usize;
            /// Waits until the stream is readable or its read side is closed.
            waits readable() -> ();
            /// Like [`readable`](Self::readable), for code that implements `poll` by hand.
            polls poll_read_ready(cx: &mut Context<'_>) -> ();
        });
        crate::net::buf::try_read_buf!(half $half, $type, |$this| $stream);
        half_io!(common, $half, $type, $address, |$this| $stream);
    };
    (write, $half:ty, $type:ident, $address:ty, |$this:ident| $stream:expr) => {
        delegate!($half, $type, |$this| $stream, {
            /// Writes from `bytes` once something can be written, and returns how many were taken.
            waits write(bytes: &[u8]) -> usize;
            /// Like [`write`](Self::write), from several slices.
            waits write_vectored(slices: &[IoSlice<'_>]) -> usize;
            /// Writes all of `bytes`.
            waits write_all(bytes: &[u8]) -> ();
            /// Shuts down the writing side, so that the peer reads the end of the stream.
            waits shutdown() -> ();
            /// Like [`write`](Self::write), without waiting.
            tries try_write(bytes: &[u8]) -> usize;
            /// Like [`write_vectored`](Self::write_vectored), without waiting.
            tries try_write_vectored(slices: &[IoSlice<'_>]) -> usize;
            /// Like [`write`](Self::write), for code that implements `poll` by hand.
            polls poll_write(cx: &mut Context<'_>, bytes: &[u8]) -> usize;
            /// Like [`write_vectored`](Self::write_vectored), for code that implements `poll` by
            /// hand.
            polls poll_write_vectored(cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> usize;
            /// Waits until the stream is writable or its write side is closed.
            waits writable() -> ();
            /// Like [`writable`](Self::writable), for code that implements `poll` by hand.
            polls poll_write_ready(cx: &mut Context<'_>) -> ();
        });
        half_io!(common, $half, $type, $address, |$this| $stream);
    };
    (common, $half:ty, $type:ident, $address:ty, |$this:ident| $stream:expr) => {
        delegate!($half, $type, |$this| $stream, {
            /// Waits for any of the states in `interest`, and returns those that were seen
            /// (possibly none).
            waits ready(interest: Interest) -> Ready;
            /// Returns the address of the peer.
            tries peer_addr() -> $address;
            /// Returns the address of this end.
            tries local_addr() -> $address;
        });

        /// Returns the whole stream, for everything that concerns both directions.
        impl AsRef<$type> for $half {
            fn as_ref(&self) -> &$type {
                let $this = self;
                $stream
            }
        }
    };
}

macro_rules! split_halves {
    ($stream:ident, $address:ty) => {
        /// The reading direction of a stream, borrowed from it by `split`.
        #[derive(Debug)]
        pub struct ReadHalf<'a>(pub(super) &'a $stream);

        /// The writing direction of a stream, borrowed from it by `split`.
        #[derive(Debug)]
        pub struct WriteHalf<'a>(pub(super) &'a $stream);

        /// The reading direction of a stream, which it owns together with the other half.
        #[derive(Debug)]
        pub struct OwnedReadHalf(pub(super) Arc<$stream>);

        /// The writing direction of a stream, which it owns together with the other half.
        ///
        /// Dropping it shuts down the writing side; [`forget`](Self::forget) drops it without that.
        #[derive(Debug)]
        pub struct OwnedWriteHalf {
            pub(super) stream: Arc<$stream>,
            pub(super) shutdown_on_drop: bool,
        }

        impl $stream {
            /// Borrows the two directions separately, for two parts of one task.
            pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
                (ReadHalf(self), WriteHalf(self))
            }

            /// Splits the stream into two halves that own it together, for two tasks.
            ///
            /// Dropping the write half shuts down the writing side.
            pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
                let stream = Arc::new(self);
                (
                    OwnedReadHalf(Arc::clone(&stream)),
                    OwnedWriteHalf {
                        stream,
                        shutdown_on_drop: true,
                    },
                )
            }
        }

        half_io!(read, ReadHalf<'_>, $stream, $address, |this| this.0);
        half_io!(write, WriteHalf<'_>, $stream, $address, |this| this.0);
        half_io!(read, OwnedReadHalf, $stream, $address, |this| &*this.0);
        half_io!(write, OwnedWriteHalf, $stream, $address, |this| &*this
            .stream);

        impl OwnedReadHalf {
            /// Joins the halves into the stream again.
            ///
            /// # Errors
            ///
            /// Returns an error that holds both halves if they are not of one stream.
            pub fn reunite(self, write: OwnedWriteHalf) -> Result<$stream, ReuniteError> {
                reunite(self, write)
            }
        }

        impl OwnedWriteHalf {
            /// Joins the halves into the stream again.
            ///
            /// # Errors
            ///
            /// Returns an error that holds both halves if they are not of one stream.
            pub fn reunite(self, read: OwnedReadHalf) -> Result<$stream, ReuniteError> {
                reunite(read, self)
            }

            /// Drops this half without shutting down the writing side.
            pub fn forget(mut self) {
                self.shutdown_on_drop = false;
            }
        }

        impl Drop for OwnedWriteHalf {
            fn drop(&mut self) {
                if self.shutdown_on_drop {
                    // An error means that the peer is gone. No code here can handle it.
                    let _ = self.stream.shutdown_std(Shutdown::Write);
                }
            }
        }

        fn reunite(
            read: OwnedReadHalf,
            mut write: OwnedWriteHalf,
        ) -> Result<$stream, ReuniteError> {
            if !Arc::ptr_eq(&read.0, &write.stream) {
                return Err(ReuniteError(read, write));
            }
            write.shutdown_on_drop = false;
            drop(write);
            let stream = Arc::into_inner(read.0);
            Ok(stream.expect("a stream is owned by its two halves and by nothing else"))
        }

        /// The error for halves of two different streams; it holds both.
        #[derive(Debug)]
        pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

        impl fmt::Display for ReuniteError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the halves are not of one stream")
            }
        }

        impl std::error::Error for ReuniteError {}
    };
}

pub(crate) use {delegate, half_io, split_halves};
