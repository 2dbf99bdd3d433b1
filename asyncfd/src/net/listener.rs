//! Accepting, as `TcpListener` and `UnixListener` do it, and their stream of connections.
//!
//! A macro, as in `socket.rs`. A connection that was taken says nothing about others, so that a
//! listener is ready until accept(2) says EAGAIN.

#![forbid(unsafe_code)]

macro_rules! listener_io {
    ($listener:ident, $std:ty, $stream:ident, $std_stream:ty, $address:ty, $accept:path) => {
        impl $listener {
            /// Registers a listener that was made elsewhere, and sets it to non-blocking mode.
            ///
            /// # Errors
            ///
            /// Those of registering.
            ///
            /// # Panics
            ///
            /// When there is no current reactor.
            #[track_caller]
            pub fn from_std(listener: $std) -> io::Result<Self> {
                listener.set_nonblocking(true)?;
                Self::attach(listener)
            }

            #[track_caller]
            pub(super) fn attach(listener: $std) -> io::Result<Self> {
                Ok(Self {
                    fd: attach(listener, Interest::READABLE, Ready::EMPTY)?,
                })
            }

            /// Waits for a connection and registers it where this runs: on the current shard when
            /// there is one.
            ///
            /// The stream is ready at birth, so its first read is tried without waiting for an
            /// event. Connections that were gone before they could be taken are skipped.
            ///
            /// # Errors
            ///
            /// Those of accept(2) other than EAGAIN, EINTR and ECONNABORTED; those of registering;
            /// the shutdown error. After EMFILE or ENFILE the connection still waits and the
            /// readiness is still cached, so the next call fails at once while descriptors are
            /// short: back off in between.
            ///
            /// # Panics
            ///
            /// When there is no current reactor.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future takes no connection.
            pub async fn accept(&self) -> io::Result<($stream, $address)> {
                let (stream, peer) = self.accept_std().await?;
                Ok(($stream::from_accepted(stream)?, peer))
            }

            /// As [`accept`](Self::accept), for code that implements `poll` by hand.
            ///
            /// # Errors
            ///
            /// As [`accept`](Self::accept).
            ///
            /// # Panics
            ///
            /// When there is no current reactor.
            ///
            /// # Wakeups
            ///
            /// When pending, the task of `cx` is woken once a connection waits. One task at a time:
            /// the newest waker replaces the one before.
            pub fn poll_accept(
                &self,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<($stream, $address)>> {
                let (stream, peer) = ready!(self.poll_accept_std(cx))?;
                Poll::Ready($stream::from_accepted(stream).map(|stream| (stream, peer)))
            }

            /// Returns the connections as a stream, each as [`accept`](Self::accept) returns it,
            /// without the address of its peer.
            pub fn incoming(&self) -> Incoming<'_> {
                Incoming(self)
            }

            /// Returns the address this listener is bound to.
            ///
            /// # Errors
            ///
            /// Those of getsockname(2).
            pub fn local_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().local_addr()
            }
        }

        three_forms!($listener, |this| {
            /// Waits for a connection and returns it in non-blocking mode and not registered, so
            /// that it can be registered on another shard.
            ///
            /// [`try_accept_std`](Self::try_accept_std) takes what is there, for accepting in
            /// batches.
            ///
            /// # Errors
            ///
            /// As [`accept`](Self::accept).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future takes no connection.
            accept_std, try_accept_std, poll_accept_std() -> ($std_stream, $address) =
                Input::new(&this.fd, $accept);
        });

        socket_traits!($listener, $std);

        /// The connections of a listener, as a stream that never ends; made by `incoming`.
        ///
        /// An error of accept(2) is an item, and the stream goes on after it. Out of descriptors it
        /// is the next item too, at once, for as long as they are short: back off.
        ///
        /// # Panics
        ///
        /// Polling it panics when there is no current reactor.
        #[derive(Debug)]
        #[must_use = "a stream does nothing until it is polled"]
        pub struct Incoming<'a>(&'a $listener);

        impl Stream for Incoming<'_> {
            type Item = io::Result<$stream>;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                let accepted = ready!(self.0.poll_accept(cx));
                Poll::Ready(Some(accepted.map(|(stream, _)| stream)))
            }
        }
    };
}

pub(crate) use listener_io;
