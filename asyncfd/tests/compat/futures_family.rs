//! The traits of `futures_io`.

#[path = "every_family.rs"]
mod every_family;

crate::families::family! {
    futures_io::AsyncRead, futures_io::AsyncWrite,
    read: |stream, cx, room| {
        let mut memory = vec![0; room];
        stream.poll_read(cx, &mut memory).map_ok(|n| {
            memory.truncate(n);
            memory
        })
    },
    end: FamilyWrite::poll_close
}
