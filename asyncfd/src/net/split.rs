//! The halves of a stream: borrowed ones from `split`, owned ones from `into_split`.
//!
//! A half is a reference to the stream that offers one direction of it; the stream works the same
//! whole or split. As `stream.rs`, a macro that is used once per stream type.

#![forbid(unsafe_code)]

/// The methods of one half. `$stream` reaches the stream from `&self`.
macro_rules! half_io {
    (read, $half:ty, $type:ident, |$this:ident| $stream:expr) => {
        impl $half {
            /// Reads into `buffer` once something can be read; see the stream's `read`.
            ///
            /// # Errors
            ///
            /// As the stream's `read`.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future reads nothing.
            pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                let $this = self;
                $stream.read(buffer)
            }

            /// As [`read`](Self::read), into several buffers.
            ///
            /// # Errors
            ///
            /// As the stream's `read`.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future reads nothing.
            pub fn read_vectored(
                &self,
                buffers: &mut [IoSliceMut<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                let $this = self;
                $stream.read_vectored(buffers)
            }

            /// Reads if the descriptor was reported ready, without waiting.
            ///
            /// # Errors
            ///
            /// As the stream's `try_read`.
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                let $this = self;
                $stream.try_read(buffer)
            }

            /// As [`read`](Self::read), for code that implements `poll` by hand; see the stream's
            /// `poll_read`.
            ///
            /// # Errors
            ///
            /// As the stream's `read`.
            pub fn poll_read(
                &self,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let $this = self;
                $stream.poll_read(cx, buffer)
            }

            /// Reads without taking the bytes off the stream.
            ///
            /// # Errors
            ///
            /// As the stream's `read`.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost in any case.
            pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                let $this = self;
                $stream.peek(buffer)
            }

            /// Waits until the stream is readable or its read side is closed.
            ///
            /// # Errors
            ///
            /// The shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; readiness that was seen stays cached.
            pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
                let $this = self;
                $stream.readable()
            }
        }

        half_io!(common, $half, $type, |$this| $stream);
    };
    (write, $half:ty, $type:ident, |$this:ident| $stream:expr) => {
        impl $half {
            /// Writes from `bytes` once something can be written; see the stream's `write`.
            ///
            /// # Errors
            ///
            /// As the stream's `write`.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future writes nothing.
            pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
                let $this = self;
                $stream.write(bytes)
            }

            /// As [`write`](Self::write), from several slices.
            ///
            /// # Errors
            ///
            /// As the stream's `write`.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future writes nothing.
            pub fn write_vectored(
                &self,
                slices: &[IoSlice<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                let $this = self;
                $stream.write_vectored(slices)
            }

            /// Writes all of `bytes`.
            ///
            /// # Errors
            ///
            /// As the stream's `write_all`.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: dropping the future loses how much was written.
            pub fn write_all(&self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
                let $this = self;
                $stream.write_all(bytes)
            }

            /// Writes if the descriptor was reported ready, without waiting.
            ///
            /// # Errors
            ///
            /// As the stream's `try_write`.
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                let $this = self;
                $stream.try_write(bytes)
            }

            /// As [`write`](Self::write), for code that implements `poll` by hand; see the stream's
            /// `poll_write`.
            ///
            /// # Errors
            ///
            /// As the stream's `write`.
            pub fn poll_write(
                &self,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $this = self;
                $stream.poll_write(cx, bytes)
            }

            /// Waits until the stream is writable or its write side is closed.
            ///
            /// # Errors
            ///
            /// The shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; readiness that was seen stays cached.
            pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
                let $this = self;
                $stream.writable()
            }
        }

        half_io!(common, $half, $type, |$this| $stream);
    };
    (common, $half:ty, $type:ident, |$this:ident| $stream:expr) => {
        /// The whole stream, for everything that is no business of one direction.
        impl AsRef<$type> for $half {
            fn as_ref(&self) -> &$type {
                let $this = self;
                $stream
            }
        }
    };
}

macro_rules! split_halves {
    ($stream:ident) => {
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
        /// Dropping it shuts the writing side down; [`forget`](Self::forget) drops it without.
        #[derive(Debug)]
        pub struct OwnedWriteHalf {
            pub(super) stream: Arc<$stream>,
            pub(super) shutdown_on_drop: bool,
        }

        half_io!(read, ReadHalf<'_>, $stream, |this| this.0);
        half_io!(write, WriteHalf<'_>, $stream, |this| this.0);
        half_io!(read, OwnedReadHalf, $stream, |this| &*this.0);
        half_io!(write, OwnedWriteHalf, $stream, |this| &*this.stream);

        impl OwnedReadHalf {
            /// Puts the stream together again.
            ///
            /// # Errors
            ///
            /// When the halves are not of one stream; the error holds both.
            pub fn reunite(self, write: OwnedWriteHalf) -> Result<$stream, ReuniteError> {
                reunite(self, write)
            }
        }

        impl OwnedWriteHalf {
            /// Puts the stream together again.
            ///
            /// # Errors
            ///
            /// When the halves are not of one stream; the error holds both.
            pub fn reunite(self, read: OwnedReadHalf) -> Result<$stream, ReuniteError> {
                reunite(read, self)
            }

            /// Drops this half without shutting the writing side down.
            pub fn forget(mut self) {
                self.shutdown_on_drop = false;
            }
        }

        impl Drop for OwnedWriteHalf {
            fn drop(&mut self) {
                if self.shutdown_on_drop {
                    // A peer that is gone has made it pointless, and nobody is left to be told.
                    let _ = self.stream.shutdown(Shutdown::Write);
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

        /// Tells that two halves are not of one stream, and holds both.
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

pub(crate) use {half_io, split_halves};
