//! `server-demo top`: a live view of a reactor, read from the endpoint of `asyncfd::observe`.
//!
//! `fetch.rs` asks the endpoint, `sample.rs` reads its answers, `rates.rs` compares two samples,
//! and `view.rs` draws. None of it is part of the server: any program with the endpoint can be
//! watched. Tests: `tests/observe.rs` of this package.

mod fetch;
mod rates;
mod sample;
mod view;

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use asyncfd::observe::Address;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};

use rates::Rates;
use sample::Sample;
use server_demo::units::parse_duration;
use view::{StyledLine, Tone};

/// The flags of the view.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// Address or socket path of the endpoint (`--observe` of a server)
    #[arg(value_name = "ADDR|PATH")]
    address: Address,

    /// Time between two samples
    #[arg(long, value_name = "D", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,

    /// Print one frame as text, after two samples, and exit
    #[arg(long)]
    once: bool,

    /// Width of the frame of --once, in columns
    #[arg(long, value_name = "N", default_value_t = 120, requires = "once")]
    columns: usize,

    /// Height of the frame of --once, in lines
    #[arg(long, value_name = "N", default_value_t = 30, requires = "once")]
    lines: usize,
}

/// Shows the view until the user ends it with q, Escape or Ctrl-C.
///
/// # Errors
///
/// Returns the error of the first sample, or of the terminal. A later sample that fails is shown in
/// the view.
pub(crate) fn run(flags: &Top) -> io::Result<()> {
    let first = sample(&flags.address)?;
    if flags.once {
        thread::sleep(flags.interval);
        let second = sample(&flags.address)?;
        let rates = Rates::between(&first, &second);
        let frame = view::frame(&rates, &flags.address, None, flags.columns, flags.lines);
        return frame
            .iter()
            .try_for_each(|line| writeln!(io::stdout(), "{}", line.text));
    }
    let screen = Screen::enter()?;
    let shown = show(flags, first);
    drop(screen);
    shown
}

/// The terminal in the state that the view needs, until this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

fn draw(frame: &[StyledLine]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (row, line) in (0..).zip(frame) {
        queue!(out, MoveTo(0, row))?;
        match line.tone {
            Tone::Plain => {}
            Tone::Heading => queue!(out, SetAttribute(Attribute::Bold))?,
            Tone::Hot => queue!(out, SetForegroundColor(Color::Yellow))?,
            Tone::Alarm => queue!(out, SetForegroundColor(Color::Red))?,
        }
        queue!(
            out,
            Print(&line.text),
            SetAttribute(Attribute::Reset),
            ResetColor,
            Clear(ClearType::UntilNewLine)
        )?;
    }
    queue!(out, Clear(ClearType::FromCursorDown))?;
    out.flush()
}

fn sample(address: &Address) -> io::Result<Sample> {
    let shards = fetch::json(address, "/shards")?;
    let tasks = fetch::json(address, "/tasks?limit=50")?;
    Sample::read(&shards, &tasks)
}

fn show(flags: &Top, first: Sample) -> io::Result<()> {
    let mut before = first;
    let mut failure = None;
    let mut rates = Rates::between(&before, &before);
    loop {
        let (columns, lines) = terminal::size()?;
        let (columns, lines) = (usize::from(columns), usize::from(lines));
        draw(&view::frame(
            &rates,
            &flags.address,
            failure.as_ref(),
            columns,
            lines,
        ))?;
        if has_quit(flags.interval)? {
            return Ok(());
        }
        match sample(&flags.address) {
            Ok(now) => {
                rates = Rates::between(&before, &now);
                before = now;
                failure = None;
            }
            Err(error) => failure = Some(error),
        }
    }
}

/// Waits for the next sample. Returns true if the user ends the view.
fn has_quit(interval: Duration) -> io::Result<bool> {
    let start = std::time::Instant::now();
    loop {
        let left = interval.saturating_sub(start.elapsed());
        if !event::poll(left)? {
            return Ok(false);
        }
        let Event::Key(key) = event::read()? else {
            // A resize: draw again.
            return Ok(false);
        };
        let is_interrupt =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        let is_quit = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || is_interrupt;
        if is_quit && key.kind == KeyEventKind::Press {
            return Ok(true);
        }
    }
}
