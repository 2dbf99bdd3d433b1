//! `--stages`: a rate that changes over time, in straight lines.
//!
//! During a stage `TIME:RATE` the rate changes linearly from the previous rate to this one, so
//! `10s:100,30s:100,10s:0` rises, holds and falls. The number of requests due by a time is the area
//! under the lines. [`Stages::time_of`] is the inverse function, and all that a schedule needs.
//! Pure. Tests: at the end of this file, `schedule/tests.rs` and `tests/stages.rs`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use server_demo::units::parse_duration;

use crate::measure::clock::{Nanos, nanos};
use crate::measure::units::duration_f64;
use crate::report::rate::Rate;

/// A rate over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    stages: Arc<[Stage]>,
}

/// A straight line from one rate to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stage {
    /// Seconds from the beginning of the first stage.
    begin_s: f64,
    length_s: f64,
    /// Requests per second at the beginning and at the end.
    from: f64,
    to: f64,
    /// The number of requests that are due before this stage.
    before: f64,
}

impl Stage {
    /// Returns the number of requests that the stage makes due.
    fn requests(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.length_s
    }
}

impl Stages {
    /// Returns the length of all stages.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.stages.iter().map(|stage| stage.length_s).sum())
    }

    /// Returns the average rate.
    ///
    /// # Errors
    /// The stages have no request at all.
    pub fn mean(&self) -> Result<Rate, String> {
        let requests: f64 = self.stages.iter().map(Stage::requests).sum();
        Rate::try_from(requests / self.length().as_secs_f64())
            .map_err(|_| "the stages have no rate".to_owned())
    }

    /// Returns the intended time of request number `due`, counted from zero, since the beginning;
    /// `None` after the last request.
    #[must_use]
    pub fn time_of(&self, due: f64) -> Option<Nanos> {
        let within = |stage: &&Stage| due < stage.before + stage.requests();
        let stage = self.stages.iter().find(within)?;
        let left = due - stage.before;
        // The area left is from*t + slope*t^2/2. This form of the solution is stable for any slope.
        let slope = (stage.to - stage.from) / stage.length_s;
        let root = (stage.from * stage.from + 2.0 * slope * left)
            .max(0.0)
            .sqrt();
        let sum = stage.from + root;
        let within_s = if sum > 0.0 { 2.0 * left / sum } else { 0.0 };
        let at = stage.begin_s + within_s.min(stage.length_s);
        Some(nanos(Duration::from_secs_f64(at)))
    }
}

impl FromStr for Stages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut stages: Vec<Stage> = Vec::new();
        let (mut begin_s, mut before, mut from) = (0.0, 0.0, 0.0);
        for part in text.split(',') {
            let (time, rate) = part
                .split_once(':')
                .ok_or_else(|| format!("{part:?} is not TIME:RATE, as in 10s:100"))?;
            let length = parse_duration(time.trim()).map_err(|error| error.to_string())?;
            let to = match rate.trim() {
                "0" => 0.0,
                rate => rate.parse::<Rate>()?.per_second(),
            };
            let stage = Stage {
                begin_s,
                length_s: length.as_secs_f64(),
                from,
                to,
                before,
            };
            from = to;
            if length > Duration::ZERO {
                begin_s += stage.length_s;
                before += stage.requests();
                stages.push(stage);
            }
        }
        if stages.is_empty() {
            return Err("the stages have no time".to_owned());
        }
        let stages = Self {
            stages: stages.into(),
        };
        stages.mean().map(|_| stages)
    }
}

/// Writes the form of the command line. A jump is a stage with no time.
impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |rate: f64| match Rate::try_from(rate) {
            Ok(rate) => rate.per_second().to_string(),
            Err(_) => "0".to_owned(),
        };
        let mut last = 0.0;
        for (at, stage) in self.stages.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            if stage.from.to_bits() != f64::to_bits(last) {
                write!(f, "0s:{},", rate(stage.from))?;
            }
            let length = duration_f64(stage.length_s * 1e9).replace(".00", "");
            write!(f, "{length}:{}", rate(stage.to))?;
            last = stage.to;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::clock::seconds;

    fn times(text: &str) -> Vec<f64> {
        let stages: Stages = text.parse().expect(text);
        let times = (0..).map_while(|nth| stages.time_of(f64::from(nth)));
        times.map(seconds).collect()
    }

    #[test]
    fn requests_are_spaced_by_the_area_under_the_lines() {
        // From 0 to 10 per second in 2 s are 10 requests; request n is due at sqrt(2n / 5).
        let rising = times("2s:10");
        assert_eq!(rising.len(), 10);
        for (nth, at) in rising.iter().enumerate() {
            let expected = (2.0 * nth as f64 / 5.0).sqrt();
            assert!((at - expected).abs() < 1e-6, "{nth}: {at} {expected}");
        }
        // A jump, and a constant rate.
        let steady = times("0s:10,1s:10");
        assert_eq!(steady.len(), 10);
        assert!((steady[7] - 0.7).abs() < 1e-6, "{steady:?}");
        // Up and down again, with the same number of requests on both sides.
        let both = times("2s:10,2s:0");
        assert_eq!(both.len(), 20);
        assert!(both.is_sorted() && both[19] < 4.0);
        assert!((both[10] - 2.0).abs() < 1e-6, "{both:?}");
        // Nothing is due in a stage without a rate.
        let pause = times("0s:10,1s:10,0s:0,5s:0,0s:10,1s:10");
        assert_eq!(pause.len(), 20);
        assert!((pause[10] - 6.0).abs() < 1e-6, "{pause:?}");
    }

    #[test]
    fn stages_are_shown_as_they_are_written() {
        for text in ["10s:100,30s:5000,10s:0", "0s:10,1s:10", "500ms:0.5"] {
            let stages: Stages = text.parse().expect(text);
            assert_eq!(stages.to_string(), text);
        }
        let stages: Stages = "10s:100,30s:100,10s:0".parse().expect("stages");
        assert_eq!(stages.length(), Duration::from_secs(50));
        assert!((stages.mean().expect("a rate").per_second() - 80.0).abs() < 1e-9);
        for text in ["", "10s", "10s:x", "x:10", "0s:10", "10s:0"] {
            assert!(text.parse::<Stages>().is_err(), "{text}");
        }
    }
}
