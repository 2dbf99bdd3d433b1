//! Descriptors that report something other than bytes: counters, timers, signals, file changes,
//! process exits, and the readiness of other descriptors.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use asyncfd::{AsyncFd, Ready};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::fs::inotify;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::common::{cached, run, run_on_shard, settle};
use crate::{Folder, READ, WRITE, read_up_to, reads_in_parts, set_nonblocking};

fn counter(flags: EventfdFlags) -> OwnedFd {
    eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC | flags).unwrap()
}

fn add(counter: &impl AsFd, n: u64) -> io::Result<usize> {
    Ok(rustix::io::write(counter, &n.to_ne_bytes())?)
}

fn take(counter: &impl AsFd) -> io::Result<u64> {
    let mut value = [0; 8];
    assert_eq!(rustix::io::read(counter, &mut value)?, 8);
    Ok(u64::from_ne_bytes(value))
}

#[test]
fn one_is_not_the_last_of_an_eventfd_that_counts_down() {
    run(|| async {
        let semaphore = AsyncFd::from_fd_with_interest(counter(EventfdFlags::SEMAPHORE), READ);
        let semaphore = semaphore.unwrap();
        for _ in 0..2 {
            add(&semaphore, 3).unwrap();
            // Reads 8 of 16 bytes, three times.
            reads_in_parts(&semaphore, &[8, 8, 8], |fd| read_up_to(fd, 16)).await;
        }
    });
}

#[test]
fn an_eventfd_adds_up_and_makes_its_writer_wait() {
    run(|| async {
        let fd = AsyncFd::from_fd(counter(EventfdFlags::empty())).unwrap();
        for n in 1..=10 {
            add(&fd, n).unwrap();
        }
        assert_eq!(fd.async_io(READ, take).await.unwrap(), 55);
        fd.async_io(WRITE, |fd| add(fd, u64::MAX - 1))
            .await
            .unwrap();
        // An event from one of the additions, before the counter was full, may still be on its way.
        settle().await;
        let full = fd.try_io(WRITE, |fd| add(fd, 1)).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(cached(&fd, WRITE), Ready::EMPTY);
        assert_eq!(fd.async_io(READ, take).await.unwrap(), u64::MAX - 1);
        assert_eq!(fd.async_io(WRITE, |fd| add(fd, 1)).await.unwrap(), 8);
        assert_eq!(fd.async_io(READ, take).await.unwrap(), 1);
    });
}

fn timer(first: Duration, every: Duration) -> OwnedFd {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags).unwrap();
    arm(&timer, first, every);
    timer
}

fn arm(timer: &impl AsFd, first: Duration, every: Duration) {
    let new = Itimerspec {
        it_value: first.try_into().unwrap(),
        it_interval: every.try_into().unwrap(),
    };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &new).unwrap();
}

#[test]
fn a_timer_expires_once_and_again_when_armed_again() {
    run(|| async {
        const SHORT: Duration = Duration::from_millis(3);
        let began = Instant::now();
        let timer = AsyncFd::from_fd_with_interest(timer(SHORT, Duration::ZERO), READ).unwrap();
        for round in 1..4 {
            let guard = timer.readable().await.unwrap();
            assert_eq!(guard.ready(), Ready::READABLE);
            assert!(began.elapsed() >= SHORT * round, "too early");
            // A timer never returns more than 8 of 16 bytes, and still only EAGAIN proves that it
            // is empty.
            reads_in_parts(&timer, &[8], |timer| read_up_to(timer, 16)).await;
            arm(&timer, SHORT, Duration::ZERO);
        }
    });
}

#[test]
fn a_timer_that_repeats_counts_every_expiry() {
    run(|| async {
        const EVERY: Duration = Duration::from_millis(1);
        let began = Instant::now();
        let timer = AsyncFd::from_fd_with_interest(timer(EVERY, EVERY), READ).unwrap();
        let mut expiries = 0;
        while expiries < 20 {
            let more = timer.async_io(READ, take).await.unwrap();
            assert_ne!(more, 0);
            expiries += more;
        }
        let possible = began.elapsed().as_millis();
        assert!(
            u128::from(expiries) <= possible,
            "{expiries} in {possible} ms"
        );
    });
}

/// Runs on a shard only: a signalfd is ready for the thread that waits on the epoll, so a signal
/// for one thread must go to the shard's thread.
#[test]
fn a_signal_is_not_the_last_one() {
    run_on_shard(|| async {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGUSR1);
        signals.add(Signal::SIGUSR2);
        signals.thread_block().unwrap();
        let fd = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        let fd = AsyncFd::from_fd_with_interest(fd.unwrap(), READ).unwrap();
        settle().await;
        assert_eq!(cached(&fd, READ), Ready::EMPTY);

        // `raise` signals the calling thread.
        nix::sys::signal::raise(Signal::SIGUSR1).unwrap();
        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        let one = size_of::<libc::signalfd_siginfo>();
        // Room for one and a half records; the system returns only whole ones.
        reads_in_parts(&fd, &[one, one], |fd| read_up_to(fd, one + one / 2)).await;

        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        let info = fd
            .async_io(READ, |fd| match fd.read_signal() {
                Ok(info) => info.ok_or_else(|| io::ErrorKind::WouldBlock.into()),
                Err(errno) => Err(errno.into()),
            })
            .await
            .unwrap();
        assert_eq!(info.ssi_signo, Signal::SIGUSR2 as u32);
        assert_eq!(info.ssi_pid, std::process::id());
    });
}

#[test]
fn a_change_is_not_the_last_one_of_an_inotify() {
    run(|| async {
        let folder = Folder::new("inotify");
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let watch = inotify::init(flags).unwrap();
        inotify::add_watch(&watch, &folder.0, inotify::WatchFlags::CREATE).unwrap();
        let watch = AsyncFd::from_fd_with_interest(watch, READ).unwrap();
        settle().await;
        assert_eq!(cached(&watch, READ), Ready::EMPTY);
        // A header of 16 bytes and a name padded to 16; the buffer fits one and a half.
        const ONE: usize = 32;
        for round in 0..2 {
            let names = ["a", "b", "c"].map(|name| format!("{name}{round}"));
            for name in &names {
                std::fs::write(folder.0.join(name), b"x").unwrap();
            }
            let mut seen = Vec::new();
            reads_in_parts(&watch, &[ONE; 3], |watch| {
                let mut buffer = [0; ONE + ONE / 2];
                let n = rustix::io::read(watch, &mut buffer)?;
                let name = buffer[16..n].split(|&byte| byte == 0).next().unwrap();
                seen.push(String::from_utf8(name.to_vec()).unwrap());
                Ok(n)
            })
            .await;
            assert_eq!(seen, names);
        }
    });
}

#[test]
fn a_pidfd_is_ready_when_its_process_ended_and_stays_so() {
    run(|| async {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let fd = pidfd_open(pid, PidfdFlags::NONBLOCK).unwrap();
        let fd = AsyncFd::from_fd_with_interest(fd, READ).unwrap();
        settle().await;
        assert_eq!(cached(&fd, READ), Ready::EMPTY);
        // The child exits when its input ends.
        drop(child.stdin.take());
        let status = fd
            .async_io(READ, |_| {
                child
                    .try_wait()?
                    .ok_or_else(|| io::ErrorKind::WouldBlock.into())
            })
            .await
            .unwrap();
        assert!(status.success());
        // Nothing can drain a pidfd: it stays ready for every waiter.
        for _ in 0..3 {
            assert!(fd.readable().await.unwrap().ready().is_readable());
        }
    });
}

/// Takes one event from an epoll instance.
fn next_event(epoll: &OwnedFd) -> io::Result<u64> {
    let mut events = [const { MaybeUninit::uninit() }; 1];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match epoll::wait(epoll, &mut events[..], Some(&now))?.0 {
        [] => Err(io::ErrorKind::WouldBlock.into()),
        [event, ..] => Ok(event.data.u64()),
    }
}

#[test]
fn an_event_is_not_the_last_one_of_an_epoll_inside() {
    run(|| async {
        let inside = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        set_nonblocking(&inside);
        let counters: Vec<_> = (0..3).map(|_| counter(EventfdFlags::empty())).collect();
        for (data, counter) in (0..).zip(&counters) {
            let data = epoll::EventData::new_u64(data);
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&inside, counter, data, flags).unwrap();
        }
        let inside = AsyncFd::from_fd_with_interest(inside, READ).unwrap();
        settle().await;
        assert_eq!(cached(&inside, READ), Ready::EMPTY);
        for _ in 0..2 {
            for counter in &counters {
                add(counter, 1).unwrap();
            }
            let mut seen = Vec::new();
            // Each call requests one event, and each counts as one.
            reads_in_parts(&inside, &[1, 1, 1], |inside| {
                seen.push(next_event(inside)?);
                Ok(1)
            })
            .await;
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2]);
        }
    });
}
