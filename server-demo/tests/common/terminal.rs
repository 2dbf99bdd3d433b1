//! A program in a terminal of its own: a pseudo-terminal, and an emulator that keeps the screen.

#![allow(dead_code, reason = "each program uses its part")]
#![allow(unreachable_pub, reason = "a module of test programs")]

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A running program, which is killed on drop, and its screen.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts a program in a new terminal of this size. `setsid` gives it the terminal, as a login
    /// does, so that it learns of new sizes.
    pub fn start(program: &str, arguments: &[&str], lines: u16, columns: u16) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        set_size(&near, lines, columns);
        let name = ptsname(&near, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let far = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", program])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .stdin(far.try_clone().unwrap())
            .stdout(far.try_clone().unwrap())
            .stderr(far)
            .spawn()
            .expect("setsid (Debian: util-linux)");
        let near = File::from(near);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(
            size(lines),
            size(columns),
            0,
        )));
        let (mut output, theirs) = (near.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The program's end is an error here.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                theirs.lock().unwrap().process(&bytes[..read]);
            }
        });
        Self {
            child,
            keyboard: near,
            screen,
        }
    }

    /// Returns the text on the screen.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Calls `look` with the screen.
    pub fn look<R>(&self, look: impl FnOnce(&vt100::Screen) -> R) -> R {
        look(self.screen.lock().unwrap().screen())
    }

    /// Waits until the text on the screen is as described.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        self.wait_until(what, |screen| is_so(&screen.contents()));
        self.text()
    }

    /// Waits until the screen is as described.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let start = Instant::now();
        while !self.look(&is_so) {
            let text = self.text();
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "no {what} on\n{text}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Changes the size, as a user does who drags the window's corner.
    pub fn resize(&self, lines: u16, columns: u16) {
        let mut screen = self.screen.lock().unwrap();
        screen.screen_mut().set_size(size(lines), size(columns));
        set_size(&self.keyboard, lines, columns);
    }

    /// Waits for the end of the program.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it runs on: {}",
                self.text()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal has lines and columns")
}

fn set_size(terminal: impl std::os::fd::AsFd, lines: u16, columns: u16) {
    let size = Winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}
