//! The types that have the traits of every family, and the methods that the families' files call on
//! them.
//!
//! A family is two macros, one for reading and one for writing. Each receives a type and an
//! expression for the object that does the work. On that object it calls `poll_read`,
//! `poll_read_vectored`, `poll_fill`, `poll_write` and `poll_write_vectored` from `net`, and the
//! methods of [`Written`]. So no family has code for draining, and none for halves.

#![forbid(unsafe_code)]

/// Calls the two macros of a family for each type, with: its parameters in brackets, the type, its
/// bounds in brackets, and the object that does the work.
macro_rules! implement_for_all {
    ($reads:ident, $writes:ident) => {
        $reads!([] crate::net::TcpStream [] |this| this);
        $writes!([] crate::net::TcpStream [] |this| this);
        $reads!([] crate::net::tcp::ReadHalf<'_> [] |this| this.as_ref());
        $writes!([] crate::net::tcp::WriteHalf<'_> [] |this| this.as_ref());
        $reads!([] crate::net::tcp::OwnedReadHalf [] |this| this.as_ref());
        $writes!([] crate::net::tcp::OwnedWriteHalf [] |this| this.as_ref());
        $reads!([] crate::net::UnixStream [] |this| this);
        $writes!([] crate::net::UnixStream [] |this| this);
        $reads!([] crate::net::unix::ReadHalf<'_> [] |this| this.as_ref());
        $writes!([] crate::net::unix::WriteHalf<'_> [] |this| this.as_ref());
        $reads!([] crate::net::unix::OwnedReadHalf [] |this| this.as_ref());
        $writes!([] crate::net::unix::OwnedWriteHalf [] |this| this.as_ref());
        $reads!([] crate::net::pipe::Receiver [] |this| this);
        $writes!([] crate::net::pipe::Sender [] |this| this);
        $reads!(
            [T] crate::compat::fd_io::FdIo<T>
            [T: std::os::fd::AsRawFd, for<'a> &'a T: std::io::Read] |this| this
        );
        $writes!(
            [T] crate::compat::fd_io::FdIo<T>
            [T: std::os::fd::AsFd + std::os::fd::AsRawFd, for<'a> &'a T: std::io::Write]
            |this| this
        );
    };
}

/// Implements a family's trait of writing for one type. `$end` is the trait's method that ends the
/// stream. With `vectored` the trait also reports if a vectored write is one system call.
macro_rules! implement_write {
    (
        $feature:literal $trait:ident $end:ident $($vectored:ident)?,
        [$($parameter:ident)?] $type:ty [$($bounds:tt)*] |$this:ident| $object:expr
    ) => {
        #[cfg_attr(docsrs, doc(cfg(feature = $feature)))]
        impl$(<$parameter>)? $trait for $type where $($bounds)* {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $object.poll_write_vectored(cx, slices)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                Written::poll_flush($object, cx)
            }

            fn $end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                $object.poll_end(cx)
            }

            $(implement_write!(@$vectored |$this| $object);)?
        }
    };
    (@vectored |$this:ident| $object:expr) => {
        fn is_write_vectored(&self) -> bool {
            let $this = self;
            $object.is_vectored()
        }
    };
}

pub(super) use {implement_for_all, implement_write};
