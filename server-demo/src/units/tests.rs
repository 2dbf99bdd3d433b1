//! Every unit, the exact arithmetic, and the text of each error.

use super::*;

fn refusal<T: fmt::Debug>(result: Result<T, UnitError>) -> String {
    result.expect_err("the value is refused").to_string()
}

#[test]
fn durations_in_every_unit() {
    for (text, nanos) in [
        ("7ns", 7),
        ("7us", 7_000),
        ("7µs", 7_000),
        ("7ms", 7_000_000),
        ("7s", 7_000_000_000),
        ("7", 7_000_000_000),
        ("7m", 420_000_000_000),
        ("7h", 25_200_000_000_000),
        ("0", 0),
        (" 7 ms ", 7_000_000),
        ("0.25", 250_000_000),
        (".5s", 500_000_000),
        ("2.s", 2_000_000_000),
        ("1.500000000s", 1_500_000_000),
    ] {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_nanos(nanos)),
            "{text}"
        );
    }
}

#[test]
fn a_bare_number_of_seconds_is_not_milliseconds() {
    assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
}

#[test]
fn counts_are_decimal_and_sizes_binary() {
    assert_eq!(parse_count("4k"), Ok(4_000));
    assert_eq!(parse_count("2M"), Ok(2_000_000));
    assert_eq!(parse_count("1.25k"), Ok(1_250));
    assert_eq!(parse_size("4k"), Ok(4_096));
    assert_eq!(parse_size("1.5K"), Ok(1_536));
    assert_eq!(parse_size("2m"), Ok(2 << 20));
    assert_eq!(parse_size("1g"), Ok(1 << 30));
}

#[test]
fn the_largest_values_are_exact() {
    assert_eq!(parse_count("18446744073709551615"), Ok(u64::MAX));
    assert_eq!(
        parse_duration("18446744073709551615ns"),
        Ok(Duration::from_nanos(u64::MAX))
    );
    assert!(refusal(parse_count("18446744073709551616")).contains("too large"));
    assert!(refusal(parse_duration("99999999h")).contains("too large"));
    assert!(refusal(parse_count(&"9".repeat(400))).contains("too large"));
    assert_eq!(parse_count(&format!("{}7", "0".repeat(400))), Ok(7));
}

#[test]
fn what_is_not_whole_is_refused_not_rounded() {
    assert!(refusal(parse_count("1.5")).contains("not a whole number"));
    assert!(refusal(parse_size("0.0001k")).contains("not a whole number of bytes"));
    assert!(refusal(parse_duration("0.5ns")).contains("not a whole number of nanoseconds"));
    assert!(refusal(parse_duration("0.0000000000000001h")).contains("not a whole number"));
}

#[test]
fn refusals_name_the_input_and_the_remedy() {
    assert_eq!(
        refusal(parse_duration("")),
        "the value is empty; write for example `500ms`"
    );
    assert_eq!(
        refusal(parse_duration("  ")),
        "the value is empty; write for example `500ms`"
    );
    assert_eq!(refusal(parse_duration("-5s")), "`-5s` is negative");
    assert_eq!(
        refusal(parse_duration("10q")),
        "`10q` has the unknown unit `q`; expected ns, us, ms, s, m or h, or none for seconds"
    );
    assert!(refusal(parse_duration("10S")).contains("unknown unit `S`"));
    for text in ["ms", "soon", ".", "1.2.3", "..1", "+1", "1e3", "0x10"] {
        let words = refusal(parse_duration(text));
        assert!(
            words.contains(text) && words.contains("expected") || words.contains("example"),
            "{text}: {words}"
        );
    }
    assert!(refusal(parse_count("4kk")).contains("unknown unit `kk`"));
    assert!(refusal(parse_count("٣")).contains("does not start with a number"));
}

#[test]
fn cpu_lists_and_ranges_keep_their_order() {
    assert_eq!(parse_cpus("0,2"), Ok(vec![0, 2]));
    assert_eq!(parse_cpus("3, 1"), Ok(vec![3, 1]));
    assert_eq!(parse_cpus("0-2,8"), Ok(vec![0, 1, 2, 8]));
    assert!(refusal(parse_cpus("")).contains("empty"));
    assert!(refusal(parse_cpus("0,,1")).contains("not a CPU number"));
    assert!(refusal(parse_cpus("0,x")).contains("`x` in `0,x` is not a CPU number"));
    assert!(refusal(parse_cpus("-1")).contains("not a CPU number"));
    assert!(refusal(parse_cpus("3-1")).contains("runs backwards"));
    assert!(refusal(parse_cpus("0-99999999999")).contains("not a CPU number"));
}
