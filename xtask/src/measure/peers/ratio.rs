//! The ratio between two generators over paired rounds, and its interval.

use std::fmt;

use serde::Serialize;

/// Student's t for a 95% interval, from one degree of freedom on.
const STUDENT: [f64; 19] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
];

/// The geometric mean of the paired ratios, and Student's 95% interval of their logarithms.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ratio {
    ratio: f64,
    low: f64,
    high: f64,
}

impl Ratio {
    /// Returns the ratio of `values` to `base`; two pairs are the least.
    pub(crate) fn of(base: &[f64], values: &[f64]) -> Option<Self> {
        let logarithms: Vec<_> = base.iter().zip(values).map(|(a, b)| (b / a).ln()).collect();
        let degrees = logarithms.len().checked_sub(1).filter(|&all| all > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let (n, rest) = (logarithms.len() as f64, degrees as f64);
        let mean = logarithms.iter().sum::<f64>() / n;
        let squares: f64 = logarithms.iter().map(|x| (x - mean).powi(2)).sum();
        let student = STUDENT.get(degrees - 1).copied().unwrap_or(2.09);
        let half = student * (squares / rest).sqrt() / n.sqrt();
        Some(Self {
            ratio: mean.exp(),
            low: (mean - half).exp(),
            high: (mean + half).exp(),
        })
    }

    pub(crate) fn is_within(&self, low: f64, high: f64) -> bool {
        self.low >= low && self.high <= high
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ratio, low, high } = self;
        let verdict = if *low > 1.0 {
            "more"
        } else if *high < 1.0 {
            "less"
        } else {
            "no difference shown"
        };
        write!(out, "{ratio:.3} [{low:.3}, {high:.3}], {verdict}")
    }
}

/// Returns the median, or zero of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        // The logarithms are 0.1, 0.2 and 0.3: mean 0.2, deviation 0.1, t 4.303.
        let values = [0.1, 0.2, 0.3].map(f64::exp);
        let ratio = Ratio::of(&[1.0; 3], &values).unwrap();
        let half = 4.303 * 0.1 / 3.0_f64.sqrt();
        assert!((ratio.ratio.ln() - 0.2).abs() < 1e-9);
        assert!((ratio.low.ln() - (0.2 - half)).abs() < 1e-9);
        assert!((ratio.high.ln() - (0.2 + half)).abs() < 1e-9);
        assert!(ratio.to_string().ends_with("no difference shown"));
        assert!(ratio.is_within(0.9, 1.6) && !ratio.is_within(1.0, 1.6));
        assert!(
            Ratio::of(&[1.0], &[1.0]).is_none(),
            "one pair has no interval"
        );
        let twice = Ratio::of(&[1.0, 2.0], &[2.0, 4.0]).unwrap();
        assert_eq!(twice.to_string(), "2.000 [2.000, 2.000], more");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
