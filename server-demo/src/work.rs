//! The `work` service: every request asks for CPU time, and gets its own bytes back after the
//! server has spent that time.
//!
//! A request has a fixed size and starts with a little-endian `u32`, the time in microseconds. The
//! time is CPU time of the serving thread, so a thread that the system preempts still does all of
//! the work. By default a connection is a `Send` task, which a reactor with work stealing may move
//! to another shard. A local connection stays where it started. Tests: `tests/work.rs`.

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use asyncfd::net::TcpStream;
use asyncfd::serve::{Bare, Connection, Tcp};
use reactor::time;
use rustix::time::{ClockId, clock_gettime};

use crate::ending::Ending;
use crate::shared::Shared;
use crate::shutdown::QUIET;

/// Serves a connection until the peer ends the stream or the server drains.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    connection: Connection<Bare<Tcp>>,
    stream: StdTcpStream,
    size: usize,
) -> Ending {
    let served = requests(&shared, &connection, stream, size).await;
    served.unwrap_or_else(Ending::of)
}

async fn requests(
    shared: &Shared,
    connection: &Connection<Bare<Tcp>>,
    stream: StdTcpStream,
    size: usize,
) -> io::Result<Ending> {
    let stream = TcpStream::from_accepted(stream)?;
    let mut request = vec![0; size];
    loop {
        let mut filled = 0;
        while filled < size {
            let read = poll_fn(|cx| match stream.poll_read(cx, &mut request[filled..]) {
                Poll::Pending if connection.is_draining() => Poll::Ready(None),
                read => read.map(Some),
            });
            let read = match read.await {
                Some(read) => read,
                // Requests that are under way still arrive.
                None => match time::timeout(QUIET, stream.read(&mut request[filled..])).await {
                    Ok(read) => read,
                    Err(_elapsed) => {
                        stream.shutdown_std(Shutdown::Write)?;
                        return Ok(Ending::Drained);
                    }
                },
            };
            match read? {
                0 if filled == 0 => return Ok(Ending::Finished),
                0 => return Ok(Ending::Failed),
                read => filled += read,
            }
        }
        let [a, b, c, d] = *request
            .first_chunk()
            .expect("a request has room for its head");
        spend(Duration::from_micros(
            u32::from_le_bytes([a, b, c, d]).into(),
        ));
        stream.write_all(&request).await?;
        shared.counters[connection.shard().index()].add_bytes(size as u64);
    }
}

/// Spends this much CPU time on the calling thread.
pub fn spend(time: Duration) {
    if time.is_zero() {
        return;
    }
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap_or_default()
    };
    let end = used() + time;
    while used() < end {
        for _ in 0..32 {
            std::hint::spin_loop();
        }
    }
}
