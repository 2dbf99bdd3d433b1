//! Reading into buffers that grow, those of the crate `bytes`. Macros, as in `socket.rs`.

#![forbid(unsafe_code)]

/// For a stream, which has `short_read`.
macro_rules! try_read_buf {
    ($stream:ident) => {
        #[cfg(feature = "bytes")]
        #[cfg_attr(docsrs, doc(cfg(feature = "bytes")))]
        impl $stream {
            /// Reads into the free part of a buffer without waiting, advances the buffer, and
            /// returns the number of bytes.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`try_read`](Self::try_read).
            pub fn try_read_buf<B: bytes::BufMut>(&self, buffer: &mut B) -> io::Result<usize> {
                crate::drain::attempt(crate::net::operations::Fill {
                    fd: &self.fd,
                    spare: &mut crate::compat::spare::Chunk::new(buffer),
                    short: self.short_read(),
                })
            }
        }
    };
    (half $half:ty, $type:ident, |$this:ident| $stream:expr) => {
        #[cfg(feature = "bytes")]
        #[cfg_attr(docsrs, doc(cfg(feature = "bytes")))]
        impl $half {
            /// Reads into the free part of a buffer without waiting, advances the buffer, and
            /// returns the number of bytes.
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns the same errors as [`", stringify!($type), "::try_read`].")]
            pub fn try_read_buf<B: bytes::BufMut>(&self, buffer: &mut B) -> io::Result<usize> {
                let $this = self;
                $stream.try_read_buf(buffer)
            }
        }
    };
}

/// For a socket that receives messages. `$fill_from` is the method of `Chunk` that also returns the
/// sender's address, and `$end` the result once the socket was shut down for reading.
macro_rules! recv_buf {
    ($socket:ident, $address:ty, $fill_from:ident, $end:expr) => {
        #[cfg(feature = "bytes")]
        #[cfg_attr(docsrs, doc(cfg(feature = "bytes")))]
        impl $socket {
            /// Receives a message into the free part of a buffer, advances the buffer, and returns
            /// the message's length.
            ///
            /// If the free part is too short, the rest of the message is lost.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`recv`](Self::recv).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future receives nothing.
            pub async fn recv_buf<B: bytes::BufMut>(&self, buffer: &mut B) -> io::Result<usize> {
                crate::drain::wait(MessageInput::new(
                    &self.fd,
                    |socket| {
                        crate::net::operations::Spare::fill(
                            &mut crate::compat::spare::Chunk::new(buffer),
                            socket,
                        )
                    },
                    || Ok(0),
                ))
                .await
            }

            /// Like [`recv_buf`](Self::recv_buf), without waiting.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`try_recv`](Self::try_recv).
            pub fn try_recv_buf<B: bytes::BufMut>(&self, buffer: &mut B) -> io::Result<usize> {
                crate::drain::attempt(MessageInput::new(
                    &self.fd,
                    |socket| {
                        crate::net::operations::Spare::fill(
                            &mut crate::compat::spare::Chunk::new(buffer),
                            socket,
                        )
                    },
                    || Ok(0),
                ))
            }

            /// Like [`recv_buf`](Self::recv_buf), and also returns the sender's address.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`recv_from`](Self::recv_from).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future receives nothing.
            pub async fn recv_buf_from<B: bytes::BufMut>(
                &self,
                buffer: &mut B,
            ) -> io::Result<(usize, $address)> {
                crate::drain::wait(MessageInput::new(
                    &self.fd,
                    |socket| crate::compat::spare::Chunk::new(buffer).$fill_from(socket),
                    $end,
                ))
                .await
            }

            /// Like [`recv_buf_from`](Self::recv_buf_from), without waiting.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`try_recv_from`](Self::try_recv_from).
            pub fn try_recv_buf_from<B: bytes::BufMut>(
                &self,
                buffer: &mut B,
            ) -> io::Result<(usize, $address)> {
                crate::drain::attempt(MessageInput::new(
                    &self.fd,
                    |socket| crate::compat::spare::Chunk::new(buffer).$fill_from(socket),
                    $end,
                ))
            }
        }
    };
}

pub(crate) use {recv_buf, try_read_buf};
