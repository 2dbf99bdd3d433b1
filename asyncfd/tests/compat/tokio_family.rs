//! The traits of `tokio::io`.

#[path = "every_family.rs"]
mod every_family;

crate::families::family! {
    tokio::io::AsyncRead, tokio::io::AsyncWrite,
    read: |stream, cx, room| {
        let mut memory = vec![std::mem::MaybeUninit::uninit(); room];
        let mut buffer = tokio::io::ReadBuf::uninit(&mut memory);
        stream.poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().to_vec())
    },
    end: FamilyWrite::poll_shutdown
}
