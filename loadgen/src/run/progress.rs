//! The progress of a run: a live panel on a terminal, otherwise a plain line per second. It goes to
//! standard error, so that standard output holds only the report.
//!
//! Rate and latency are those since the last update, so that a change shows at once. The report has
//! those of the whole run. Only the bar has a colour, and none with `NO_COLOR`. `coordinator.rs`
//! calls it. Tests: `tests/progress.rs`.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::measure::clock::{Nanos, nanos, seconds};
use crate::measure::histogram::Recorder;
use crate::measure::units::{count, duration, metric};
use crate::run::control::Live;

/// The time between two plain lines, and between two updates of the panel.
const PLAIN_INTERVAL: Duration = Duration::from_secs(1);
const PANEL_INTERVAL: Duration = Duration::from_millis(200);
/// The maximum number of redraws per second. Each update sets four parts of the panel, and each of
/// them redraws it. With a lower limit, the last part would not be shown.
const DRAWS_PER_S: u8 = 60;

/// The progress display of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    sink: Sink,
    /// The time of the next update.
    next: Nanos,
    /// The time of the last update, and the number of answers at that time.
    last: Option<(Nanos, u64)>,
    /// Latencies since then.
    recent: Recorder,
}

#[derive(Debug)]
enum Sink {
    Nothing,
    Panel(ProgressBar),
    Plain,
}

/// The progress of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) warming: bool,
    /// The length of the run, in nanoseconds or in requests.
    pub(crate) done: u64,
    pub(crate) total: u64,
}

impl Progress {
    /// Makes the display for this process's standard error. With `quiet` it shows nothing.
    pub(crate) fn new(quiet: bool) -> Self {
        let sink = if quiet {
            Sink::Nothing
        } else if std::io::stderr().is_terminal() {
            Sink::Panel(panel())
        } else {
            Sink::Plain
        };
        Self {
            sink,
            next: 0,
            last: None,
            recent: Recorder::new(),
        }
    }

    /// Adds latencies to the next update.
    pub(crate) fn latencies(&mut self, more: &Recorder) {
        if !matches!(self.sink, Sink::Nothing) {
            self.recent.merge(more);
        }
    }

    /// Shows the number of open connections.
    pub(crate) fn ramp(&mut self, now: Nanos, shards: &[Live], requested: u32) {
        // The first rate of the load counts from the end of the ramp.
        let answers = shards.iter().map(|shard| shard.answers).sum();
        self.last = Some((now, answers));
        if now < self.next {
            return;
        }
        let connected: u64 = shards.iter().map(|shard| u64::from(shard.connected)).sum();
        let text = format!(
            "{} of {} connections",
            count(connected),
            count(requested.into())
        );
        self.show(now, "connecting", (connected, requested.into()), &[text]);
    }

    /// Shows the progress of the load.
    pub(crate) fn run(&mut self, now: Nanos, shards: &[Live], extent: Extent) {
        let answers: u64 = shards.iter().map(|shard| shard.answers).sum();
        if matches!(self.sink, Sink::Nothing) || now < self.next {
            return;
        }
        let live: u64 = shards.iter().map(|shard| u64::from(shard.live)).sum();
        let errors: u64 = shards.iter().map(|shard| shard.errors).sum();
        let rate = self.rate(now, answers);
        let mut texts = vec![format!(
            "{} requests/s, {} live, {} errors",
            metric(rate),
            count(live),
            count(errors)
        )];
        let recent = std::mem::take(&mut self.recent);
        if recent.count() > 0 {
            texts.push(format!(
                "p50 {}, p99 {}, max {}",
                duration(recent.quantile(0.5)),
                duration(recent.quantile(0.99)),
                duration(recent.max())
            ));
        }
        let what = if extent.warming {
            "warming up"
        } else {
            "measuring"
        };
        self.show(now, what, (extent.done, extent.total), &texts);
    }

    /// Clears the panel.
    pub(crate) fn end(&mut self) {
        if let Sink::Panel(panel) = &self.sink {
            panel.finish_and_clear();
        }
        self.sink = Sink::Nothing;
    }

    /// Returns the rate since the last update.
    #[expect(clippy::cast_precision_loss, reason = "five digits are shown")]
    fn rate(&mut self, now: Nanos, answers: u64) -> f64 {
        match self.last.replace((now, answers)) {
            Some((then, before)) if now > then => {
                answers.saturating_sub(before) as f64 / seconds(now - then)
            }
            _ => 0.0,
        }
    }

    fn show(
        &mut self,
        now: Nanos,
        what: &'static str,
        (done, total): (u64, u64),
        texts: &[String],
    ) {
        let interval = match &self.sink {
            Sink::Nothing => return,
            Sink::Panel(panel) => {
                panel.set_length(total);
                panel.set_position(done);
                panel.set_prefix(what);
                panel.set_message(texts.join("\n  "));
                PANEL_INTERVAL
            }
            Sink::Plain => {
                crate::console::remark(format_args!(
                    "  {:>5.1}s {what}: {}",
                    seconds(now),
                    texts.join(", ")
                ));
                PLAIN_INTERVAL
            }
        };
        self.next = now + nanos(interval);
    }
}

fn panel() -> ProgressBar {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let template = if plain {
        "{spinner} {prefix:10} [{bar:40}] {percent:>3}%\n  {msg}"
    } else {
        "{spinner:.cyan} {prefix:10} [{bar:40.cyan}] {percent:>3}%\n  {msg}"
    };
    let style = ProgressStyle::with_template(template)
        .expect("the template is valid")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S))
        .with_style(style)
}
