//! `Registration` on a running reactor: waits, the ends of waits, and their cleanup.

mod support;

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use reactor::time::timeout;
use reactor::{
    Direction, Handle, Interest, Placement, Ready, Registration, is_shutdown_error, yield_now,
};
use support::{DEADLINE, eventually, reactor, total};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

fn register(handle: &Handle, source: &impl AsRawFd) -> Registration {
    Registration::new(handle, Placement::Hash, source, BOTH, Ready::EMPTY).unwrap()
}

/// Returns a future's output, or panics if it takes too long.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future)
        .await
        .expect("it goes on for ever")
}

#[test]
fn async_io_waits_and_reads() {
    let reactor = reactor(2);
    let (near, mut far) = pair();
    let registration = Arc::new(register(reactor.handle(), &near));
    let reading = reactor.handle().spawn({
        let registration = Arc::clone(&registration);
        async move {
            let mut all = Vec::new();
            while all.len() < 3 {
                let mut buffer = [0; 8];
                let read = registration
                    .async_io(Interest::READABLE, || (&near).read(&mut buffer))
                    .await?;
                all.extend_from_slice(&buffer[..read]);
            }
            Ok::<_, io::Error>(all)
        }
    });
    for byte in *b"abc" {
        far.write_all(&[byte]).unwrap();
        thread::yield_now();
    }
    assert_eq!(
        reactor
            .block_on(async { soon(reading).await })
            .unwrap()
            .unwrap(),
        b"abc"
    );
}

#[test]
fn async_io_takes_one_direction() {
    let reactor = reactor(1);
    let (near, _far) = pair();
    let registration = register(reactor.handle(), &near);
    let misuse = registration.async_io(BOTH, || -> io::Result<()> { panic!("called") });
    let error = reactor.block_on(async { soon(misuse).await }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn errors_of_the_operation_come_through() {
    let reactor = reactor(1);
    let (near, _far) = pair();
    let registration = register(reactor.handle(), &near);
    let failing = registration.async_io(Interest::WRITABLE, || -> io::Result<()> {
        Err(io::ErrorKind::ConnectionReset.into())
    });
    let error = reactor.block_on(async { soon(failing).await }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    // And cleared nothing.
    assert!(
        registration
            .try_ready(Interest::WRITABLE)
            .unwrap()
            .ready()
            .is_writable()
    );
}

#[test]
fn any_number_of_tasks_wait_and_all_are_woken() {
    let reactor = reactor(2);
    let (near, mut far) = pair();
    let registration = Arc::new(register(reactor.handle(), &near));
    let started = Arc::new(AtomicUsize::new(0));
    let waits: Vec<_> = (0..50)
        .map(|_| {
            let (registration, started) = (Arc::clone(&registration), Arc::clone(&started));
            reactor.handle().spawn(async move {
                let mut wait = pin!(registration.ready(Interest::READABLE));
                let mut first = true;
                poll_fn(|cx| {
                    let polled = wait.as_mut().poll(cx);
                    if std::mem::take(&mut first) {
                        started.fetch_add(1, Ordering::Relaxed);
                    }
                    polled
                })
                .await
            })
        })
        .collect();
    eventually("all wait", || started.load(Ordering::Relaxed) == 50);
    far.write_all(b"x").unwrap();
    reactor.block_on(async {
        for wait in waits {
            let event = soon(wait).await.unwrap().unwrap();
            assert_eq!(event.ready(), Ready::READABLE);
        }
    });
}

#[test]
fn a_cancelled_wait_loses_nothing() {
    let reactor = reactor(1);
    let (near, mut far) = pair();
    let registration = register(reactor.handle(), &near);
    reactor.block_on(async {
        for _ in 0..20 {
            let cancelled = timeout(Duration::ZERO, registration.ready(Interest::READABLE)).await;
            assert!(cancelled.is_err());
        }
        far.write_all(b"x").unwrap();
        let event = soon(registration.ready(Interest::READABLE)).await.unwrap();
        assert_eq!(event.ready(), Ready::READABLE);
    });
}

#[test]
fn polls_in_both_directions_are_independent() {
    let reactor = reactor(1);
    let (near, mut far) = pair();
    let registration = register(reactor.handle(), &near);
    reactor.block_on(async {
        let registration = &registration;
        let poll = |direction| poll_fn(move |cx| registration.poll_ready(cx, direction));
        let event = soon(poll(Direction::Write)).await.unwrap();
        assert_eq!(event.ready(), Ready::WRITABLE);
        far.write_all(b"x").unwrap();
        let event = soon(poll(Direction::Read)).await.unwrap();
        assert_eq!(event.ready(), Ready::READABLE);
    });
}

#[test]
fn a_peer_that_hangs_up_is_noticed_without_reading() {
    let reactor = reactor(1);
    let (near, far) = pair();
    let registration = Arc::new(register(reactor.handle(), &near));
    let closed = reactor.handle().spawn({
        let registration = Arc::clone(&registration);
        async move { registration.closed().await }
    });
    // Data is not a close.
    (&far).write_all(b"unread").unwrap();
    reactor.block_on(async {
        soon(registration.ready(Interest::READABLE)).await.unwrap();
        for _ in 0..10 {
            yield_now().await;
        }
    });
    assert!(!closed.is_finished());
    drop(far);
    let sides = reactor
        .block_on(async { soon(closed).await })
        .unwrap()
        .unwrap();
    assert_eq!(sides, Ready::READ_CLOSED | Ready::WRITE_CLOSED);
}

#[test]
fn a_half_close_is_noticed_as_such() {
    let reactor = reactor(1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nonblocking(true).unwrap();
    let (far, _) = listener.accept().unwrap();
    let registration = register(reactor.handle(), &near);
    far.shutdown(std::net::Shutdown::Write).unwrap();
    let sides = reactor
        .block_on(async { soon(registration.closed()).await })
        .unwrap();
    assert_eq!(sides, Ready::READ_CLOSED);
}

/// A socket registered before `connect` shows a false hang-up. The system is asked once more before
/// the hang-up is returned.
#[test]
fn a_hang_up_from_before_connect_is_not_believed() {
    let reactor = reactor(1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else {
        panic!("IPv4")
    };
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::io::ioctl_fionbio(&socket, true).unwrap();
    let registration = Arc::new(register(reactor.handle(), &socket));
    reactor.block_on(async {
        // The hang-up is reported at once for a socket that was never connected.
        let event = soon(registration.ready(Interest::READABLE)).await.unwrap();
        assert!(event.ready().is_read_closed());
    });
    let _ = rustix::net::connect(&socket, &address);
    let (far, _) = listener.accept().unwrap();
    let closed = reactor.handle().spawn({
        let registration = Arc::clone(&registration);
        async move { registration.closed().await }
    });
    reactor.block_on(async {
        let cleared = || {
            !registration
                .try_ready(Interest::READABLE)
                .unwrap()
                .ready()
                .is_read_closed()
        };
        while !cleared() {
            yield_now().await;
        }
    });
    assert!(!closed.is_finished());
    drop(far);
    let sides = reactor
        .block_on(async { soon(closed).await })
        .unwrap()
        .unwrap();
    assert!(sides.is_read_closed());
}

#[test]
fn every_wait_ends_at_shutdown() {
    let reactor = reactor(2);
    let handle = reactor.handle().clone();
    let (near, _far) = pair();
    let registration = Arc::new(register(&handle, &near));
    let (sender, receiver) = std::sync::mpsc::channel();
    // Off the reactor, where its end does not drop the futures.
    let waits: Vec<_> = (0..4)
        .map(|_| {
            let (registration, sender) = (Arc::clone(&registration), sender.clone());
            thread::spawn(move || {
                let thread = Arc::new(Unpark(thread::current()));
                let waker = Waker::from(thread);
                let mut cx = Context::from_waker(&waker);
                let mut wait = pin!(registration.ready(Interest::READABLE));
                let mut waiting = Some(sender);
                loop {
                    match wait.as_mut().poll(&mut cx) {
                        Poll::Ready(ended) => return ended,
                        Poll::Pending => {
                            if let Some(sender) = waiting.take() {
                                sender.send(()).unwrap();
                            }
                            thread::park_timeout(DEADLINE);
                        }
                    }
                }
            })
        })
        .collect();
    for _ in 0..4 {
        support::receive(&receiver, "a wait");
    }
    drop(reactor);
    for wait in waits {
        assert!(is_shutdown_error(&wait.join().unwrap().unwrap_err()));
    }
    let (other, _peer) = pair();
    let refused = Registration::new(&handle, Placement::Hash, &other, BOTH, Ready::EMPTY);
    assert!(is_shutdown_error(&refused.unwrap_err()));
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn ten_thousand_registrations_leave_nothing_behind() {
    let reactor = reactor(2);
    let handle = reactor.handle();
    for _ in 0..100 {
        let pairs: Vec<_> = (0..100).map(|_| pair()).collect();
        let registrations: Vec<_> = pairs
            .iter()
            .map(|(near, _)| register(handle, near))
            .collect();
        assert_eq!(total(handle, |shard| shard.registrations), 100);
        drop(registrations);
        assert_eq!(total(handle, |shard| shard.registrations), 0);
    }
}

#[test]
fn placements_choose_the_shard() {
    let reactor = reactor(3);
    let handle = reactor.handle();
    let (near, far) = pair();
    let here = Registration::new(
        handle,
        Placement::Shard(handle.shards().nth(2).unwrap()),
        &near,
        BOTH,
        Ready::EMPTY,
    )
    .unwrap();
    assert_eq!(here.shard().index(), 2);
    let hashed = register(handle, &far);
    assert_eq!(hashed.shard(), handle.shard_for(far.as_raw_fd()));
}

/// Two threads write and two read through one registration on either end, as fast as they can.
#[test]
fn traffic_from_many_threads_loses_no_event() {
    const BYTES: usize = 200_000;
    let reactor = reactor(2);
    let handle = reactor.handle();
    let (near, far) = pair();
    let ends = [near, far].map(|socket| {
        let registration = register(handle, &socket);
        Arc::new((socket, registration))
    });
    let mut transfers = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        let (from, to) = (Arc::clone(&ends[from]), Arc::clone(&ends[to]));
        transfers.push(handle.spawn(async move {
            let mut left = BYTES;
            let buffer = [7; 1000];
            while left > 0 {
                let chunk = &buffer[..left.min(buffer.len())];
                left -= from
                    .1
                    .async_io(Interest::WRITABLE, || (&from.0).write(chunk))
                    .await?;
            }
            Ok::<_, io::Error>(())
        }));
        transfers.push(handle.spawn(async move {
            let mut left = BYTES;
            let mut buffer = [0; 777];
            while left > 0 {
                left -=
                    to.1.async_io(Interest::READABLE, || (&to.0).read(&mut buffer))
                        .await?;
            }
            Ok::<_, io::Error>(())
        }));
    }
    reactor.block_on(async {
        for transfer in transfers {
            soon(transfer).await.unwrap().unwrap();
        }
    });
}
