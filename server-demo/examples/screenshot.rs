//! Runs a program in a terminal and writes its screen as an SVG picture.
//!
//! `screenshot OUT LINES COLUMNS TIME PROGRAM [ARGUMENT...]` gives the program this time, in
//! seconds. `cargo xtask observe --picture` makes the picture of `server-demo top` with it.

#![forbid(unsafe_code)]

#[path = "../tests/common/terminal.rs"]
mod terminal;

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::thread;
use std::time::Duration;

use terminal::Terminal;

/// The size of a character, in the picture's units.
const WIDTH: f64 = 8.0;
const HEIGHT: u16 = 18;

/// The margin around the text.
const MARGIN: u16 = 10;

/// Characters in a row that look the same.
#[derive(Default, PartialEq, Clone)]
struct Style {
    color: &'static str,
    bold: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [out, lines, columns, time, program, arguments @ ..] = &arguments[..] else {
        return Err("usage: screenshot OUT LINES COLUMNS TIME PROGRAM [ARGUMENT...]".into());
    };
    let (lines, columns) = (lines.parse()?, columns.parse()?);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let terminal = Terminal::start(program, &arguments, lines, columns);
    thread::sleep(Duration::from_secs_f64(time.parse()?));
    let picture = terminal.look(|screen| svg(screen, lines, columns));
    fs::write(out, picture)?;
    Ok(())
}

/// Draws the screen. The text has no empty line, so that it can be part of a Markdown page.
fn svg(screen: &vt100::Screen, lines: u16, columns: u16) -> String {
    let width = f64::from(columns) * WIDTH + f64::from(2 * MARGIN);
    let height = lines * HEIGHT + 2 * MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"monospace\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#1b1e24\"/>\n"
    );
    for line in 0..lines {
        let mut column = 0;
        while column < columns {
            let (style, run) = run(screen, line, column, columns);
            draw(&mut text, &style, &run, line, column);
            column += u16::try_from(run.chars().count()).expect("a part of a line");
        }
    }
    text.push_str("</svg>\n");
    text
}

/// Returns the longest run of characters of one style.
fn run(screen: &vt100::Screen, line: u16, from: u16, columns: u16) -> (Style, String) {
    let style_at = |column| screen.cell(line, column).map(style).unwrap_or_default();
    let first = style_at(from);
    let run = (from..columns)
        .take_while(|&column| style_at(column) == first)
        .map(|column| {
            let cell = screen.cell(line, column);
            cell.and_then(|cell| cell.contents().chars().next())
                .unwrap_or(' ')
        });
    (first.clone(), run.collect())
}

fn style(cell: &vt100::Cell) -> Style {
    let color = match cell.fgcolor() {
        vt100::Color::Idx(1 | 9) => "#ff6b6b",
        vt100::Color::Idx(3 | 11) => "#ffd166",
        _ => "#d7dae0",
    };
    Style {
        color,
        bold: cell.bold(),
    }
}

fn draw(text: &mut String, style: &Style, run: &str, line: u16, column: u16) {
    let shown = run.trim_end();
    let skipped = shown.chars().take_while(|char| *char == ' ').count();
    let shown = shown.trim_start();
    if shown.is_empty() {
        return;
    }
    let column = f64::from(column) + f64::from(u32::try_from(skipped).unwrap_or(0));
    let x = f64::from(MARGIN) + column * WIDTH;
    let y = MARGIN + line * HEIGHT + HEIGHT - 5;
    let length = f64::from(u32::try_from(shown.chars().count()).unwrap_or(0)) * WIDTH;
    let weight = if style.bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let escaped = shown
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let color = style.color;
    let _ = writeln!(
        text,
        "<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\" xml:space=\"preserve\" \
         fill=\"{color}\"{weight}>{escaped}</text>"
    );
}
