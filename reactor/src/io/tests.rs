//! A shard's I/O without its thread: the test takes the shard's place, waits and dispatches itself,
//! with real descriptors.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::driver::{Driver, OsEvent};
use crate::io::{Dispatched, ShardIo, classify_slow};
use crate::registration::{Direction, Registration};
use crate::shard::parker::Parker;
use crate::sync::{AtomicBool, Ordering};
use crate::time::Clock;
use crate::token::Token;
use crate::{Interest, Ready, is_shutdown_error};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const DEADLINE: Duration = Duration::from_secs(10);

/// One shard, driven by hand.
struct Rig {
    driver: Driver,
    io: Arc<ShardIo>,
    parker: Arc<Parker>,
}

impl Rig {
    fn new() -> Self {
        let (driver, registry, notifier) = Driver::new(64, &Clock::start()).unwrap();
        let parker = Arc::new(Parker::new(notifier));
        let io = ShardIo::new(0, registry, Arc::clone(&parker));
        Self { driver, io, parker }
    }

    fn register(&self, source: &impl AsRawFd, interest: Interest) -> io::Result<Registration> {
        Registration::on(&self.io, source.as_raw_fd(), interest, Ready::EMPTY)
    }

    fn fetch(&mut self, timeout: Duration) -> Vec<OsEvent> {
        self.driver.wait(Some(timeout)).unwrap();
        self.driver.events().collect()
    }

    fn dispatch(&self, events: &[OsEvent]) -> Vec<Dispatched> {
        events
            .iter()
            .map(|event| self.io.dispatch(*event))
            .collect()
    }

    /// Runs one turn with the events available now.
    fn turn(&mut self) -> Vec<Dispatched> {
        let events = self.fetch(Duration::ZERO);
        let dispatched = self.dispatch(&events);
        self.io.release_quarantine();
        dispatched
    }

    /// Runs turns until the registration shows exactly `ready`.
    fn until(&mut self, registration: &Registration, ready: Ready) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let events = self.fetch(Duration::from_millis(10));
            self.dispatch(&events);
            self.io.release_quarantine();
            let now = seen(registration);
            if now == ready {
                return;
            }
            assert!(Instant::now() < deadline, "{now:?}, and never {ready:?}");
        }
    }
}

/// Returns all states that a registration shows.
fn seen(registration: &Registration) -> Ready {
    let all = BOTH | Interest::ERROR;
    #[cfg(target_os = "linux")]
    let all = all | Interest::PRIORITY;
    registration.try_ready(all).unwrap().ready()
}

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (near, far)
}

#[test]
fn events_arrive_and_cleared_readiness_comes_back_with_the_next() {
    let mut rig = Rig::new();
    let (mut near, mut far) = pair();
    let registration = rig.register(&near, BOTH).unwrap();
    rig.until(&registration, Ready::WRITABLE);
    far.write_all(b"x").unwrap();
    rig.until(&registration, Ready::READABLE | Ready::WRITABLE);

    let event = registration.try_ready(Interest::READABLE).unwrap();
    assert_eq!(event.ready(), Ready::READABLE);
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
    registration.clear(event);
    assert_eq!(seen(&registration), Ready::WRITABLE);
    far.write_all(b"y").unwrap();
    rig.until(&registration, Ready::READABLE | Ready::WRITABLE);
    // That event is newer than the one that `event` saw.
    registration.clear(event);
    assert_eq!(seen(&registration), Ready::READABLE | Ready::WRITABLE);
}

#[test]
fn readiness_at_birth_is_believed_until_cleared() {
    let rig = Rig::new();
    let (near, _far) = pair();
    let ready = Ready::READABLE | Ready::WRITABLE;
    let registration = Registration::on(&rig.io, near.as_raw_fd(), BOTH, ready).unwrap();
    assert_eq!(seen(&registration), ready);
    let tried = registration.try_io(Interest::READABLE, || (&near).read(&mut [0; 8]));
    assert_eq!(tried.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(seen(&registration), Ready::WRITABLE);
    let called = registration.try_io(Interest::READABLE, || -> io::Result<()> {
        panic!("called")
    });
    assert_eq!(called.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Each way of closing shows the right half as closed.
#[test]
fn closing_shows_which_half() {
    let mut rig = Rig::new();
    let (near, far) = tcp_pair();
    let registration = rig.register(&near, BOTH).unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    rig.until(
        &registration,
        Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED,
    );
    drop(registration);

    let (near, far) = pair();
    let registration = rig.register(&near, Interest::READABLE).unwrap();
    drop(far);
    rig.until(&registration, Ready::READABLE | Ready::CLOSED);
}

#[test]
fn a_reset_connection_is_closed_and_has_an_error() {
    let mut rig = Rig::new();
    let (near, mut far) = tcp_pair();
    // Unread data at close makes it a reset.
    (&near).write_all(b"unread").unwrap();
    assert_eq!(far.read(&mut [0; 1]).unwrap(), 1);
    let registration = rig.register(&near, BOTH).unwrap();
    drop(far);
    rig.until(
        &registration,
        Ready::READABLE | Ready::WRITABLE | Ready::CLOSED | Ready::ERROR,
    );
}

#[test]
fn a_pipe_whose_reader_left_is_closed_for_writing() {
    let mut rig = Rig::new();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let registration = rig.register(&writer, Interest::WRITABLE).unwrap();
    rig.until(&registration, Ready::WRITABLE);
    drop(reader);
    rig.until(
        &registration,
        Ready::WRITABLE | Ready::WRITE_CLOSED | Ready::ERROR,
    );
}

/// An error in a live socket's queue wakes both directions and closes neither. mio alone would
/// report write-closed.
#[test]
fn a_queued_error_does_not_close_a_live_socket() {
    let mut rig = Rig::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let nobody = {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    socket.connect(nobody).unwrap();
    let registration = rig.register(&socket, BOTH).unwrap();
    rig.until(&registration, Ready::WRITABLE);
    socket.send(b"anybody?").unwrap();
    rig.until(
        &registration,
        Ready::READABLE | Ready::WRITABLE | Ready::ERROR,
    );
    assert_eq!(
        socket.recv(&mut [0; 8]).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    // The error was fetched. The socket continues to work, and causes no further events.
    let all = registration.try_ready(BOTH | Interest::ERROR).unwrap();
    registration.clear(all);
    rig.turn();
    assert_eq!(seen(&registration), Ready::EMPTY);
}

#[test]
fn errors_are_told_apart_by_asking_only_where_it_is_needed() {
    let error = Ready::ERROR;
    let never = || -> bool { panic!("asked in vain") };
    let both = Ready::READABLE | Ready::WRITABLE;
    // The error alone, on a socket and on a pipe.
    assert_eq!(
        classify_slow(error | Ready::WRITE_CLOSED, never, || false),
        error | both
    );
    let pipe = error | Ready::WRITE_CLOSED;
    assert_eq!(classify_slow(pipe, never, || true), pipe);
    // With writability.
    let writable = error | Ready::WRITABLE | Ready::WRITE_CLOSED;
    assert_eq!(classify_slow(writable, never, || false), error | both);
    assert_eq!(classify_slow(writable, never, || true), writable);
    // With data: mio reports no closed half.
    assert_eq!(
        classify_slow(error | Ready::READABLE, never, never),
        error | both
    );
    // A hang-up that is unambiguous.
    for plain in [Ready::EMPTY, Ready::READABLE, Ready::WRITABLE] {
        let hung_up = error | plain | Ready::CLOSED;
        assert_eq!(classify_slow(hung_up, never, never), hung_up);
    }
    // Both directions ready, both halves closed: a reset, or an error beside a peer that shut its
    // half down.
    let unclear = error | both | Ready::CLOSED;
    assert_eq!(classify_slow(unclear, || true, never), unclear);
    assert_eq!(
        classify_slow(unclear, || false, || false),
        error | both | Ready::READ_CLOSED
    );
}

#[test]
fn a_late_event_is_harmless() {
    let mut rig = Rig::new();
    let (near, mut far) = pair();
    let registration = rig.register(&near, Interest::READABLE).unwrap();
    far.write_all(b"x").unwrap();
    let events = rig.fetch(DEADLINE);
    assert_eq!(events.len(), 1);
    drop(registration);
    // Another registration is made before the batch is done. It does not get the slot of the first.
    let (other, _peer) = pair();
    let second = rig.register(&other, Interest::READABLE).unwrap();
    rig.dispatch(&events);
    assert_eq!(seen(&second), Ready::EMPTY);
    rig.io.release_quarantine();
    // Now a third one may get the slot. The late event is recognised.
    let (another, _peer) = pair();
    let third = rig.register(&another, Interest::READABLE).unwrap();
    assert_eq!(rig.dispatch(&events), [Dispatched::Stale]);
    assert_eq!(seen(&third), Ready::EMPTY);
    assert_eq!(rig.io.live(), 2);
}

/// A registered descriptor is closed while a duplicate keeps its entry in the epoll instance.
/// Another file gets the number, and the first registration is dropped late.
#[test]
fn a_stranger_with_the_same_number_keeps_its_events() {
    let mut rig = Rig::new();
    let (near, mut far) = pair();
    let number = near.as_raw_fd();
    let duplicate = near.try_clone().unwrap();
    let registration = rig.register(&near, Interest::READABLE).unwrap();
    let (other, mut peer) = pair();
    // Closes the number and opens the other file there in one step.
    let mut at_number = OwnedFd::from(near);
    rustix::io::dup2(&other, &mut at_number).unwrap();
    assert_eq!(at_number.as_raw_fd(), number);

    let stranger = rig.register(&at_number, Interest::READABLE).unwrap();
    drop(registration);
    peer.write_all(b"x").unwrap();
    rig.until(&stranger, Ready::READABLE);
    // The duplicate's events still arrive, under a stale token. They reach no registration.
    far.write_all(b"x").unwrap();
    assert_eq!(rig.turn(), [Dispatched::Stale]);
    drop(duplicate);
}

#[test]
fn a_descriptor_is_registered_once_and_again_after_it_left() {
    let mut rig = Rig::new();
    let (near, _far) = pair();
    let first = rig.register(&near, BOTH).unwrap();
    let twice = rig.register(&near, BOTH).unwrap_err();
    assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(rig.io.live(), 1);
    first.deregister().unwrap();
    let again = rig.register(&near, BOTH).unwrap();
    rig.until(&again, Ready::WRITABLE);
}

#[test]
fn a_failed_registration_leaves_nothing_behind() {
    let rig = Rig::new();
    for file in [
        File::open("/proc/self/exe").unwrap(),
        File::open("/").unwrap(),
    ] {
        let error = rig.register(&file, BOTH).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
    // A number beyond the limit of any process, and a number that is invalid.
    let never_open: RawFd = 1 << 30;
    assert!(rig.register(&never_open, BOTH).is_err());
    assert!(rig.register(&-1, BOTH).is_err());
    assert_eq!(rig.io.live(), 0);
}

#[test]
fn a_changed_interest_reports_what_is_true() {
    let mut rig = Rig::new();
    let (near, _far) = pair();
    let mut registration = rig.register(&near, Interest::READABLE).unwrap();
    rig.turn();
    assert_eq!(seen(&registration), Ready::EMPTY);
    registration.set_interest(Interest::WRITABLE).unwrap();
    assert_eq!(registration.interest(), Interest::WRITABLE);
    rig.until(&registration, Ready::WRITABLE);
}

/// A FIFO shows a hang-up between two writers. The kernel's EAGAIN removes the closed state, and
/// the wait continues for the new writer.
#[test]
#[cfg(target_os = "linux")]
fn closed_states_that_are_no_longer_true_go_with_the_next_eagain() {
    let mut rig = Rig::new();
    let path = std::env::temp_dir().join(format!("reactor-fifo-{}", std::process::id()));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let open = |flags| {
        let flags = flags | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
        File::from(rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap())
    };
    let reader = open(rustix::fs::OFlags::RDONLY);
    let writer = open(rustix::fs::OFlags::WRONLY);
    let registration = rig.register(&reader, Interest::READABLE).unwrap();
    drop(writer);
    rig.until(&registration, Ready::CLOSED);
    let mut writer = open(rustix::fs::OFlags::WRONLY);
    std::fs::remove_file(&path).unwrap();

    let read = || registration.try_io(Interest::READABLE, || (&reader).read(&mut [0; 8]));
    assert_eq!(read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    rig.turn();
    let left = registration.try_ready(Interest::READABLE).unwrap().ready();
    assert_eq!(left, Ready::EMPTY, "it is alive, and a reader would spin");
    writer.write_all(b"x").unwrap();
    let deadline = Instant::now() + DEADLINE;
    while !registration
        .try_ready(Interest::READABLE)
        .unwrap()
        .ready()
        .is_readable()
    {
        assert!(Instant::now() < deadline);
        let events = rig.fetch(Duration::from_millis(10));
        rig.dispatch(&events);
    }
    assert_eq!(read().unwrap(), 1);
}

#[test]
fn forgotten_closed_states_are_reported_again_while_true() {
    let mut rig = Rig::new();
    let (near, far) = pair();
    let registration = rig.register(&near, Interest::READABLE).unwrap();
    drop(far);
    rig.until(&registration, Ready::READABLE | Ready::CLOSED);
    registration.clear(registration.try_ready(Interest::READABLE).unwrap());
    assert_eq!(seen(&registration), Ready::CLOSED);
    registration.clear_closed().unwrap();
    assert_eq!(seen(&registration), Ready::EMPTY);
    rig.until(&registration, Ready::READABLE | Ready::CLOSED);
}

#[test]
fn shutdown_ends_waits_and_refuses_registrations() {
    let rig = Rig::new();
    let (near, _far) = pair();
    let ready = Ready::READABLE;
    let registration = Registration::on(&rig.io, near.as_raw_fd(), BOTH, ready).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut wait = Box::pin(registration.ready(Interest::ERROR));
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    rig.io.shut_down();
    let Poll::Ready(Err(error)) = wait.as_mut().poll(&mut cx) else {
        panic!("it goes on")
    };
    assert!(is_shutdown_error(&error));
    let Poll::Ready(Err(error)) = registration.poll_ready(&mut cx, Direction::Read) else {
        panic!("it was readable, and that counts no more")
    };
    assert!(is_shutdown_error(&error));
    let tried = registration.try_io(Interest::READABLE, || -> io::Result<()> {
        panic!("called")
    });
    assert!(is_shutdown_error(&tried.unwrap_err()));
    let (other, _peer) = pair();
    assert!(is_shutdown_error(&rig.register(&other, BOTH).unwrap_err()));
    drop(wait);
    registration.deregister().unwrap();
    assert_eq!(rig.io.live(), 0);
}

#[test]
fn a_registration_leaves_after_its_shard_is_gone() {
    let Rig { driver, io, parker } = Rig::new();
    let (near, _far) = pair();
    let registration = Registration::on(&io, near.as_raw_fd(), BOTH, Ready::EMPTY).unwrap();
    drop((driver, io, parker));
    registration.deregister().unwrap();
}

#[test]
fn a_dropped_registration_keeps_no_waker() {
    struct Nothing;
    impl std::task::Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    let rig = Rig::new();
    let (near, _far) = pair();
    let registration = rig.register(&near, BOTH).unwrap();
    let task = Arc::new(Nothing);
    let waker = Waker::from(Arc::clone(&task));
    let mut cx = Context::from_waker(&waker);
    assert!(
        registration
            .poll_ready(&mut cx, Direction::Read)
            .is_pending()
    );
    assert!(
        registration
            .poll_ready(&mut cx, Direction::Write)
            .is_pending()
    );
    for _ in 0..5 {
        let mut wait = Box::pin(registration.ready(BOTH));
        assert!(wait.as_mut().poll(&mut cx).is_pending());
    }
    drop(waker);
    assert_eq!(
        Arc::strong_count(&task),
        3,
        "five waits were given up, two places hold a waker"
    );
    drop(registration);
    assert_eq!(Arc::strong_count(&task), 1);
}

#[test]
fn a_sleeping_shard_is_woken_when_foreign_frees_pile_up() {
    let mut rig = Rig::new();
    let (near, _far) = pair();
    assert!(rig.parker.prepare(|| true));
    for round in 0..256 {
        assert_eq!(rig.parker.notifies(), 0, "woken after {round}");
        drop(rig.register(&near, BOTH).unwrap());
    }
    assert_eq!(rig.parker.notifies(), 1);
    // The notification ends the wait and is the only event.
    let started = Instant::now();
    let events = rig.fetch(DEADLINE);
    let tokens: Vec<_> = events.iter().map(|event| event.token).collect();
    assert_eq!(tokens, [Token::NOTIFIER]);
    assert!(started.elapsed() < DEADLINE);
}

#[test]
fn a_wait_ends_in_time_however_long_it_may_be() {
    let mut rig = Rig::new();
    let started = Instant::now();
    rig.driver.wait(Some(Duration::from_millis(20))).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert!(rig.parker.prepare(|| true));
    rig.parker.unpark();
    rig.driver.wait(Some(Duration::MAX)).unwrap();
    rig.parker.awake();
    assert!(rig.parker.prepare(|| true));
    rig.parker.unpark();
    rig.driver.wait(None).unwrap();
    rig.parker.awake();
    rig.driver.wait_precisely();
    assert!(rig.parker.prepare(|| true));
    let (parker, is_woken) = (Arc::clone(&rig.parker), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            is_woken.store(true, Ordering::Relaxed);
            parker.unpark();
        });
        rig.driver.wait(Some(Duration::MAX)).unwrap();
        assert!(is_woken.load(Ordering::Relaxed), "it ended too early");
    });
}

#[test]
fn every_interest_can_be_registered() {
    let mut rig = Rig::new();
    for interest in [
        Interest::READABLE,
        Interest::WRITABLE,
        Interest::ERROR,
        BOTH,
    ] {
        let (near, mut far) = pair();
        far.write_all(b"x").unwrap();
        let registration = rig.register(&near, interest).unwrap();
        let expected = Ready::from_interest(interest) - Ready::CLOSED - Ready::ERROR;
        rig.until(&registration, expected);
    }
}
