//! Pseudo-terminals: each read returns one line.

use std::fs::File;
use std::io::{Read, Write};

use asyncfd::AsyncFd;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::common::{run, settle};
use crate::{READ, WRITE, read_up_to, reads_in_parts, set_nonblocking};

/// Opens a terminal and returns the emulator's end and the program's end. As terminals do by
/// default, it works by lines and echoes.
fn terminal() -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let emulator = openpt(flags).unwrap();
    grantpt(&emulator).unwrap();
    unlockpt(&emulator).unwrap();
    let program = ioctl_tiocgptpeer(&emulator, flags).unwrap();
    set_nonblocking(&emulator);
    set_nonblocking(&program);
    (emulator.into(), program.into())
}

async fn read_exactly(fd: &AsyncFd<File>, expected: &[u8]) {
    let mut seen = Vec::new();
    let mut buffer = [0; 64];
    while seen.len() < expected.len() {
        let n = fd
            .async_io(READ, |mut file| file.read(&mut buffer))
            .await
            .unwrap();
        seen.extend_from_slice(&buffer[..n]);
    }
    assert_eq!(seen, expected);
}

#[test]
fn a_line_is_not_the_last_one_of_a_terminal() {
    run(|| async {
        let (emulator, program) = terminal();
        let emulator = AsyncFd::from_fd(emulator).unwrap();
        let program = AsyncFd::from_fd_with_interest(program, READ).unwrap();
        for _ in 0..2 {
            let typed = b"one\nthree\nx\n";
            let n = emulator
                .async_io(WRITE, |mut emulator| emulator.write(typed))
                .await
                .unwrap();
            assert_eq!(n, typed.len());
            // The kernel passes lines on in another thread; the echo shows that it has done so.
            read_exactly(&emulator, b"one\r\nthree\r\nx\r\n").await;
            reads_in_parts(&program, &[4, 6, 2], |program| read_up_to(program, 64)).await;
        }
    });
}

#[test]
fn a_terminal_talks_both_ways_and_hangs_up() {
    run(|| async {
        let (emulator, program) = terminal();
        let emulator = AsyncFd::from_fd(emulator).unwrap();
        let program = AsyncFd::from_fd(program).unwrap();
        for i in 0..20 {
            let question = format!("question {i}\n");
            emulator
                .async_io(WRITE, |mut emulator| emulator.write(question.as_bytes()))
                .await
                .unwrap();
            read_exactly(&emulator, format!("question {i}\r\n").as_bytes()).await;
            read_exactly(&program, question.as_bytes()).await;
            program
                .async_io(WRITE, |mut program| program.write(b"answer\n"))
                .await
                .unwrap();
            read_exactly(&emulator, b"answer\r\n").await;
        }
        drop(program);
        settle().await;
        assert!(emulator.closed().await.unwrap().is_read_closed());
        let error = emulator
            .async_io(READ, |emulator| read_up_to(emulator, 64))
            .await
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    });
}
