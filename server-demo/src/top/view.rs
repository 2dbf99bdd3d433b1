//! The frame of the view, as lines of text: shards side by side, the slowest tasks, and stalls.

use std::io;

use asyncfd::observe::Address;

use super::rates::{Rates, ShardRates};
use super::sample::Task;

/// The width of a bar of busy time, in characters.
const BAR: usize = 10;

/// A shard above this part of busy time is drawn as hot.
const HOT: f64 = 0.9;

/// A poll that lasts this long, in seconds, is listed as a stall.
const STALL_SECONDS: f64 = 0.05;

/// The columns of the table of shards: heading and width.
const SHARD_COLUMNS: [(&str, usize); 12] = [
    ("shard", 5),
    ("cpu", 4),
    ("busy", 15),
    ("queue", 6),
    ("conns", 7),
    ("tasks", 7),
    ("events/s", 9),
    ("polls/s", 9),
    ("steals/s", 9),
    ("moves/s", 8),
    ("p99 wake", 9),
    ("stalls", 6),
];

/// The columns of the table of tasks. The last one takes the rest of the line.
const TASK_COLUMNS: [(&str, usize); 9] = [
    ("task", 8),
    ("shard", 5),
    ("state", 7),
    ("poll now", 8),
    ("busy", 8),
    ("polls", 8),
    ("waits for", 24),
    ("spawned at", 30),
    ("name", usize::MAX),
];

/// The most lines of stalls.
const STALLS_MAX: usize = 5;

/// A line of the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StyledLine {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// The importance of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Hot,
    Alarm,
}

fn line(text: String, tone: Tone) -> StyledLine {
    StyledLine { text, tone }
}

/// Returns one frame of at most this many columns and lines. Tasks are left out first.
pub(super) fn frame(
    rates: &Rates,
    address: &Address,
    failure: Option<&io::Error>,
    columns: usize,
    lines: usize,
) -> Vec<StyledLine> {
    let mut frame = vec![match failure {
        Some(error) => line(format!("no answer: {error}"), Tone::Alarm),
        None => line(head(rates, address), Tone::Heading),
    }];
    frame.push(line(String::new(), Tone::Plain));
    frame.push(line(
        row(&SHARD_COLUMNS, SHARD_COLUMNS.map(|c| c.0.to_owned())),
        Tone::Heading,
    ));
    frame.extend(
        rates
            .shards
            .iter()
            .enumerate()
            .map(|(index, shard)| shard_line(index, shard)),
    );
    frame.push(line(String::new(), Tone::Plain));
    let stalls = stalls(rates);
    let room = lines.saturating_sub(frame.len() + stalls.len().min(STALLS_MAX) + 3);
    frame.push(line(
        row(&TASK_COLUMNS, TASK_COLUMNS.map(|c| c.0.to_owned())),
        Tone::Heading,
    ));
    frame.extend(rates.tasks.iter().take(room).map(task_line));
    frame.push(line(String::new(), Tone::Plain));
    frame.push(line("stalls".to_owned(), Tone::Heading));
    frame.extend(stalls.into_iter().take(STALLS_MAX));
    frame.truncate(lines);
    for line in &mut frame {
        line.text = line.text.trim_end().chars().take(columns).collect();
    }
    frame
}

fn head(rates: &Rates, address: &Address) -> String {
    let (shards, tasks) = (rates.shards.len(), rates.tasks_total);
    format!("{address}   {shards} shards   {tasks} tasks")
}

/// Joins cells to a line, each cut or filled to the width of its column.
fn row<const N: usize>(columns: &[(&str, usize); N], cells: [String; N]) -> String {
    let cell = |(cell, (_, width)): (String, &(&str, usize))| {
        if *width == usize::MAX {
            return cell;
        }
        let cut: String = cell.chars().take(*width).collect();
        format!("{cut:<width$}")
    };
    let cells: Vec<String> = cells.into_iter().zip(columns).map(cell).collect();
    cells.join(" ")
}

fn shard_line(index: usize, shard: &ShardRates) -> StyledLine {
    let cells = [
        index.to_string(),
        shard.cpu.map_or_else(none, |cpu| cpu.to_string()),
        bar(shard.busy),
        shard.queue.to_string(),
        shard.connections.to_string(),
        shard.tasks.to_string(),
        count(shard.events),
        count(shard.polls),
        count(shard.steals),
        count(shard.moves),
        shard.p99_wake.map_or_else(none, duration),
        shard.stalls.to_string(),
    ];
    let tone = if shard.new_stalls > 0 {
        Tone::Alarm
    } else if shard.busy > HOT {
        Tone::Hot
    } else {
        Tone::Plain
    };
    line(row(&SHARD_COLUMNS, cells), tone)
}

fn task_line(task: &Task) -> StyledLine {
    let cells = [
        task.id.to_string(),
        task.shard.to_string(),
        task.state.clone(),
        task.current_poll.map_or_else(none, duration),
        duration(task.busy_seconds),
        task.polls.to_string(),
        task.waits_for.clone(),
        short_path(&task.spawned_at),
        short(&task.name),
    ];
    let tone = if is_stalled(task) {
        Tone::Alarm
    } else {
        Tone::Plain
    };
    line(row(&TASK_COLUMNS, cells), tone)
}

fn none() -> String {
    "-".to_owned()
}

fn is_stalled(task: &Task) -> bool {
    task.current_poll
        .is_some_and(|seconds| seconds >= STALL_SECONDS)
}

/// Returns a line for each task that blocks its shard now, and for each shard that had stalls
/// since the last sample.
fn stalls(rates: &Rates) -> Vec<StyledLine> {
    let now = rates
        .tasks
        .iter()
        .filter(|task| is_stalled(task))
        .map(|task| {
            let lasted = duration(task.current_poll.unwrap_or_default());
            let (id, shard, name) = (task.id, task.shard, short(&task.name));
            format!(
                "shard {shard}: in one poll for {lasted}: task {id}, {name}, {}",
                task.spawned_at
            )
        });
    let since = rates
        .shards
        .iter()
        .enumerate()
        .filter(|(_, shard)| shard.new_stalls > 0);
    let since = since.map(|(index, shard)| {
        format!(
            "shard {index}: {} stalls since the last sample",
            shard.new_stalls
        )
    });
    let lines: Vec<_> = now
        .chain(since)
        .map(|text| line(text, Tone::Alarm))
        .collect();
    if lines.is_empty() {
        return vec![line("none".to_owned(), Tone::Plain)];
    }
    lines
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of the bar's few characters"
)]
fn bar(part: f64) -> String {
    let full = ((part * 10.0).round() as usize).min(BAR);
    format!(
        "{}{} {:>3.0}%",
        "█".repeat(full),
        "░".repeat(BAR - full),
        part * 100.0
    )
}

fn count(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s.is_infinite() => ">8s".to_owned(),
        s if s >= 1.0 => format!("{s:.1}s"),
        s if s >= 1e-3 => format!("{:.1}ms", s * 1e3),
        s => format!("{:.0}us", s * 1e6),
    }
}

/// Drops the paths of a type's name, and generic arguments: they make names too long to read.
fn short(name: &str) -> String {
    let name = name.split('<').next().unwrap_or(name);
    let parts: Vec<_> = name
        .split("::")
        .filter(|part| *part != "{{closure}}")
        .collect();
    let from = parts.len().saturating_sub(3);
    parts[from..].join("::")
}

/// Drops all but the last folder of a path.
fn short_path(path: &str) -> String {
    let parts: Vec<_> = path.rsplitn(3, '/').collect();
    let last: Vec<_> = parts.iter().take(2).rev().copied().collect();
    last.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_short() {
        let name = "asyncfd::serve::connection::Serving<server_demo::X>::run::{{closure}}";
        assert_eq!(short(name), "serve::connection::Serving");
        assert_eq!(short("app::serve::{{closure}}"), "app::serve");
        assert_eq!(
            short_path("asyncfd/src/serve/connection.rs:98:9"),
            "serve/connection.rs:98:9"
        );
        assert_eq!(duration(0.000_5), "500us");
        assert_eq!(count(123_456.0), "123k");
        assert_eq!(bar(0.5), "█████░░░░░  50%");
    }

    #[test]
    fn a_frame_shows_shards_tasks_and_stalls() {
        let rates = Rates {
            shards: vec![
                ShardRates {
                    busy: 1.0,
                    connections: 12,
                    stalls: 3,
                    new_stalls: 1,
                    ..ShardRates::default()
                },
                ShardRates {
                    events: 54_321.0,
                    p99_wake: Some(0.000_016),
                    ..ShardRates::default()
                },
            ],
            tasks: vec![Task {
                id: 4711,
                name: "ticker".to_owned(),
                current_poll: Some(0.25),
                ..Task::default()
            }],
            tasks_total: 40,
        };
        let address = Address::Unix("./x.sock".into());
        let frame = frame(&rates, &address, None, 120, 20);
        let text: Vec<_> = frame.iter().map(|line| line.text.as_str()).collect();
        let text = text.join("\n");
        for word in [
            "./x.sock   2 shards   40 tasks",
            "██████████ 100%",
            "54k",
            "16us",
            "4711",
            "in one poll for 250.0ms: task 4711, ticker",
            "shard 0: 1 stalls since the last sample",
        ] {
            assert!(text.contains(word), "{word} in\n{text}");
        }
        assert!(frame.len() <= 20 && frame.iter().all(|line| line.text.chars().count() <= 120));
        let hot = frame.iter().find(|line| line.text.contains("100%"));
        assert_eq!(hot.map(|line| line.tone), Some(Tone::Alarm), "it stalled");
    }
}
