//! The arrival times of the calibration's requests, as the system stamps them.
//!
//! A reading thread may wake late, and two threads may wake in the wrong order. The system stamps
//! the bytes when they arrive, so a sort by arrival gives the order in which the requests were
//! sent. Without stamps, the time of the read is used instead. `server.rs` calls it. Tests: at the
//! end of this file.

use std::io;
use std::net::TcpStream;
use std::time::Instant;

/// Asks the system to stamp arriving bytes.
#[cfg(target_os = "linux")]
pub(super) fn stamp(stream: &TcpStream) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::ReceiveTimestampns};
    Ok(setsockopt(stream, ReceiveTimestampns, &true)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn stamp(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// Reads a request of `size` bytes. Returns it with the time at which its last bytes arrived.
///
/// # Errors
/// The stream ended or failed.
pub(super) fn read(stream: &mut TcpStream, size: usize) -> io::Result<(Vec<u8>, Instant)> {
    let mut bytes = vec![0; size];
    let mut at = 0;
    loop {
        let (read, stamped) = read_stamped(stream, &mut bytes[at..])?;
        let now = Instant::now();
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += read;
        if at == size {
            return Ok((bytes, stamped.unwrap_or(now)));
        }
    }
}

#[cfg(target_os = "linux")]
fn read_stamped(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<Instant>)> {
    use std::io::IoSliceMut;
    use std::os::fd::AsRawFd as _;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use nix::sys::time::TimeSpec;

    /// If reads of the two clocks are further apart than this, they were interrupted.
    const APART_MAX: Duration = Duration::from_micros(20);
    const TRIES: u32 = 100;

    let mut control = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = loop {
        let flags = MsgFlags::empty();
        match recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other?,
        }
    };
    let stamp = message.cmsgs()?.find_map(|one| match one {
        ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
        _ => None,
    });
    // The stamp has the time of the wall clock, but the record needs that of the monotonic clock.
    let moment = stamp.and_then(|stamp| {
        for _ in 0..TRIES {
            let before = Instant::now();
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            if before.elapsed() <= APART_MAX {
                return before.checked_sub(wall.checked_sub(stamp)?);
            }
        }
        None
    });
    Ok((message.bytes, moment))
}

#[cfg(not(target_os = "linux"))]
fn read_stamped(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Option<Instant>)> {
    Ok((std::io::Read::read(stream, buffer)?, None))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_has_the_time_of_its_arrival_and_not_that_of_the_read() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("a listener");
        let (mut server, _) = listener.accept().expect("a client");
        stamp(&server).expect("an option of sockets");
        // The system begins to stamp a short time after the request to do so.
        let mut begun = !cfg!(target_os = "linux");
        for _ in 0..500 {
            client.write_all(b"warm").expect("connected");
            let mut bytes = [0; 4];
            begun |= read_stamped(&mut server, &mut bytes)
                .expect("four bytes")
                .1
                .is_some();
            if begun {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert!(begun, "no stamps");
        let before = Instant::now();
        client.write_all(b"ping").expect("connected");
        let after = Instant::now();
        thread::sleep(Duration::from_millis(50));
        let (bytes, arrived) = read(&mut server, 4).expect("four bytes");
        assert_eq!(bytes, b"ping");
        if cfg!(target_os = "linux") {
            let slack = Duration::from_millis(5);
            assert!(
                arrived + slack >= before && arrived <= after + slack,
                "{:?} after the write",
                arrived.saturating_duration_since(after)
            );
        }
        drop(client);
        assert!(read(&mut server, 4).is_err());
    }
}
