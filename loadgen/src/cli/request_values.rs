//! Parses the parts of an HTTP request that flags have: paths with weights, methods, header fields.
//!
//! clap calls it with one value at a time. Tests: at the end of this file.

/// A path with its weight: its number of requests relative to the other paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedPath {
    /// The weight.
    pub(crate) weight: u64,
    /// The path.
    pub(crate) path: String,
}

/// The largest weight. A larger one is refused as a mistake.
const WEIGHT_MAX: u64 = 1_000_000;

/// Reads `/path` or `9*/path`.
pub(crate) fn weighted_path(text: &str) -> Result<WeightedPath, String> {
    let (weight, path) = match text.split_once('*') {
        Some((weight, path)) if !weight.starts_with('/') => {
            let weight = weight.trim().parse().ok();
            let weight = weight.filter(|weight| (1..=WEIGHT_MAX).contains(weight));
            let weight = weight.ok_or_else(|| {
                format!("a weight is a whole number from 1 to {WEIGHT_MAX}, as in 9*/path")
            })?;
            (weight, path.trim())
        }
        _ => (1, text),
    };
    Ok(WeightedPath {
        weight,
        path: http_path(path)?,
    })
}

/// Reads a method: a word of letters. Registered methods are in capitals.
pub(crate) fn method(text: &str) -> Result<String, String> {
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    {
        Ok(text.to_owned())
    } else {
        Err("a method is a word, such as GET or POST".to_owned())
    }
}

/// Reads a field `Name: value`.
pub(crate) fn field(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is not a field, as in 'Accept: text/html'");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
        return Err(wrong());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// Checks a path for use in a request.
pub(crate) fn http_path(text: &str) -> Result<String, String> {
    let may_stand = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if text.starts_with('/') && text.bytes().all(may_stand) {
        Ok(text.to_owned())
    } else {
        Err(
            "a path begins with / and has no space, no # and no byte outside ASCII (write %20, %23)"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_stand_before_paths() {
        let path = |text| weighted_path(text).map(|one| (one.weight, one.path));
        assert_eq!(path("/a"), Ok((1, "/a".to_owned())));
        assert_eq!(path("9*/a*b"), Ok((9, "/a*b".to_owned())));
        assert_eq!(path("/a*b"), Ok((1, "/a*b".to_owned())));
        for text in ["0*/a", "x*/a", "a", "9*a", ""] {
            assert!(path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fields_have_a_name_and_no_line_end() {
        assert_eq!(field("A: b: c "), Ok(("A".to_owned(), "b: c".to_owned())));
        for text in ["A", ": b", "A b: c", "A: b\r\nC: d"] {
            assert!(field(text).is_err(), "{text}");
        }
    }
}
