//! Creating an `AsyncFd`: the registered interest, and the value that a failure returns.

use std::any::type_name;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::kit::{cached, settle, settled};
use super::side::{
    AsyncFd, AsyncFdRegisterError, AsyncFdTryNewError, Interest, OURS, Ready, Runtime, run,
};
use crate::support::{fill, pair, panic_of};

const EPERM: i32 = 1;
const EBADF: i32 = 9;

/// An object that has only the required trait.
struct Bare(OwnedFd);

impl AsRawFd for Bare {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[test]
#[expect(unsafe_code, reason = "`register` is unsafe to call")]
fn without_a_runtime_every_constructor_panics_and_blames_its_caller() {
    fn check((message, file, line): (String, String, u32), expected: u32) {
        assert!(file.ends_with("construction.rs"), "blamed on {file}");
        assert_eq!(line, expected, "blamed on the wrong line");
        assert!(message.contains("reactor"), "unhelpful: {message}");
    }
    macro_rules! blames_this_line {
        ($call:expr) => {
            check(panic_of(|| $call), line!())
        };
    }
    let (fd, read) = (pair().0.as_raw_fd(), Interest::READABLE);
    blames_this_line!(AsyncFd::new(fd));
    blames_this_line!(AsyncFd::with_interest(fd, read));
    blames_this_line!(AsyncFd::try_new(fd));
    blames_this_line!(AsyncFd::try_with_interest(fd, read));
    // SAFETY: (1), (2) it panics before it does anything with the number.
    blames_this_line!(unsafe { AsyncFd::register(fd) });
    // SAFETY: (1), (2) it panics before it does anything with the number.
    blames_this_line!(unsafe { AsyncFd::register_with_interest(fd, read) });
}

#[test]
fn a_runtime_entered_is_enough() {
    let runtime = Runtime::new();
    let (a, mut b) = pair();
    let a = runtime.enter(|| AsyncFd::new(a)).unwrap();
    b.write_all(b"x").unwrap();
    runtime.block_on(async { a.readable().await.unwrap().retain_ready() });
}

#[test]
fn new_and_try_new_register_reading_and_writing() {
    run(|| async {
        for which in [AsyncFd::new, |fd| Ok(AsyncFd::try_new(fd)?)] {
            let (a, mut b) = pair();
            let a = which(a).unwrap();
            b.write_all(b"x").unwrap();
            assert_eq!(settled(&a, Interest::READABLE).await, Ready::READABLE);
            assert_eq!(settled(&a, Interest::WRITABLE).await, Ready::WRITABLE);
        }
    });
}

#[test]
fn with_interest_registers_that_interest_only() {
    run(|| async {
        for which in [AsyncFd::with_interest, |fd, interest| {
            Ok(AsyncFd::try_with_interest(fd, interest)?)
        }] {
            let (a, mut b) = pair();
            let (c, mut d) = pair();
            let a = which(a, Interest::READABLE).unwrap();
            let c = which(c, Interest::WRITABLE).unwrap();
            b.write_all(b"x").unwrap();
            d.write_all(b"x").unwrap();
            settle().await;
            assert_eq!(cached(&a, Interest::READABLE), Ready::READABLE);
            assert_eq!(cached(&a, Interest::WRITABLE), Ready::EMPTY);
            assert_eq!(cached(&c, Interest::READABLE), Ready::EMPTY);
            assert_eq!(cached(&c, Interest::WRITABLE), Ready::WRITABLE);
        }
    });
}

#[test]
#[expect(unsafe_code, reason = "`register` is unsafe to call")]
fn register_is_try_new_on_a_promise() {
    run(|| async {
        let (a, mut b) = pair();
        // SAFETY: (1), (2) the socket owns its descriptor and nothing else uses it.
        let a = unsafe { AsyncFd::register(a) }.unwrap();
        b.write_all(b"x").unwrap();
        assert_eq!(settled(&a, Interest::READABLE).await, Ready::READABLE);
        assert_eq!(settled(&a, Interest::WRITABLE).await, Ready::WRITABLE);

        let (c, _d) = pair();
        // SAFETY: as above.
        let c = unsafe { AsyncFd::register_with_interest(c, Interest::READABLE) }.unwrap();
        assert_eq!(settled(&c, Interest::WRITABLE).await, Ready::EMPTY);

        let file = File::open("/dev/null").unwrap();
        // SAFETY: as above.
        let error = unsafe { AsyncFd::register(file) }.unwrap_err();
        assert_eq!(error.into_parts().1.raw_os_error(), Some(EPERM));
    });
}

#[test]
fn a_fresh_descriptor_is_not_ready_before_its_first_event() {
    // With no reactor to poll it, readiness could only be a guess.
    run(|| async {
        let (a, _b) = pair();
        fill(&a);
        let a = AsyncFd::new(a).unwrap();
        assert_eq!(
            cached(&a, Interest::READABLE | Interest::WRITABLE),
            Ready::EMPTY
        );
        assert_eq!(
            settled(&a, Interest::READABLE | Interest::WRITABLE).await,
            Ready::EMPTY
        );
    });
}

#[test]
fn registering_a_descriptor_twice_is_eexist() {
    run(|| async {
        let (a, _b) = pair();
        let number = a.as_raw_fd();
        let first = AsyncFd::new(a).unwrap();
        let error = AsyncFd::new(number).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        // The attempt changed nothing for the first one.
        first.writable().await.unwrap().retain_ready();
        drop(first);
    });
}

#[test]
fn files_and_directories_are_eperm_and_come_back() {
    run(|| async {
        for path in ["Cargo.toml", "src", "/dev/null"] {
            let file = File::open(path).unwrap();
            let number = file.as_raw_fd();
            let error = AsyncFd::try_new(file).unwrap_err();
            let (mut file, cause) = error.into_parts();
            assert_eq!(cause.raw_os_error(), Some(EPERM), "{path}");
            assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(file.as_raw_fd(), number);
            if path == "Cargo.toml" {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert!(text.contains("[package]"));
            }
            let error = AsyncFd::new(file).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(EPERM), "{path}");
        }
    });
}

#[test]
fn numbers_that_name_nothing_are_ebadf() {
    run(|| async {
        for number in [-1, RawFd::MAX, RawFd::MIN, 1 << 24] {
            let error = AsyncFd::new(number).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(EBADF), "{number}");
        }
    });
}

#[test]
fn a_failed_registration_leaves_nothing_behind() {
    let runtime = Runtime::new();
    runtime.enter(|| {
        let mut file = File::open("Cargo.toml").unwrap();
        for _ in 0..3000 {
            file = AsyncFd::try_new(file).unwrap_err().into_parts().0;
        }
    });
    assert!(runtime.registrations().is_none_or(|left| left == 0));
    // The runtime still works.
    runtime.block_on(settle());
}

#[test]
fn a_register_error_shows_its_cause_and_asks_nothing_of_the_object() {
    run(|| async {
        let failed = || match AsyncFd::try_new(Bare(File::open("src").unwrap().into())) {
            Ok(_) => panic!("a directory was registered"),
            Err(error) => error,
        };
        let cause = io::Error::from_raw_os_error(EPERM);
        assert_eq!(format!("{:?}", failed()), format!("{cause:?}"));
        assert_eq!(failed().to_string(), cause.to_string());

        let error = failed();
        let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(EPERM));

        assert_eq!(io::Error::from(failed()).raw_os_error(), Some(EPERM));
        let converts = || -> io::Result<()> { Err(failed())? };
        assert_eq!(converts().unwrap_err().raw_os_error(), Some(EPERM));
    });
}

#[test]
fn the_two_names_of_the_error_are_one_type() {
    assert_eq!(
        type_name::<AsyncFdRegisterError<u8>>(),
        type_name::<AsyncFdTryNewError<u8>>()
    );
    let _: fn(AsyncFdTryNewError<u8>) -> AsyncFdRegisterError<u8> = |error| error;
}

#[test]
fn the_number_is_read_at_creation() {
    use std::cell::Cell;

    /// Counts the calls of `as_raw_fd`.
    struct Asked(OwnedFd, Cell<u32>);
    impl AsRawFd for Asked {
        fn as_raw_fd(&self) -> RawFd {
            self.1.set(self.1.get() + 1);
            self.0.as_raw_fd()
        }
    }

    run(|| async {
        let (a, mut b) = pair();
        let number = a.as_raw_fd();
        let a = AsyncFd::new(Asked(a.into(), Cell::new(0))).unwrap();
        b.write_all(b"x").unwrap();
        a.readable().await.unwrap().clear_ready();
        assert_eq!(a.as_raw_fd(), number);
        let asked = a.into_inner().1.get();
        if OURS {
            // tokio calls it again for `as_raw_fd` and to deregister.
            assert_eq!(asked, 1);
        }
    });
}
