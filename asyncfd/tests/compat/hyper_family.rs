//! The traits of `hyper::rt`.

#[path = "every_family.rs"]
mod every_family;

crate::families::family! {
    hyper::rt::Read, hyper::rt::Write,
    read: |stream, cx, room| {
        let mut memory = vec![std::mem::MaybeUninit::uninit(); room];
        let mut buffer = hyper::rt::ReadBuf::uninit(&mut memory);
        stream.poll_read(cx, buffer.unfilled()).map_ok(|()| buffer.filled().to_vec())
    },
    end: FamilyWrite::poll_shutdown
}
