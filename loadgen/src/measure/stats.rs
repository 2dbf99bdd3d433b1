//! The statistics of comparisons: medians, and the ratio of paired rounds with its confidence
//! interval.
//!
//! Two contenders run in turns (A B A B …), so round `k` of both met the same disturbances. The
//! logarithms of their ratios are used, so that "twice" and "half" have the same weight. The
//! estimate is the pseudomedian (Hodges and Lehmann) with the interval of Wilcoxon's signed ranks,
//! which is exact for any symmetric noise. On a shared machine a single round is sometimes off by a
//! factor of two. This makes the interval of a mean useless, but hardly changes this one. With
//! fewer than six rounds, ranks cannot give 95%. Student's t is used then, because the intervals of
//! resampling are too narrow with few rounds. Pure arithmetic. Tests: `stats/tests.rs`.

/// Returns the median: the middle value, or the mean of the two middle values; `None` without
/// values.
///
/// # Panics
/// A value is not a number.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("values are numbers"));
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// A ratio with its 95% confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The pseudomedian of the rounds' ratios, or with fewer than six rounds their geometric mean.
    pub ratio: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Returns true if the interval contains one, which means no difference.
    #[must_use]
    pub fn contains_one(&self) -> bool {
        self.low <= 1.0 && 1.0 <= self.high
    }
}

/// Returns the ratio `b / a` over paired rounds; `None` if there are fewer than two pairs, the
/// counts are not equal, or a value is not positive.
#[must_use]
pub fn paired_ratio(a: &[f64], b: &[f64]) -> Option<Interval> {
    let usable = |values: &[f64]| values.iter().all(|value| value.is_finite() && *value > 0.0);
    if a.len() != b.len() || a.len() < 2 || !usable(a) || !usable(b) {
        return None;
    }
    let logs: Vec<f64> = a.iter().zip(b).map(|(a, b)| (b / a).ln()).collect();
    let [middle, low, high] = if logs.len() < SIGNED_RANKS_MIN {
        students(&logs)
    } else {
        signed_ranks(&logs)
    };
    Some(Interval {
        ratio: middle.exp(),
        low: low.exp(),
        high: high.exp(),
    })
}

/// The minimum number of values for an interval of signed ranks. With fewer, even the widest
/// interval, from the smallest to the largest value, is below 95%: 2/2^5 > 5%.
const SIGNED_RANKS_MIN: usize = 6;

/// Returns the mean, and the ends of Student's interval around it.
#[expect(clippy::cast_precision_loss, reason = "rounds are few")]
fn students(values: &[f64]) -> [f64; 3] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (n - 1.0);
    let half = t_quantile_975(values.len() - 1) * (variance / n).sqrt();
    [mean, mean - half, mean + half]
}

/// Returns the median of the means of all pairs of values (each value also pairs with itself), and
/// the ends of the 95% interval of the centre. The interval drops `k` means at each end, where `k`
/// is the 2.5% quantile of the signed-rank statistic.
fn signed_ranks(values: &[f64]) -> [f64; 3] {
    let mut means: Vec<f64> = (0..values.len())
        .flat_map(|i| (i..values.len()).map(move |j| (i, j)))
        .map(|(i, j)| f64::midpoint(values[i], values[j]))
        .collect();
    means.sort_by(f64::total_cmp);
    let cut = signed_rank_quantile_025(values.len()).max(1);
    let middle = median(&means).expect("there are values");
    [middle, means[cut - 1], means[means.len() - cut]]
}

/// Returns the 2.5% quantile of the signed-rank statistic of `n` values: the smallest sum that the
/// ranks of the positive values do not exceed with a probability of 2.5% or more.
fn signed_rank_quantile_025(n: usize) -> usize {
    // For each sum, the number of subsets of the ranks 1 to n that have it, of 2^n subsets.
    let mut ways = vec![0.0_f64; n * (n + 1) / 2 + 1];
    ways[0] = 1.0;
    for rank in 1..=n {
        for sum in (rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let enough = 0.025 * ways.iter().sum::<f64>();
    let mut so_far = 0.0;
    let reached = ways.iter().position(|count| {
        so_far += count;
        so_far >= enough
    });
    reached.expect("all of them are enough")
}

/// Returns the value that Student's t with this many degrees of freedom exceeds in 2.5% of cases.
fn t_quantile_975(freedom: usize) -> f64 {
    // The two-sided 95% column of the usual table. Above it, the expansion in 1/freedom is exact to
    // four digits.
    const TABLE: [f64; 30] = [
        12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010,
        2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739,
        2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
    ];
    match freedom {
        0 => f64::INFINITY,
        1..=30 => TABLE[freedom - 1],
        _ => expansion(freedom),
    }
}

/// Returns the first terms of the Cornish-Fisher expansion around the quantile of the normal
/// distribution.
#[expect(clippy::cast_precision_loss, reason = "rounds are few")]
fn expansion(freedom: usize) -> f64 {
    const Z: f64 = 1.959_963_985;
    let n = freedom as f64;
    let first = (Z.powi(3) + Z) / 4.0;
    let second = (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / 96.0;
    Z + first / n + second / (n * n)
}

/// The mean, standard deviation and maximum of a series of rates, which is not stored.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Running {
    count: u64,
    mean: f64,
    squares: f64,
    max: f64,
}

impl Running {
    /// Adds a value by Welford's method, which subtracts no large sums.
    #[expect(clippy::cast_precision_loss, reason = "one value per interval")]
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
        self.max = self.max.max(value);
    }

    /// Returns the number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the mean; zero without values.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the standard deviation; zero with fewer than two values.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "one value per interval")]
    pub fn stdev(&self) -> f64 {
        if self.count < 2 {
            0.0
        } else {
            (self.squares / (self.count - 1) as f64).sqrt()
        }
    }

    /// Returns the largest value; zero without values.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.max
    }
}

#[cfg(test)]
mod tests;
