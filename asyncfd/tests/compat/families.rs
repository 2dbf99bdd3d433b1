//! The code that makes a family a `side` for the cases.

/// Declares the side: the family's traits, and its poll functions.
macro_rules! family {
    (
        $read:path, $write:path,
        read: |$stream:ident, $cx:ident, $room:ident| $poll_read:expr,
        end: $end:path
    ) => {
        pub(crate) mod side {
            use std::future::poll_fn;
            use std::io::{self, IoSlice};
            use std::pin::Pin;
            use std::task::{Context, Poll};

            use $read as FamilyRead;
            use $write as FamilyWrite;

            pub(crate) trait Reads: FamilyRead + Unpin {}
            impl<T: FamilyRead + Unpin> Reads for T {}

            pub(crate) trait Writes: FamilyWrite + Unpin {}
            impl<T: FamilyWrite + Unpin> Writes for T {}

            /// Reads into uninitialised memory, if the family supports that.
            pub(crate) fn poll_read(
                stream: &mut impl Reads,
                $cx: &mut Context<'_>,
                $room: usize,
            ) -> Poll<io::Result<Vec<u8>>> {
                let $stream = Pin::new(stream);
                $poll_read
            }

            pub(crate) fn poll_write(
                stream: &mut impl Writes,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                FamilyWrite::poll_write(Pin::new(stream), cx, bytes)
            }

            pub(crate) async fn write_vectored(
                stream: &mut impl Writes,
                slices: &[IoSlice<'_>],
            ) -> io::Result<usize> {
                poll_fn(|cx| FamilyWrite::poll_write_vectored(Pin::new(&mut *stream), cx, slices))
                    .await
            }

            pub(crate) async fn flush(stream: &mut impl Writes) -> io::Result<()> {
                poll_fn(|cx| FamilyWrite::poll_flush(Pin::new(&mut *stream), cx)).await
            }

            pub(crate) async fn end(stream: &mut impl Writes) -> io::Result<()> {
                poll_fn(|cx| $end(Pin::new(&mut *stream), cx)).await
            }

            pub(crate) async fn read(stream: &mut impl Reads, room: usize) -> io::Result<Vec<u8>> {
                poll_fn(|cx| poll_read(stream, cx, room)).await
            }

            pub(crate) async fn write(stream: &mut impl Writes, bytes: &[u8]) -> io::Result<usize> {
                poll_fn(|cx| poll_write(stream, cx, bytes)).await
            }
        }
    };
}

pub(crate) use family;
