//! Reading and writing bytes for `TcpStream`, `UnixStream` and the ends of a pipe.
//!
//! These are macros, as in `socket.rs`. A type that reads has a method `short_read`, which tells if
//! a short read proves that the stream is drained. A short write is proof on all of them.

#![forbid(unsafe_code)]

/// Reading.
macro_rules! read_io {
    ($stream:ident) => {
        three_forms!($stream, |this| {
            /// Reads into `buffer` once something can be read; returns 0 at the end of the stream.
            ///
            /// It makes no system call until the descriptor is reported ready. With
            /// [`readable`](Self::readable) and [`try_read`](Self::try_read), a server can wait
            /// without holding a buffer.
            ///
            /// # Errors
            ///
            /// Returns the errors of recv(2) or read(2) other than EAGAIN, and the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future reads nothing.
            read, try_read, poll_read(buffer: &mut [u8]) -> usize = Receive {
                fd: &this.fd,
                buffer,
                short: this.short_read(),
            };
            /// Like [`read`](Self::read), into several buffers. One call uses at most 1,024 of
            /// them.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`read`](Self::read).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future reads nothing.
            read_vectored, try_read_vectored, poll_read_vectored(buffers: &mut [IoSliceMut<'_>]) -> usize =
                ReceiveVectored {
                    fd: &this.fd,
                    buffers,
                    short: this.short_read(),
                };
        });

        impl $stream {
            /// Reads until `buffer` is full, and returns its length.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`read`](Self::read), and
            /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends before. The error
            /// does not tell how many bytes were read.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: dropping the future loses the count of the bytes it has read.
            pub async fn read_exact(&self, buffer: &mut [u8]) -> io::Result<usize> {
                let mut filled = 0;
                while filled < buffer.len() {
                    match self.read(&mut buffer[filled..]).await? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        n => filled += n,
                    }
                }
                Ok(filled)
            }

            /// Reads to the end of the stream, appends the bytes to `bytes`, and returns their
            /// number.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`read`](Self::read). The bytes that were read before the
            /// error are in `bytes`.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future leaves the bytes that it has read in `bytes`.
            pub async fn read_to_end(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
                const FREE_MIN: usize = 4096;
                let before = bytes.len();
                loop {
                    if bytes.capacity() == bytes.len() {
                        bytes.reserve(FREE_MIN);
                    }
                    let append = crate::net::operations::Append {
                        fd: &self.fd,
                        bytes: &mut *bytes,
                        short: self.short_read(),
                    };
                    if crate::drain::wait(append).await? == 0 {
                        return Ok(bytes.len() - before);
                    }
                }
            }
        }

        crate::net::buf::try_read_buf!($stream);

        #[cfg(any(feature = "tokio-io", feature = "hyper"))]
        impl $stream {
            /// Like [`poll_read`](Self::poll_read), into the free part of another library's buffer.
            #[inline]
            pub(crate) fn poll_fill(
                &self,
                cx: &mut Context<'_>,
                spare: &mut impl crate::net::operations::Spare,
            ) -> Poll<io::Result<usize>> {
                let fill = crate::net::operations::Fill {
                    fd: &self.fd,
                    spare,
                    short: self.short_read(),
                };
                crate::drain::poll(fill, cx)
            }
        }
    };
}

/// Writing.
macro_rules! write_io {
    ($stream:ident) => {
        three_forms!($stream, |this| {
            /// Writes from `bytes` once something can be written, and returns the number of bytes
            /// written.
            ///
            /// # Errors
            ///
            /// Returns the errors of send(2) or write(2) other than EAGAIN, and the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future writes nothing.
            write, try_write, poll_write(bytes: &[u8]) -> usize = Transmit {
                fd: &this.fd,
                bytes,
            };
            /// Like [`write`](Self::write), from several slices. One call uses at most 1,024 of
            /// them.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`write`](Self::write).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future writes nothing.
            write_vectored, try_write_vectored, poll_write_vectored(slices: &[IoSlice<'_>]) -> usize =
                TransmitVectored {
                    fd: &this.fd,
                    slices,
                };
        });

        impl $stream {
            /// Writes all of `bytes`.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`write`](Self::write), and
            /// [`WriteZero`](io::ErrorKind::WriteZero) when the system takes no bytes. The number
            /// of bytes written before the error is unknown.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: after dropping the future, the number of bytes written is unknown.
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
        }
    };
}

/// Peeking at available bytes.
macro_rules! peek_io {
    ($socket:ident) => {
        peek_io!($socket, |fd, call| Input::new(fd, call));
    };
    ($socket:ident, MessageInput) => {
        peek_io!($socket, |fd, call| MessageInput::new(fd, call, || Ok(0)));
    };
    ($socket:ident, |$fd:ident, $call:ident| $operation:expr) => {
        three_forms!($socket, |this| {
            /// Reads into `buffer` without consuming bytes, so the next read returns the same ones.
            ///
            /// # Errors
            ///
            /// Returns the errors of recv(2) other than EAGAIN, and the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost in any case.
            peek, try_peek, poll_peek(buffer: &mut [u8]) -> usize =
                {
                    let ($fd, $call) = (&this.fd, move |socket: &_| sys::peek(socket, &mut *buffer));
                    $operation
                };
        });
    };
}

/// Everything that a connection with two directions does.
macro_rules! stream_io {
    ($stream:ident, $std:ty, $address:ty) => {
        read_io!($stream);
        write_io!($stream);
        peek_io!($stream);
        waits_for!(readable, $stream, poll_read_ready);
        waits_for!(writable, $stream, poll_write_ready);
        own_operations!($stream);
        socket_traits!($stream, $std);

        impl $stream {
            /// Registers a connected socket that was created elsewhere, and sets it to non-blocking
            /// mode.
            ///
            /// # Errors
            ///
            /// Returns the errors of registering.
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            #[track_caller]
            pub fn from_std(stream: $std) -> io::Result<Self> {
                stream.set_nonblocking(true)?;
                Self::attach(stream, Ready::EMPTY)
            }

            /// Registers a socket from a listener's `accept_std`. It starts as ready: its first
            /// read and write are tried before its first event.
            ///
            /// The socket must be in non-blocking mode; the mode is not set again, which saves a
            /// system call per connection.
            ///
            /// # Errors
            ///
            /// Returns the errors of registering.
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            #[track_caller]
            pub fn from_accepted(stream: $std) -> io::Result<Self> {
                Self::attach(stream, ready_at_birth())
            }

            /// Connects a socket that is already set up.
            pub(super) async fn connect_from(
                socket: socket2::Socket,
                address: &socket2::SockAddr,
            ) -> io::Result<Self> {
                // connect(2) comes first: the system reports a hang-up on a socket that is
                // registered before.
                let connected = sys::start_connect(&socket, address)?;
                let initial = if connected {
                    Ready::WRITABLE
                } else {
                    Ready::EMPTY
                };
                let stream = Self::attach(OwnedFd::from(socket).into(), initial)?;
                if !connected {
                    stream.connected().await?;
                }
                Ok(stream)
            }

            /// Waits until a connect(2) in progress ends.
            async fn connected(&self) -> io::Result<()> {
                let registration = self.fd.registration();
                loop {
                    let event = registration.ready(Interest::WRITABLE).await?;
                    if event.ready().is_empty() {
                        continue;
                    }
                    if let Some(error) = self.fd.get_ref().take_error()? {
                        return Err(error);
                    }
                    // The system may report writable too early (for an entry on the error queue).
                    // Then there is neither an error nor a peer.
                    match self.fd.get_ref().peer_addr() {
                        Ok(_) => return Ok(()),
                        Err(error)
                            if error.kind() == io::ErrorKind::NotConnected
                                && !event.ready().is_write_closed() =>
                        {
                            registration.clear(event);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }

            /// Returns the address of the peer.
            ///
            /// # Errors
            ///
            /// Returns the errors of getpeername(2).
            pub fn peer_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().peer_addr()
            }

            /// Returns the address of this end.
            ///
            /// # Errors
            ///
            /// Returns the errors of getsockname(2).
            pub fn local_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().local_addr()
            }

            /// Waits until the peer has hung up or shut down a direction, without reading. See
            /// [`AsyncFd::closed`].
            ///
            /// # Errors
            ///
            /// Returns the shutdown error.
            ///
            /// # Cancel safety
            ///
            /// Dropping the wait removes it; nothing is lost.
            pub async fn closed(&self) -> io::Result<Ready> {
                self.fd.closed().await
            }

            /// Shuts down the writing side, so that the peer reads the end of the stream.
            ///
            /// The same as `shutdown` of tokio's `AsyncWriteExt`, and needs no trait. It never
            /// waits. A peer that is gone already is no error.
            ///
            /// # Errors
            ///
            /// Returns the errors of shutdown(2), except ENOTCONN.
            ///
            /// # Cancel safety
            ///
            /// It is done at the first poll.
            pub async fn shutdown(&self) -> io::Result<()> {
                sys::unless_gone(self.shutdown_std(Shutdown::Write))
            }

            /// Shuts down the reading side, the writing side, or both.
            ///
            /// The standard library's `shutdown`. [`shutdown`](Self::shutdown) is tokio's.
            ///
            /// # Errors
            ///
            /// Returns the errors of shutdown(2).
            pub fn shutdown_std(&self, how: Shutdown) -> io::Result<()> {
                self.fd.get_ref().shutdown(how)
            }
        }
    };
}

pub(crate) use {peek_io, read_io, stream_io, write_io};
