//! Bytes in and out of `TcpStream`, `UnixStream` and the ends of a pipe, over `io.rs`.
//!
//! Macros, as in `socket.rs`. What is read takes a method `short_read`, which says what a short read
//! proves on that type; a short write proves the same on all of them.

#![forbid(unsafe_code)]

/// Reading.
macro_rules! read_io {
    ($stream:ident) => {
        impl $stream {
            /// Reads into `buffer` once something can be read; 0 is the end of the stream.
            ///
            /// Nothing is asked of the system until the descriptor was reported ready.
            ///
            /// # Errors
            ///
            /// Those of reading other than EAGAIN, and the shutdown error.
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
            /// When pending, the task of `cx` is woken once this is readable. One task at a
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

            /// As [`read_vectored`](Self::read_vectored), for code that implements `poll` by hand.
            ///
            /// # Errors
            ///
            /// As [`read`](Self::read).
            ///
            /// # Wakeups
            ///
            /// As [`poll_read`](Self::poll_read).
            pub fn poll_read_vectored(
                &self,
                cx: &mut Context<'_>,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                crate::io::poll(
                    ReceiveVectored {
                        fd: &self.fd,
                        buffers,
                        short: self.short_read(),
                    },
                    cx,
                )
            }
        }
    };
}

/// Writing.
macro_rules! write_io {
    ($stream:ident) => {
        impl $stream {
            /// Writes from `bytes` once something can be written, and returns how many were taken.
            ///
            /// # Errors
            ///
            /// Those of writing other than EAGAIN, and the shutdown error.
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
            /// When pending, the task of `cx` is woken once this is writable. One task at a
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
        }
    };
}

/// Looking at what can be read.
macro_rules! peek_io {
    ($socket:ident) => {
        impl $socket {
            /// Reads into `buffer` without taking anything off, so that the next read finds the
            /// same.
            ///
            /// # Errors
            ///
            /// Those of recv(2) other than EAGAIN, and the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost in any case.
            pub fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                crate::io::wait(Input::new(&self.fd, move |socket| {
                    sys::peek(socket, buffer)
                }))
            }

            /// As [`peek`](Self::peek), without waiting.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](io::ErrorKind::WouldBlock) where [`peek`](Self::peek) would wait;
            /// others as there.
            pub fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
                crate::io::attempt(Input::new(&self.fd, move |socket| {
                    sys::peek(socket, buffer)
                }))
            }

            /// As [`peek`](Self::peek), for code that implements `poll` by hand.
            ///
            /// # Errors
            ///
            /// As [`peek`](Self::peek).
            ///
            /// # Wakeups
            ///
            /// When pending, the task of `cx` is woken once this is readable. One task at a time:
            /// the newest waker replaces the one before.
            pub fn poll_peek(
                &self,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                crate::io::poll(
                    Input::new(&self.fd, move |socket| sys::peek(socket, buffer)),
                    cx,
                )
            }
        }
    };
}

/// All that a connection of two directions does.
macro_rules! stream_io {
    ($stream:ident, $std:ty) => {
        read_io!($stream);
        write_io!($stream);
        peek_io!($stream);
        waits_for!(readable, $stream, poll_read_ready);
        waits_for!(writable, $stream, poll_write_ready);
        own_operations!($stream);
        socket_traits!($stream, $std);

        impl $stream {
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

            /// Shuts down the reading side, the writing side, or both.
            ///
            /// # Errors
            ///
            /// Those of shutdown(2).
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.fd.get_ref().shutdown(how)
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
    };
}

pub(crate) use {peek_io, read_io, stream_io, write_io};
