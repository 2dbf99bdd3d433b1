//! Sockets: streams that stop at a mark or at a passed descriptor, and messages, of which each read
//! returns one.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use asyncfd::AsyncFd;
use reactor::Handle;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::common::run;
use crate::common::support::{pair, tcp_pair};
use crate::{READ, WRITE, read_up_to, reads_in_parts};

/// More than the buffers of a pair of sockets hold, so both sides have to wait.
const MUCH: usize = 8 << 20;

async fn write_all<T>(fd: &AsyncFd<T>, bytes: &[u8])
where
    T: std::os::fd::AsRawFd,
    for<'a> &'a T: Write,
{
    let mut done = 0;
    while done < bytes.len() {
        done += fd
            .async_io(WRITE, |mut inner| inner.write(&bytes[done..]))
            .await
            .unwrap();
    }
}

/// Sends `MUCH` bytes from `near`, has `far` send them back, and compares.
async fn echo<T>(near: T, far: T)
where
    T: AsFd + std::os::fd::AsRawFd + Send + Sync + 'static,
    for<'a> &'a T: Read + Write,
{
    let far = AsyncFd::from_fd(far).unwrap();
    let server = Handle::current().spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match far.async_io(READ, |mut far| far.read(&mut buffer)).await {
                Ok(0) => return,
                Ok(n) => write_all(&far, &buffer[..n]).await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let near = std::sync::Arc::new(AsyncFd::from_fd(near).unwrap());
    let sent: Vec<u8> = (0..MUCH).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let sender = Handle::current().spawn({
        let (near, sent) = (near.clone(), sent.clone());
        async move { write_all(&near, &sent).await }
    });
    let mut received = vec![0; MUCH];
    let mut done = 0;
    while done < MUCH {
        let n = near
            .async_io(READ, |mut near| near.read(&mut received[done..]))
            .await
            .unwrap();
        assert_ne!(n, 0);
        done += n;
    }
    assert!(received == sent, "other bytes came back");
    sender.await.unwrap();
    drop(near);
    server.await.unwrap();
}

#[test]
fn a_tcp_stream_carries_much_both_ways() {
    run(|| async {
        let (a, b) = tcp_pair();
        echo(a, b).await;
    });
}

#[test]
fn a_unix_stream_carries_much_both_ways() {
    run(|| async {
        let (a, b) = pair();
        echo(a, b).await;
    });
}

#[test]
fn a_tcp_read_that_ends_at_the_urgent_mark_is_not_the_last() {
    run(|| async {
        let (a, b) = tcp_pair();
        let a = AsyncFd::from_fd_with_interest(a, READ).unwrap();
        for _ in 0..2 {
            (&b).write_all(b"abc").unwrap();
            rustix::net::send(&b, b"!", SendFlags::OOB).unwrap();
            (&b).write_all(b"defg").unwrap();
            reads_in_parts(&a, &[3, 4], |mut a| a.read(&mut [0; 16])).await;
        }
    });
}

/// Sends bytes together with a descriptor.
fn send_with(to: &UnixStream, bytes: &[u8], passed: &impl AsFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [passed.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let slices = [IoSlice::new(bytes)];
    rustix::net::sendmsg(to, &slices, &mut control, SendFlags::empty()).unwrap();
}

#[test]
fn a_unix_read_that_ends_with_a_descriptor_is_not_the_last() {
    run(|| async {
        let (a, b) = pair();
        let a = AsyncFd::from_fd_with_interest(a, READ).unwrap();
        let (passed, mut its_peer) = pair();
        let mut received: Vec<OwnedFd> = Vec::new();
        send_with(&b, b"abc", &passed);
        (&b).write_all(b"defg").unwrap();
        drop(passed);
        reads_in_parts(&a, &[3, 4], |a| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut buffer = [0; 16];
            let slices = &mut [IoSliceMut::new(&mut buffer)];
            let message = rustix::net::recvmsg(a, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            for one in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = one {
                    received.extend(descriptors);
                }
            }
            Ok(message.bytes)
        })
        .await;
        // The passed descriptor is usable here.
        let passed = UnixStream::from(received.pop().expect("a descriptor came with it"));
        let passed = AsyncFd::from_fd(passed).unwrap();
        its_peer.write_all(b"hello").unwrap();
        reads_in_parts(&passed, &[5], |mut passed| passed.read(&mut [0; 16])).await;
    });
}

#[test]
fn a_datagram_is_not_the_last_one_on_udp() {
    run(|| async {
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let (a, b) = (bind(), bind());
        b.connect(a.local_addr().unwrap()).unwrap();
        let a = AsyncFd::from_fd_with_interest(a, READ).unwrap();
        // An empty datagram is also a datagram.
        for datagram in [&b"abcde"[..], b"", b"fgh"] {
            b.send(datagram).unwrap();
        }
        reads_in_parts(&a, &[5, 0, 3], |a| a.recv(&mut [0; 64])).await;

        // A request and its answer, by address.
        let a = AsyncFd::from_fd(a.into_inner()).unwrap();
        let b = AsyncFd::from_fd(b).unwrap();
        for question in 0..20_u8 {
            b.async_io(WRITE, |b| b.send(&[question])).await.unwrap();
            let mut buffer = [0; 8];
            let (n, from) = a
                .async_io(READ, |a| a.recv_from(&mut buffer))
                .await
                .unwrap();
            assert_eq!(from, b.get_ref().local_addr().unwrap());
            a.async_io(WRITE, |a| a.send_to(&buffer[..n], from))
                .await
                .unwrap();
            b.async_io(READ, |b| b.recv(&mut buffer)).await.unwrap();
            assert_eq!(buffer[0], question);
        }
    });
}

#[test]
fn a_datagram_is_not_the_last_one_on_a_unix_socket() {
    run(|| async {
        let (a, b) = UnixDatagram::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        let a = AsyncFd::from_fd_with_interest(a, READ).unwrap();
        for datagram in [&b"abcde"[..], b"", b"fgh"] {
            b.send(datagram).unwrap();
        }
        reads_in_parts(&a, &[5, 0, 3], |a| a.recv(&mut [0; 64])).await;

        // The receiver's queue is short, so the sender waits for room, message by message.
        const MESSAGES: u32 = 500;
        let sender = Handle::current().spawn(async move {
            let b = AsyncFd::from_fd(b).unwrap();
            for i in 0..MESSAGES {
                b.async_io(WRITE, |b| b.send(&i.to_le_bytes()))
                    .await
                    .unwrap();
            }
        });
        for i in 0..MESSAGES {
            let mut message = [0; 4];
            a.async_io(READ, |a| a.recv(&mut message)).await.unwrap();
            assert_eq!(u32::from_le_bytes(message), i);
        }
        sender.await.unwrap();
    });
}

#[test]
fn a_record_is_not_the_last_one_of_a_seqpacket_socket() {
    run(|| async {
        let (a, b) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let a = AsyncFd::from_fd_with_interest(a, READ).unwrap();
        for record in [&b"abcde"[..], b"f", b"gh"] {
            rustix::io::write(&b, record).unwrap();
        }
        reads_in_parts(&a, &[5, 1, 2], |a| read_up_to(a, 64)).await;
        // The rest of a truncated record is lost, and the next record is whole.
        rustix::io::write(&b, b"a long record").unwrap();
        rustix::io::write(&b, b"next").unwrap();
        reads_in_parts(&a, &[2, 2], |a| read_up_to(a, 2)).await;
        drop(b);
        let end: io::Result<usize> = a.async_io(READ, |a| read_up_to(a, 64)).await;
        assert_eq!(end.unwrap(), 0);
    });
}
