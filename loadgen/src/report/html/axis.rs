//! Axes: the positions and labels of values. Pure. Tests: at the end of this file.

use crate::measure::units::short_duration;

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// A linear scale.
    Linear,
    /// A logarithmic scale.
    Log,
    /// A scale for percentiles: 90%, 99% and 99.9% have equal distances.
    Tail,
}

/// One axis: its range, name and tick labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    pub(super) scale: Scale,
    low: f64,
    high: f64,
    label: fn(f64) -> String,
}

impl Axis {
    /// Makes a linear axis from zero to a round value above `largest`.
    pub(super) fn linear(name: &'static str, largest: f64, label: fn(f64) -> String) -> Self {
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let step = round_step(largest / 4.0);
        Self {
            name,
            scale: Scale::Linear,
            low: 0.0,
            high: (largest / step - 1e-9).ceil() * step,
            label,
        }
    }

    /// Makes a linear axis from zero to exactly `end`, for example for time.
    pub(super) fn until(name: &'static str, end: f64, label: fn(f64) -> String) -> Self {
        Self {
            name,
            scale: Scale::Linear,
            low: 0.0,
            high: if end > 0.0 { end } else { 1.0 },
            label,
        }
    }

    /// Makes a logarithmic axis around these positive values. Both ends are 1, 2 or 5 times a power
    /// of ten.
    pub(super) fn log(
        name: &'static str,
        values: impl Iterator<Item = f64>,
        label: fn(f64) -> String,
    ) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high <= 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let below = steps_125(low / 5.0, low).last().unwrap_or(low);
        let above = steps_125(high, high * 5.0)
            .find(|step| *step > below * 1.5)
            .unwrap_or(high);
        Self {
            name,
            scale: Scale::Log,
            low: below,
            high: above,
            label,
        }
    }

    /// Makes a logarithmic axis for these latencies in nanoseconds.
    pub(super) fn latency(values: impl Iterator<Item = f64>) -> Self {
        Self::log("latency, log scale", values, short_duration)
    }

    /// Makes a logarithmic axis from one positive value to another.
    pub(super) fn between(
        name: &'static str,
        low: f64,
        high: f64,
        label: fn(f64) -> String,
    ) -> Self {
        Self {
            name,
            scale: Scale::Log,
            low,
            high,
            label,
        }
    }

    /// Makes an axis of percentiles, from none to all but one of `count` values.
    #[expect(clippy::cast_precision_loss, reason = "a position on a plot")]
    pub(super) fn tail(name: &'static str, count: u64) -> Self {
        let decades = (count.max(100) as f64).log10();
        Self {
            name,
            scale: Scale::Tail,
            low: 0.0,
            high: 1.0 - 10_f64.powf(-decades),
            label: share,
        }
    }

    /// Returns the position of a value, from 0 at the beginning of the axis to 1 at its end. A
    /// value outside is placed at the nearer end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let at = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Tail => -(1.0 - value).max(1e-15).log10(),
        };
        let (low, high) = (at(self.low), at(self.high));
        ((at(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Returns the ticks: values with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / 8.0);
                multiples(0.0, step, self.high)
            }
            Scale::Log if self.high / self.low < 4.0 => {
                let step = round_step((self.high - self.low) / 8.0);
                multiples((self.low / step - 1e-9).ceil() * step, step, self.high)
            }
            Scale::Log if (self.high / self.low).log10() > 3.5 => {
                steps_125(self.low, self.high).filter(is_decade).collect()
            }
            Scale::Log => steps_125(self.low, self.high).collect(),
            Scale::Tail => {
                let nines = (1..=15).map(|nines| 1.0 - 10_f64.powi(-nines));
                let all = [0.0, 0.5].into_iter().chain(nines);
                all.take_while(|share| *share <= self.high + 1e-12)
                    .collect()
            }
        };
        let label = |value: f64| (value, (self.label)(value));
        values.into_iter().map(label).collect()
    }
}

/// Writes a percentile such as `99.9%`, with as many digits as necessary.
fn share(share: f64) -> String {
    let text = format!("{:.10}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns the smallest number of the form 1, 2 or 5 times a power of ten that is not below
/// `value`.
fn round_step(at_least: f64) -> f64 {
    steps_125(at_least, at_least * 10.0)
        .next()
        .unwrap_or(at_least)
}

/// Returns the values from `first` up to `high`, in steps of `step`.
fn multiples(first: f64, step: f64, high: f64) -> Vec<f64> {
    let steps = (0..64).map(|steps| first + f64::from(steps) * step);
    steps
        .take_while(|value| *value <= high * (1.0 + 1e-9))
        .collect()
}

/// Returns the numbers of the form 1, 2 or 5 times a power of ten within these bounds, in rising
/// order.
fn steps_125(low: f64, high: f64) -> impl Iterator<Item = f64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the exponent of a float is below 400"
    )]
    let first = low.log10().floor() as i32;
    (first..first + 40)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
        .skip_while(move |step| *step < low * (1.0 - 1e-9))
        .take_while(move |step| *step <= high * (1.0 + 1e-9))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that filters take"
)]
fn is_decade(value: &f64) -> bool {
    let power = value.log10();
    (power - power.round()).abs() < 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: f64) -> String {
        format!("{value}")
    }

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_on_a_tick() {
        let axis = Axis::linear("", 87.0, plain);
        assert_eq!(
            labels(&axis),
            ["0", "20", "40", "60", "80", "100"].map(str::to_owned)
        );
        assert!((axis.position(50.0) - 0.5).abs() < 1e-9);
        assert!((axis.position(1e9) - 1.0).abs() < 1e-9);
        assert!(!labels(&Axis::linear("", 0.0, plain)).is_empty());
    }

    #[test]
    fn a_log_axis_holds_its_values_between_round_ones() {
        let axis = Axis::log("", [30.0, 0.0, 700.0].into_iter(), plain);
        assert_eq!(
            labels(&axis),
            ["20", "50", "100", "200", "500", "1000"].map(str::to_owned)
        );
        let (low, high) = (axis.position(30.0), axis.position(700.0));
        assert!(0.0 < low && low < high && high < 1.0);
        let wide = Axis::log("", [1.0, 1e9].into_iter(), plain);
        assert_eq!(labels(&wide).len(), 10, "decades only");
        let near = Axis::between("", 0.93, 1.07, |ratio| format!("{ratio:.2}"));
        assert_eq!(
            labels(&near)[..3],
            ["0.94", "0.96", "0.98"].map(str::to_owned)
        );
        for values in [vec![], vec![7.0], vec![10.0]] {
            let axis = Axis::log("", values.into_iter(), plain);
            assert!(labels(&axis).len() >= 2, "{axis:?}");
            assert!(axis.position(7.0).is_finite());
        }
    }

    #[test]
    fn shares_are_spread_by_what_is_missing() {
        let axis = Axis::tail("", 10_000);
        assert_eq!(
            labels(&axis),
            ["0%", "50%", "90%", "99%", "99.9%", "99.99%"].map(str::to_owned)
        );
        assert!((axis.position(0.99) - 0.5).abs() < 1e-9);
        assert!((axis.position(1.0) - 1.0).abs() < 1e-9);
    }
}
