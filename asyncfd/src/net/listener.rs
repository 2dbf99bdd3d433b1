//! Accepting for `TcpListener` and `UnixListener`, and their stream of connections.
//!
//! This is a macro, as in `socket.rs`. An accepted connection proves nothing about others, so a
//! listener stays ready until accept(2) fails with EAGAIN.

#![forbid(unsafe_code)]

macro_rules! listener_io {
    ($listener:ident, $std:ty, $stream:ident, $std_stream:ty, $address:ty, $accept:path) => {
        impl $listener {
            /// Registers a listener that was created elsewhere, and sets it to non-blocking mode.
            ///
            /// # Errors
            ///
            /// Returns the errors of registering.
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
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

            /// Waits for a connection and registers it on the current shard, if there is one.
            ///
            /// The stream starts as ready, so its first read does not wait for an event.
            /// Connections that ended before they could be accepted are skipped.
            ///
            /// # Errors
            ///
            /// Returns the errors of accept(2) other than EAGAIN, EINTR and ECONNABORTED; those of
            /// registering; the shutdown error. After EMFILE or ENFILE the connection stays queued
            /// and the readiness stays cached, so the next call fails at once while descriptors are
            /// short. Back off between calls.
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses no connection.
            pub async fn accept(&self) -> io::Result<($stream, $address)> {
                let (stream, peer) = self.accept_std().await?;
                Ok(($stream::from_accepted(stream)?, peer))
            }

            /// Like [`accept`](Self::accept), for code that implements `poll` by hand.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`accept`](Self::accept).
            ///
            /// # Panics
            ///
            /// Panics when there is no current reactor.
            ///
            /// # Wakeups
            ///
            /// If the result is `Pending`, the task of `cx` is woken once a connection arrives. One
            /// task at a time: the newest waker replaces the one before.
            pub fn poll_accept(
                &self,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<($stream, $address)>> {
                let (stream, peer) = ready!(self.poll_accept_std(cx))?;
                Poll::Ready($stream::from_accepted(stream).map(|stream| (stream, peer)))
            }

            /// Returns a stream of connections, each as [`accept`](Self::accept) returns it,
            /// without the address of its peer.
            pub fn incoming(&self) -> Incoming<'_> {
                Incoming(self)
            }

            /// Returns the address this listener is bound to.
            ///
            /// # Errors
            ///
            /// Returns the errors of getsockname(2).
            pub fn local_addr(&self) -> io::Result<$address> {
                self.fd.get_ref().local_addr()
            }
        }

        three_forms!($listener, |this| {
            /// Waits for a connection and returns it in non-blocking mode, not registered. It can
            /// be registered on another shard.
            ///
            /// [`try_accept_std`](Self::try_accept_std) takes a connection only if one is queued,
            /// for accepting in batches.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`accept`](Self::accept).
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses no connection.
            accept_std, try_accept_std, poll_accept_std() -> ($std_stream, $address) =
                Input::new(&this.fd, $accept);
        });

        socket_traits!($listener, $std);

        /// A stream of a listener's connections, which never ends; returned by `incoming`.
        ///
        /// An error of accept(2) is an item, and the stream continues after it. While descriptors
        /// are short, each next item is the same error, without a wait. Back off between items.
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
