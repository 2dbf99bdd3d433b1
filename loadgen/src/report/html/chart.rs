//! Plots as SVG, with the colours of the page. Each plot is drawn twice, for wide and for narrow
//! screens, because the text of a single drawing would shrink on a narrow screen.
//!
//! A figure has a title and a description for readers who cannot see it, and a legend outside the
//! picture. Lines have different dashes as well as different colours.

use std::fmt::Write as _;

use super::axis::Axis;
use super::page::escape;

/// The two drawings of a figure: class, width, height.
const SIZES: [(&str, f64, f64); 2] = [("wide", 880.0, 330.0), ("narrow", 380.0, 300.0)];
/// The margins of the plot, for labels.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;
/// The approximate width of a character of a label, and the minimum space between two labels.
const CHARACTER: f64 = 7.0;
const APART: f64 = 8.0;

/// Appends to a string.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        write!($out, $($arg)*).expect("writing to a string does not fail")
    };
}

/// The points, from left to right. The line is broken at a missing point.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// True if the line is a reference and not data.
    pub(super) reference: bool,
}

impl Line {
    /// A line of data.
    pub(super) fn new(name: &str, points: Vec<(f64, Option<f64>)>) -> Self {
        Self {
            name: name.to_owned(),
            points,
            reference: false,
        }
    }

    /// A straight line to compare the data with.
    pub(super) fn reference(name: &str, points: [(f64, f64); 2]) -> Self {
        Self {
            reference: true,
            ..Self::new(name, points.map(|(at, value)| (at, Some(value))).to_vec())
        }
    }

    /// The values that are there.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().filter_map(|(_, value)| *value)
    }

    /// The largest value; zero without values.
    pub(super) fn largest(&self) -> f64 {
        self.values().fold(0.0, f64::max)
    }
}

/// A ratio B/A with its interval: a row of [`ratios`].
#[derive(Debug, Clone)]
pub struct Ratio {
    /// The name of the metric.
    pub name: String,
    /// The estimate, and the lower and upper end of its interval.
    pub estimate: [f64; 3],
    /// The verdict.
    pub tone: Tone,
}

/// The verdict on a ratio, which determines its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// B is better.
    Better,
    /// B is worse.
    Worse,
    /// No difference is shown.
    Same,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
        }
    }
}

/// A figure.
#[derive(Debug)]
pub(super) struct Chart {
    /// The id, which is unique in the page.
    pub(super) id: &'static str,
    pub(super) title: String,
    /// The description, in a sentence or two.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// True for bars from zero instead of lines.
    pub(super) bars: bool,
}

impl Chart {
    /// Draws the figure with its legend.
    pub(super) fn render(&self) -> String {
        let drawings = SIZES.map(|size| self.draw(size)).concat();
        figure(&self.title, &drawings, &self.legend())
    }

    fn legend(&self) -> String {
        if self.lines.len() < 2 {
            return String::new();
        }
        let mut out = r#"<ul class="legend">"#.to_owned();
        for (at, line) in self.lines.iter().enumerate() {
            let (class, name) = (class(at, line.reference), escape(&line.name));
            put!(
                out,
                r#"<li><svg width="30" height="10" aria-hidden="true"><path class="{class}" d="M1 5H29"/></svg>{name}</li>"#
            );
        }
        out + "</ul>"
    }

    fn draw(&self, (size, width, height): (&str, f64, f64)) -> String {
        let plane = Plane {
            width: width - LEFT - RIGHT,
            height: height - TOP - BOTTOM,
        };
        let (title, about) = (&self.title, &self.description);
        let mut out = svg_open(self.id, size, (width, height), title, about);
        plane.axes(&self.x, &self.y, &mut out);
        for (at, line) in self.lines.iter().enumerate() {
            let (class, path) = if self.bars {
                ("bars", plane.bars(&self.x, &self.y, &line.points))
            } else {
                let path = plane.path(&self.x, &self.y, &line.points);
                (class(at, line.reference), path)
            };
            put!(out, r#"<path class="{class}" d="{path}"/>"#);
        }
        out + "</svg>"
    }
}

/// Draws ratios with their intervals around a line at one. `id` is unique in the page.
#[must_use]
pub fn ratios(id: &str, title: &str, description: &str, rows: &[Ratio]) -> String {
    const ROW: f64 = 26.0;
    let ends = rows.iter().flat_map(|row| row.estimate).chain([0.98, 1.02]);
    let (mut low, mut high) = (1.0_f64, 1.0_f64);
    for end in ends {
        (low, high) = (low.min(end), high.max(end));
    }
    // If both sides are short, they have the same length, so that the eye finds the middle.
    let reach = high.max(1.0 / low);
    if reach < 4.0 {
        (low, high) = (1.0 / reach, reach);
    }
    let axis = Axis::between("B/A", low / 1.01, high * 1.01, |ratio| {
        let text = format!("{ratio:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    });
    let longest = rows.iter().map(|row| row.name.chars().count()).max();
    #[expect(clippy::cast_precision_loss, reason = "a short text")]
    let names = (longest.unwrap_or(0) as f64 * CHARACTER * 0.9 + 20.0).min(340.0);
    let mut drawings = String::new();
    for (size, width, _) in SIZES {
        let left = if size == "wide" { names } else { 14.0 };
        // On a narrow screen, the name of a row is above it.
        let row_height = if size == "wide" { ROW } else { 1.7 * ROW };
        #[expect(clippy::cast_precision_loss, reason = "few rows")]
        let height = TOP + rows.len() as f64 * row_height + BOTTOM;
        let plane_width = width - left - RIGHT;
        let x = |ratio: f64| left + plane_width * axis.position(ratio);
        drawings += &svg_open(id, size, (width, height), title, description);
        let floor = height - BOTTOM;
        verticals(&axis, x, floor, width, &mut drawings);
        let one = x(1.0);
        put!(
            drawings,
            r#"<path class="one" d="M{one:.1} {TOP}V{floor}"/>"#
        );
        let at = (width - RIGHT, height - 6.0);
        name(at, "ratio B/A, log scale", &mut drawings);
        for (row, top) in rows.iter().zip(std::iter::successors(Some(TOP), |top| {
            Some(top + row_height)
        })) {
            let middle = top + row_height - ROW / 2.0;
            let (above, below) = (middle - 5.0, middle + 5.0);
            let [estimate, from, to] = row.estimate.map(x);
            let (class, name) = (row.tone.class(), escape(&row.name));
            if size == "wide" {
                label((left - 12.0, middle + 4.0), "end", &name, &mut drawings);
            } else {
                let y = middle - 11.0;
                put!(drawings, r#"<text x="{left:.1}" y="{y:.1}">{name}</text>"#);
            }
            put!(
                drawings,
                r#"<path class="interval {class}" d="M{from:.1} {middle:.1}H{to:.1}M{from:.1} {above:.1}V{below:.1}M{to:.1} {above:.1}V{below:.1}"/><circle class="{class}" cx="{estimate:.1}" cy="{middle:.1}" r="4.5"/>"#
            );
        }
        drawings += "</svg>";
    }
    let legend = r#"<ul class="legend"><li><span class="dot better"></span>B is better</li><li><span class="dot worse"></span>B is worse</li><li><span class="dot same"></span>no difference shown</li></ul>"#;
    figure(title, &drawings, legend)
}

/// The area of a drawing between its axes.
#[derive(Clone, Copy)]
struct Plane {
    width: f64,
    height: f64,
}

impl Plane {
    fn x(self, axis: &Axis, value: f64) -> f64 {
        LEFT + self.width * axis.position(value)
    }

    fn y(self, axis: &Axis, value: f64) -> f64 {
        TOP + self.height * (1.0 - axis.position(value))
    }

    fn axes(self, x: &Axis, y: &Axis, out: &mut String) {
        let (right, floor) = (LEFT + self.width, TOP + self.height);
        let mut free_below = f64::INFINITY;
        for (value, text) in y.ticks() {
            let at = self.y(y, value);
            put!(out, r#"<path class="grid" d="M{LEFT} {at:.1}H{right}"/>"#);
            if at + 14.0 <= free_below {
                label((LEFT - 8.0, at + 4.0), "end", &text, out);
                free_below = at;
            }
        }
        verticals(x, |value| self.x(x, value), floor, right + RIGHT, out);
        put!(
            out,
            r#"<path class="axis" d="M{LEFT} {TOP}V{floor}H{right}"/>"#
        );
        put!(out, r#"<text class="name" x="4" y="14">{}</text>"#, y.name);
        name((right, floor + 38.0), x.name, out);
    }

    fn path(self, x: &Axis, y: &Axis, points: &[(f64, Option<f64>)]) -> String {
        let mut path = String::new();
        let mut pen_down = false;
        for &(at, value) in points {
            let Some(value) = value else {
                pen_down = false;
                continue;
            };
            let step = if pen_down { 'L' } else { 'M' };
            put!(path, "{step}{:.1} {:.1}", self.x(x, at), self.y(y, value));
            // A single point with a gap on both sides is a dot.
            if !pen_down {
                path.push_str("h.1");
            }
            pen_down = true;
        }
        path
    }

    fn bars(self, x: &Axis, y: &Axis, points: &[(f64, Option<f64>)]) -> String {
        let floor = TOP + self.height;
        let mut path = String::new();
        for &(at, value) in points {
            if let Some(value) = value.filter(|value| *value > 0.0) {
                put!(
                    path,
                    "M{:.1} {floor}V{:.1}",
                    self.x(x, at),
                    self.y(y, value)
                );
            }
        }
        path
    }
}

/// Draws the ticks of a horizontal axis, with the labels that have room before `end`.
fn verticals(axis: &Axis, x: impl Fn(f64) -> f64, floor: f64, end: f64, out: &mut String) {
    let mut free_from = 0.0;
    for (value, text) in axis.ticks() {
        let at = x(value);
        put!(out, r#"<path class="grid" d="M{at:.1} {TOP}V{floor}"/>"#);
        if text_fits(&text, at, &mut free_from, end) {
            label((at, floor + 18.0), "middle", &text, out);
        }
    }
}

/// Writes a text of which this part, the `middle` or the `end`, is at a point.
fn label((x, y): (f64, f64), part: &str, text: &str, out: &mut String) {
    put!(
        out,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{part}">{text}</text>"#
    );
}

/// Writes the name of an axis, which ends at a point.
fn name((x, y): (f64, f64), text: &str, out: &mut String) {
    put!(
        out,
        r#"<text class="name" x="{x:.1}" y="{y:.1}" text-anchor="end">{text}</text>"#
    );
}

/// Returns true if a centred label has room to the right of the last one, and reserves that room.
fn text_fits(label: &str, middle: f64, free_from: &mut f64, end: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a short text")]
    let half = label.chars().count() as f64 * CHARACTER / 2.0;
    let fits = !label.is_empty() && middle - half >= *free_from && middle + half <= end + 4.0;
    if fits {
        *free_from = middle + half + APART;
    }
    fits
}

fn class(at: usize, reference: bool) -> &'static str {
    match at {
        _ if reference => "line reference",
        0 => "line s1",
        1 => "line s2",
        _ => "line s3",
    }
}

fn svg_open(
    id: &str,
    size: &str,
    (width, height): (f64, f64),
    title: &str,
    description: &str,
) -> String {
    format!(
        r#"<svg class="{size}" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{id}-{size}-t {id}-{size}-d"><title id="{id}-{size}-t">{}</title><desc id="{id}-{size}-d">{}</desc>"#,
        escape(title),
        escape(description)
    )
}

fn figure(title: &str, drawings: &str, legend: &str) -> String {
    format!(
        "<figure><figcaption>{}</figcaption>{legend}{drawings}</figure>\n",
        escape(title)
    )
}
