//! What a person sees while a run goes on: one live line on a terminal, a plain line per second elsewhere. On standard error,
//! so that standard output holds the report alone.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::{Nanos, nanos, seconds};
use crate::control::Live;
use crate::report::units::{count, metric};

/// Time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(1);

/// Shows how a run goes.
#[derive(Debug)]
pub(crate) struct Progress {
    sink: Sink,
    last: Option<(Nanos, u64)>,
}

#[derive(Debug)]
enum Sink {
    Nothing,
    Terminal(ProgressBar),
    Plain { next: Nanos },
}

impl Progress {
    /// For this process's standard error; `quiet` shows nothing.
    pub(crate) fn new(quiet: bool) -> Self {
        let sink = if quiet {
            Sink::Nothing
        } else if std::io::stderr().is_terminal() {
            Sink::Terminal(bar())
        } else {
            Sink::Plain { next: 0 }
        };
        Self { sink, last: None }
    }

    /// Shows how many connections are open.
    pub(crate) fn ramp(&mut self, now: Nanos, shards: &[Live], requested: u32) {
        let connected: u64 = shards.iter().map(|shard| u64::from(shard.connected)).sum();
        let text = format!(
            "connecting: {} of {} connections",
            count(connected),
            count(requested.into())
        );
        self.show(now, u64::from(requested), connected, &text);
    }

    /// Shows how the load goes; `done` of `total` is the progress.
    pub(crate) fn run(
        &mut self,
        now: Nanos,
        shards: &[Live],
        warming: bool,
        done: u64,
        total: u64,
    ) {
        let answers: u64 = shards.iter().map(|shard| shard.answers).sum();
        let live: u64 = shards.iter().map(|shard| u64::from(shard.live)).sum();
        let errors: u64 = shards.iter().map(|shard| shard.errors).sum();
        if !self.due(now) {
            return;
        }
        let Some(rate) = self.rate(now, answers) else {
            return;
        };
        let what = if warming { "warming up" } else { "measuring" };
        let text = format!(
            "{what}: {} requests/s, {} live, {} errors",
            metric(rate),
            count(live),
            count(errors)
        );
        self.show(now, total, done, &text);
    }

    /// Clears the live line.
    pub(crate) fn end(&mut self) {
        if let Sink::Terminal(bar) = &self.sink {
            bar.finish_and_clear();
        }
        self.sink = Sink::Nothing;
    }

    fn due(&self, now: Nanos) -> bool {
        match self.sink {
            Sink::Nothing => false,
            Sink::Terminal(_) => true,
            Sink::Plain { next } => now >= next,
        }
    }

    /// The rate since the last call; the first one has nothing to compare with.
    #[expect(clippy::cast_precision_loss, reason = "five digits are shown")]
    fn rate(&mut self, now: Nanos, answers: u64) -> Option<f64> {
        let (then, before) = self.last.replace((now, answers))?;
        (now > then).then(|| answers.saturating_sub(before) as f64 / seconds(now - then))
    }

    fn show(&mut self, now: Nanos, total: u64, done: u64, text: &str) {
        match &mut self.sink {
            Sink::Terminal(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(text.to_owned());
            }
            Sink::Plain { next } if now >= *next => {
                *next = now + nanos(PLAIN_INTERVAL);
                eprintln!("  {:>5.1}s {text}", seconds(now));
            }
            Sink::Nothing | Sink::Plain { .. } => {}
        }
    }
}

fn bar() -> ProgressBar {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let template = if plain {
        "{spinner} [{bar:30}] {percent:>3}% {wide_msg}"
    } else {
        "{spinner:.cyan} [{bar:30.cyan}] {percent:>3}% {wide_msg}"
    };
    let style = ProgressStyle::with_template(template)
        .expect("the template is valid")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
}
