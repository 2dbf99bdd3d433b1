//! What `TcpStream` and `UnixStream` have in common: reading, writing and waiting, over `io.rs`.
//!
//! A macro rather than a generic type, so that each type shows plain methods in its documentation.
//! The type that uses it has a field `fd: AsyncFd<_>` and a method `short_read`, which says what a
//! short read proves on it.

#![forbid(unsafe_code)]

macro_rules! stream_io {
    ($stream:ident, $std:ty) => {
        impl $stream {
            /// Reads into `buffer` once something can be read; 0 is the end of the stream.
            ///
            /// Nothing is asked of the system until the descriptor was reported ready.
            ///
            /// # Errors
            ///
            /// Those of recv(2) other than EAGAIN, and the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future reads nothing.
            #[inline]
            pub fn read(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                crate::io::wait(Receive {
                    fd: &self.fd,
                    buffer,
                    short: self.short_read(),
                })
            }

            /// As [`read`](Self::read), into several buffers, of which the system takes 1,024 in
            /// one call.
            ///
            /// # Errors
            ///
            /// As [`read`](Self::read).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future reads nothing.
            pub fn read_vectored(
                &self,
                buffers: &mut [IoSliceMut<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                crate::io::wait(ReceiveVectored {
                    fd: &self.fd,
                    buffers,
                    short: self.short_read(),
                })
            }

            /// Reads if the descriptor was reported ready, without waiting.
            ///
            /// With [`readable`](Self::readable) it lets a server wait without holding a buffer.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](io::ErrorKind::WouldBlock) where [`read`](Self::read) would wait;
            /// others as there.
            #[inline]
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                crate::io::attempt(Receive {
                    fd: &self.fd,
                    buffer,
                    short: self.short_read(),
                })
            }

            /// As [`try_read`](Self::try_read), into several buffers.
            ///
            /// # Errors
            ///
            /// As [`try_read`](Self::try_read).
            pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                crate::io::attempt(ReceiveVectored {
                    fd: &self.fd,
                    buffers,
                    short: self.short_read(),
                })
            }

            /// As [`read`](Self::read), for code that implements `poll` by hand.
            ///
            /// # Errors
            ///
            /// As [`read`](Self::read).
            ///
            /// # Wakeups
            ///
            /// When pending, the task of `cx` is woken once the stream is readable. One task at a
            /// time: the newest waker replaces the one before.
            #[inline]
            pub fn poll_read(
                &self,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                crate::io::poll(
                    Receive {
                        fd: &self.fd,
                        buffer,
                        short: self.short_read(),
                    },
                    cx,
                )
            }

            /// Reads into `buffer` without taking the bytes off the stream.
            ///
            /// # Errors
            ///
            /// As [`read`](Self::read).
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost in any case.
            pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                crate::io::wait(Peek {
                    fd: &self.fd,
                    buffer,
                })
            }

            /// Writes from `bytes` once something can be written, and returns how many were taken.
            ///
            /// # Errors
            ///
            /// Those of send(2) other than EAGAIN, and the shutdown error. No signal is raised.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future writes nothing.
            #[inline]
            pub fn write(&self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> {
                crate::io::wait(Transmit {
                    fd: &self.fd,
                    bytes,
                })
            }

            /// As [`write`](Self::write), from several slices, of which the system takes 1,024 in
            /// one call.
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future writes nothing.
            pub fn write_vectored(
                &self,
                slices: &[IoSlice<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                crate::io::wait(TransmitVectored {
                    fd: &self.fd,
                    slices,
                })
            }

            /// Writes all of `bytes`.
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write), and [`WriteZero`](io::ErrorKind::WriteZero) when the
            /// system takes nothing. How much went out before is not told.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: dropping the future loses how much was written.
            #[inline]
            pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
                while !bytes.is_empty() {
                    let n = self.write(bytes).await?;
                    if n == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    bytes = &bytes[n..];
                }
                Ok(())
            }

            /// Writes if the descriptor was reported ready, without waiting.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](io::ErrorKind::WouldBlock) where [`write`](Self::write) would wait;
            /// others as there.
            #[inline]
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                crate::io::attempt(Transmit {
                    fd: &self.fd,
                    bytes,
                })
            }

            /// As [`try_write`](Self::try_write), from several slices.
            ///
            /// # Errors
            ///
            /// As [`try_write`](Self::try_write).
            pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                crate::io::attempt(TransmitVectored {
                    fd: &self.fd,
                    slices,
                })
            }

            /// As [`write`](Self::write), for code that implements `poll` by hand.
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write).
            ///
            /// # Wakeups
            ///
            /// When pending, the task of `cx` is woken once the stream is writable. One task at a
            /// time: the newest waker replaces the one before.
            #[inline]
            pub fn poll_write(
                &self,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                crate::io::poll(
                    Transmit {
                        fd: &self.fd,
                        bytes,
                    },
                    cx,
                )
            }

            /// As [`write_vectored`](Self::write_vectored), for code that implements `poll` by
            /// hand.
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write).
            ///
            /// # Wakeups
            ///
            /// As [`poll_write`](Self::poll_write).
            pub fn poll_write_vectored(
                &self,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                crate::io::poll(
                    TransmitVectored {
                        fd: &self.fd,
                        slices,
                    },
                    cx,
                )
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
            #[inline]
            pub async fn readable(&self) -> io::Result<()> {
                self.fd.registration().ready(Interest::READABLE).await?;
                Ok(())
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
            #[inline]
            pub async fn writable(&self) -> io::Result<()> {
                self.fd.registration().ready(Interest::WRITABLE).await?;
                Ok(())
            }

            /// Waits for any of the states in `interest`, and returns which were seen (possibly
            /// none).
            ///
            /// # Errors
            ///
            /// The shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; readiness that was seen stays cached.
            pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
                Ok(self.fd.registration().ready(interest).await?.ready())
            }

            /// Waits until the peer has hung up or shut down a direction, without reading; see
            /// [`AsyncFd::closed`].
            ///
            /// # Errors
            ///
            /// The shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; nothing is lost.
            pub async fn closed(&self) -> io::Result<Ready> {
                self.fd.closed().await
            }

            /// Polls for readiness to read, through the slot that [`poll_read`](Self::poll_read)
            /// uses too.
            ///
            /// # Errors
            ///
            /// The shutdown error.
            ///
            /// # Wakeups
            ///
            /// As [`poll_read`](Self::poll_read).
            pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.fd
                    .registration()
                    .poll_ready(cx, Direction::Read)
                    .map_ok(drop)
            }

            /// Polls for readiness to write, through the slot that [`poll_write`](Self::poll_write)
            /// uses too.
            ///
            /// # Errors
            ///
            /// The shutdown error.
            ///
            /// # Wakeups
            ///
            /// As [`poll_write`](Self::poll_write).
            pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.fd
                    .registration()
                    .poll_ready(cx, Direction::Write)
                    .map_ok(drop)
            }

            /// Shuts down the reading side, the writing side, or both.
            ///
            /// # Errors
            ///
            /// Those of shutdown(2).
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.fd.get_ref().shutdown(how)
            }

            /// Takes the error that the system keeps for this socket, if there is one.
            ///
            /// # Errors
            ///
            /// Those of getsockopt(2).
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.fd.get_ref().take_error()
            }

            /// Returns the shard whose thread polls this socket.
            pub fn shard(&self) -> ShardId {
                self.fd.shard()
            }

            /// Returns the [`AsyncFd`] inside, for guards and for operations that are not offered
            /// here.
            ///
            /// Readiness is shared with it.
            pub fn as_async_fd(&self) -> &AsyncFd<$std> {
                &self.fd
            }

            /// Ends the registration and returns the socket of the standard library, still in
            /// non-blocking mode.
            ///
            /// # Errors
            ///
            /// None today.
            pub fn into_std(self) -> io::Result<$std> {
                Ok(self.fd.into_inner())
            }

            /// Borrows the two directions, for two parts of one task.
            pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
                (ReadHalf(self), WriteHalf(self))
            }

            /// Takes the stream apart into two halves that own it together, for two tasks.
            ///
            /// Dropping the write half shuts the writing side down.
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

        socket_traits!($stream, $std);
    };
}

/// The conversions and traits that every socket type has.
macro_rules! socket_traits {
    ($socket:ident, $std:ty) => {
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

        /// Ends the registration; the descriptor stays open.
        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> Self {
                socket.fd.into_inner().into()
            }
        }

        /// Registers the descriptor, as `from_std` does.
        impl TryFrom<OwnedFd> for $socket {
            type Error = io::Error;

            #[track_caller]
            fn try_from(fd: OwnedFd) -> io::Result<Self> {
                Self::from_std(fd.into())
            }
        }

        /// As `from_std`.
        impl TryFrom<$std> for $socket {
            type Error = io::Error;

            #[track_caller]
            fn try_from(socket: $std) -> io::Result<Self> {
                Self::from_std(socket)
            }
        }
    };
}

pub(crate) use {socket_traits, stream_io};
