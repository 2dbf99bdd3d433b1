//! Quantities as people type them: durations, counts, sizes and CPU lists.
//!
//! The command lines of this program and of the load generator call it. It does no I/O and knows no
//! flags. The arithmetic is exact: `1.5s` is 1,500,000,000 ns, and a value that is not whole in its
//! smallest unit is refused, not rounded. Tests: `units/tests.rs`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The error for a quantity that could not be read: the text, and the problem with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    input: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Empty {
        example: &'static str,
    },
    Negative,
    NotANumber {
        example: &'static str,
    },
    UnknownUnit {
        unit: String,
        expected: &'static str,
    },
    NotWhole {
        smallest: &'static str,
    },
    TooLarge {
        max: &'static str,
    },
    NotACpu {
        part: String,
    },
    BackwardRange {
        part: String,
    },
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = &self.input;
        match &self.problem {
            Problem::Empty { example } => {
                write!(f, "the value is empty; write for example `{example}`")
            }
            Problem::Negative => write!(f, "`{input}` is negative"),
            Problem::NotANumber { example } => {
                write!(
                    f,
                    "`{input}` does not start with a number; write for example `{example}`"
                )
            }
            Problem::UnknownUnit { unit, expected } => {
                write!(
                    f,
                    "`{input}` has the unknown unit `{unit}`; expected {expected}"
                )
            }
            Problem::NotWhole { smallest } => {
                write!(f, "`{input}` is not a whole number of {smallest}")
            }
            Problem::TooLarge { max } => write!(f, "`{input}` is too large; the maximum is {max}"),
            Problem::NotACpu { part } => {
                write!(
                    f,
                    "`{part}` in `{input}` is not a CPU number; write for example `0,2` or `0-3`"
                )
            }
            Problem::BackwardRange { part } => {
                write!(f, "the range `{part}` in `{input}` runs backwards")
            }
        }
    }
}

impl Error for UnitError {}

/// One kind of quantity: its suffixes with their factors, and the words for its errors.
struct Kind {
    /// The first entry is the unit of a bare number.
    units: &'static [(&'static str, u64)],
    expected: &'static str,
    example: &'static str,
    smallest: &'static str,
    max: &'static str,
}

const DURATION: Kind = Kind {
    units: &[
        ("", 1_000_000_000),
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ],
    expected: "ns, us, ms, s, m or h, or none for seconds",
    example: "500ms",
    smallest: "nanoseconds",
    max: "about 584 years",
};

const COUNT: Kind = Kind {
    units: &[
        ("", 1),
        ("k", 1_000),
        ("K", 1_000),
        ("m", 1_000_000),
        ("M", 1_000_000),
    ],
    expected: "k (thousand) or m (million), or none",
    example: "4000` or `4k",
    smallest: "things to count",
    max: "18446744073709551615",
};

const SIZE: Kind = Kind {
    units: &[
        ("", 1),
        ("k", 1 << 10),
        ("K", 1 << 10),
        ("m", 1 << 20),
        ("M", 1 << 20),
        ("g", 1 << 30),
        ("G", 1 << 30),
    ],
    expected: "k (1024), m (1024 k) or g (1024 m), or none for bytes",
    example: "64` or `16k",
    smallest: "bytes",
    max: "18446744073709551615 bytes",
};

/// Parses a duration: a number with `ns`, `us`, `ms`, `s`, `m` or `h`. A bare number is in seconds.
///
/// # Errors
///
/// The value is empty, negative, not a number, has another unit, or is not a whole number of
/// nanoseconds.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use server_demo::units::parse_duration;
///
/// assert_eq!(parse_duration("250ms")?, Duration::from_millis(250));
/// assert_eq!(parse_duration("1.5")?, Duration::from_millis(1_500));
/// assert!(parse_duration("10 parsecs").is_err());
/// # Ok::<(), server_demo::units::UnitError>(())
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATION).map(Duration::from_nanos)
}

/// Parses a count: a number, with `k` for thousands or `m` for millions.
///
/// # Errors
///
/// The value is empty, negative, not a number, has another unit, or is not a whole number.
///
/// # Examples
///
/// ```
/// use server_demo::units::parse_count;
///
/// assert_eq!(parse_count("19k")?, 19_000);
/// assert_eq!(parse_count("1.5m")?, 1_500_000);
/// # Ok::<(), server_demo::units::UnitError>(())
/// ```
pub fn parse_count(text: &str) -> Result<u64, UnitError> {
    parse(text, &COUNT)
}

/// Parses a size in bytes: a number, with `k`, `m` or `g` for powers of 1,024.
///
/// # Errors
///
/// The value is empty, negative, not a number, has another unit, or is not a whole number of bytes.
///
/// # Examples
///
/// ```
/// use server_demo::units::parse_size;
///
/// assert_eq!(parse_size("64")?, 64);
/// assert_eq!(parse_size("16k")?, 16_384);
/// # Ok::<(), server_demo::units::UnitError>(())
/// ```
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZE)
}

/// Parses a list of CPU numbers, such as `0,2` or `0-3,8`, in the order given. It does not check
/// that the CPUs exist.
///
/// # Errors
///
/// The list is empty, a part is not a number or a range, or a range runs backwards.
pub fn parse_cpus(text: &str) -> Result<Vec<usize>, UnitError> {
    let fail = |problem| UnitError {
        input: text.to_owned(),
        problem,
    };
    if text.trim().is_empty() {
        return Err(fail(Problem::Empty { example: "0,2" }));
    }
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let number = |digits: &str| match digits.trim().parse::<u16>() {
            Ok(cpu) => Ok(usize::from(cpu)),
            Err(_) => Err(fail(Problem::NotACpu {
                part: part.to_owned(),
            })),
        };
        match part.split_once('-') {
            None => cpus.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return Err(fail(Problem::BackwardRange {
                        part: part.to_owned(),
                    }));
                }
                cpus.extend(first..=last);
            }
        }
    }
    Ok(cpus)
}

/// Splits a number from its unit and multiplies them without rounding.
fn parse(text: &str, kind: &Kind) -> Result<u64, UnitError> {
    let fail = |problem| {
        Err(UnitError {
            input: text.to_owned(),
            problem,
        })
    };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return fail(Problem::Empty {
            example: kind.example,
        });
    }
    if trimmed.starts_with('-') {
        return fail(Problem::Negative);
    }
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return fail(Problem::NotANumber {
            example: kind.example,
        });
    }
    let unit = unit.trim_start();
    let Some(&(_, worth)) = kind.units.iter().find(|(name, _)| *name == unit) else {
        return fail(Problem::UnknownUnit {
            unit: unit.to_owned(),
            expected: kind.expected,
        });
    };
    let fraction = fraction.trim_end_matches('0');
    // Every u64 fits in twenty digits, and a longer fraction is refused in any case.
    if whole.trim_start_matches('0').len() > 20 {
        return fail(Problem::TooLarge { max: kind.max });
    }
    if fraction.len() > 12 {
        return fail(Problem::NotWhole {
            smallest: kind.smallest,
        });
    }
    let whole: u128 = digits(whole) * u128::from(worth);
    let fraction_scale = 10_u128.pow(u32::try_from(fraction.len()).expect("at most 12 digits"));
    let fraction = digits(fraction) * u128::from(worth);
    if !fraction.is_multiple_of(fraction_scale) {
        return fail(Problem::NotWhole {
            smallest: kind.smallest,
        });
    }
    match u64::try_from(whole + fraction / fraction_scale) {
        Ok(value) => Ok(value),
        Err(_) => fail(Problem::TooLarge { max: kind.max }),
    }
}

/// Returns the value of a run of decimal digits that is too short to overflow (see `parse`). An
/// empty run is zero.
fn digits(run: &str) -> u128 {
    run.bytes()
        .fold(0, |value, digit| value * 10 + u128::from(digit - b'0'))
}

#[cfg(test)]
mod tests;
