//! Bytes in typed text: the escapes `\r \n \t \0 \\ \xHH`; all other characters stand for
//! themselves.

/// Converts text with escapes to bytes.
///
/// # Errors
/// An escape is not valid. The text names it.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digit = |char: Option<char>| char.and_then(|char| char.to_digit(16));
                match (digit(rest.next()), digit(rest.next())) {
                    (Some(high), Some(low)) => {
                        u8::try_from(16 * high + low).expect("two hexadecimal digits")
                    }
                    _ => return Err("\\x needs two hexadecimal digits".to_owned()),
                }
            }
            Some(other) => {
                return Err(format!(
                    "\\{other} is not one of \\r \\n \\t \\0 \\\\ \\xHH"
                ));
            }
            None => return Err("a \\ at the end escapes nothing: write \\\\".to_owned()),
        });
    }
    if bytes.is_empty() {
        return Err("at least one byte is needed".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn every_escape_is_read() {
        assert_eq!(
            unescape(r"PING\r\n\t\0\\\x7f\xFFé").as_deref(),
            Ok(&b"PING\r\n\t\0\\\x7f\xff\xc3\xa9"[..])
        );
    }

    #[test]
    fn what_is_none_is_named() {
        for (text, words) in [
            (r"\q", r"\q"),
            (r"\x7", "two"),
            (r"\xgg", "two"),
            ("\\", "end"),
            ("", "one byte"),
        ] {
            let message = unescape(text).expect_err(text);
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
