//! Descriptors that the system cannot poll: registration fails with a clear error, and the object
//! comes back.

use std::fs::File;
use std::io::{self, Read};

use asyncfd::AsyncFd;
use reactor::Handle;
use rustix::fs::MemfdFlags;

use crate::common::run;

#[test]
fn files_folders_and_devices_without_poll_are_eperm_and_come_back() {
    run(|| async {
        let memory = rustix::fs::memfd_create("asyncfd", MemfdFlags::CLOEXEC).unwrap();
        let objects = [
            File::open("Cargo.toml").unwrap(),
            File::open("/").unwrap(),
            File::open("/dev/null").unwrap(),
            File::open("/dev/zero").unwrap(),
            File::from(memory),
        ];
        let live = || Handle::current().metrics().total(|s| s.registrations);
        let before = live();
        for object in objects {
            let shown = format!("{object:?}");
            let error = AsyncFd::from_fd(object).unwrap_err();
            assert!(error.to_string().contains("not permitted"), "{error}");
            let (mut object, error) = error.into_parts();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{shown}");
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{shown}");
            assert_eq!(format!("{object:?}"), shown);
            if object.metadata().unwrap().is_file() && shown.contains("Cargo.toml") {
                let mut text = String::new();
                object.read_to_string(&mut text).unwrap();
                assert!(text.contains("[package]"));
            }
            let (object, _) = AsyncFd::try_new(object).unwrap_err().into_parts();
            assert_eq!(format!("{object:?}"), shown);
        }
        assert_eq!(live(), before);
    });
}
