//! Progress during a run: a panel on a terminal, otherwise lines. The program `script` provides the
//! terminal.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{run, wait_until};

/// The program in a terminal of its own.
struct InTerminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Arc<Mutex<String>>,
    reader: thread::JoinHandle<()>,
}

impl InTerminal {
    fn start(args: &str, environment: &[(&str, &str)]) -> Self {
        let program = env!("CARGO_BIN_EXE_loadgen");
        let mut child = Command::new("script")
            // Its exit code goes to the screen. The interrupt must not end the shell.
            .args([
                "-q",
                "-c",
                &format!("trap : INT; {program} {args}; echo code $?"),
                "/dev/null",
            ])
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is part of every Debian");
        let keyboard = child.stdin.take();
        let mut output = child.stdout.take().expect("piped");
        let screen = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&screen);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                seen.lock()
                    .expect("no panic while it is held")
                    .push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self {
            child,
            keyboard,
            screen,
            reader,
        }
    }

    fn screen(&self) -> String {
        self.screen
            .lock()
            .expect("no panic while it is held")
            .clone()
    }

    /// Returns the whole output, with the exit code last.
    fn finish(mut self) -> String {
        wait_until("the end", || {
            self.child.try_wait().expect("our child").is_some()
        });
        drop(self.keyboard.take());
        let screen = Arc::clone(&self.screen);
        self.reader.join().expect("the reader");
        let shown = screen.lock().expect("no panic while it is held");
        shown.clone()
    }
}

/// The escape sequence that selects a colour.
const CYAN: &str = "\u{1b}[36m";

/// Runs until the panel shows everything, then presses the interrupt key.
fn interrupted(environment: &[(&str, &str)]) -> String {
    let mut run = InTerminal::start("-c 20 -d 50 --warmup 0", environment);
    wait_until("the panel", || {
        let screen = run.screen();
        let words = [
            "measuring",
            "requests/s, 20 live, 0 errors",
            "p50 ",
            "p99 ",
            "max ",
        ];
        words.iter().all(|words| screen.contains(words))
    });
    let keyboard = run.keyboard.as_mut().expect("piped");
    keyboard.write_all(b"\x03").expect("it listens");
    run.finish()
}

#[test]
fn a_terminal_shows_a_panel_and_the_interrupt_key_gives_the_partial_report() {
    let screen = interrupted(&[]);
    assert!(
        screen.contains(CYAN) && screen.contains("code 130"),
        "{screen}"
    );
    let report = screen.find("Latency Distribution").expect("the report");
    let report = &screen[report..];
    assert!(!report.contains("measuring"), "the panel is gone: {report}");
    let words = "Interrupted: the figures are those of the part that ran";
    assert!(
        report.contains(words) && report.contains("Requests/sec:"),
        "{report}"
    );
}

#[test]
fn no_color_is_honoured() {
    let screen = interrupted(&[("NO_COLOR", "1")]);
    assert!(!screen.contains(CYAN), "{screen}");
}

#[test]
fn elsewhere_there_are_plain_lines_or_none() {
    let lines = run("-c 20 -d 2 --warmup 0").expect_code(0).stderr;
    assert!(lines.contains("connecting: "), "{lines}");
    assert!(!lines.contains('\u{1b}'), "{lines}");
    assert_eq!(run("-c 20 -n 500 --quiet").expect_code(0).stderr, "");
}

#[test]
fn progress_that_nobody_can_read_does_not_end_the_run() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("there");
    let run = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["-c", "4", "-n", "500"])
        .stderr(full)
        .output()
        .expect("it starts");
    assert_eq!(run.status.code(), Some(0));
    let report = String::from_utf8(run.stdout).expect("text");
    assert!(report.contains("Requests/sec:"), "{report}");
}
