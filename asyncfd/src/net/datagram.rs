//! Sending and receiving messages for `UdpSocket` and `UnixDatagram`, through the loops of
//! `drain.rs`.
//!
//! These are macros, as in `socket.rs`. One message proves nothing about the next, neither by its
//! length nor by its arrival, so everything here clears on EAGAIN only.

#![forbid(unsafe_code)]

/// The common part of the two kinds. `$address` is the type of a message's source address.
macro_rules! datagram_io {
    ($socket:ident, $std:ty, $address:ty, $end:expr) => {
        impl $socket {
            /// Registers a socket that was created elsewhere, and sets it to non-blocking mode.
            ///
            /// # Errors
            ///
            /// Returns the errors of registering.
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            #[track_caller]
            pub fn from_std(socket: $std) -> io::Result<Self> {
                socket.set_nonblocking(true)?;
                Self::attach(socket, Ready::EMPTY)
            }

            #[track_caller]
            fn attach(socket: $std, initial: Ready) -> io::Result<Self> {
                Ok(Self {
                    fd: attach(socket, READ_WRITE, initial)?,
                })
            }
        }

        three_forms!($socket, |this| {
            /// Sends a message to the peer this socket is connected to, and returns its length.
            ///
            /// # Errors
            ///
            /// Returns the errors of send(2) other than EAGAIN, and the shutdown error. An error
            /// may belong to an earlier message, such as ECONNREFUSED.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future sends nothing.
            send, try_send, poll_send(message: &[u8]) -> usize =
                Output::new(&this.fd, move |socket| sys::send(socket, message));
            /// Receives a message into `buffer`, and returns its length, which may be 0.
            ///
            /// If the buffer is too short, the rest of the message is lost. A connected socket
            /// receives from its peer only.
            ///
            /// # Errors
            ///
            /// Returns the errors of recv(2) other than EAGAIN, and the shutdown error. An error
            /// may belong to an earlier message, such as ECONNREFUSED.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future receives nothing.
            recv, try_recv, poll_recv(buffer: &mut [u8]) -> usize =
                MessageInput::new(&this.fd, move |socket| sys::recv(socket, &mut *buffer), || Ok(0));
            /// Like [`recv`](Self::recv), and also returns the sender's address.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`recv`](Self::recv).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future receives nothing.
            recv_from, try_recv_from, poll_recv_from(buffer: &mut [u8]) -> (usize, $address) =
                MessageInput::new(&this.fd, move |socket| socket.recv_from(buffer), $end);
        });

        impl $socket {
            /// Returns the address this socket is bound to.
            ///
            /// # Errors
            ///
            /// Returns the errors of getsockname(2).
            pub fn local_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().local_addr()
            }

            /// Returns the address this socket is connected to.
            ///
            /// # Errors
            ///
            /// Returns the errors of getpeername(2), such as ENOTCONN.
            pub fn peer_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().peer_addr()
            }
        }

        peek_io!($socket, MessageInput);
        waits_for!(readable, $socket, poll_recv_ready);
        waits_for!(writable, $socket, poll_send_ready);
        own_operations!($socket);
        socket_traits!($socket, $std);
    };
}

pub(crate) use datagram_io;
