use super::*;

/// Returns the flags that a file adds to a command line.
fn of(typed: &str, text: &str) -> Result<Vec<String>, String> {
    let command = definition();
    let words: Vec<_> = std::iter::once("loadgen --config x")
        .chain([typed])
        .flat_map(str::split_whitespace)
        .map(OsString::from)
        .collect();
    let (_, matches) = config_of(&command, &words).expect("it names a file");
    flags(&command, &matches, text)
}

#[test]
fn every_kind_of_value_becomes_what_would_be_typed() {
    let text = "\
        target = \"127.0.0.1:7\"\n\
        connections = 4_000\n\
        duration = 1.5\n\
        rate = \"20k\"\n\
        quiet = true\n\
        verify = false\n\
        pin = [0, 2]\n\
        slo = ['p99<5ms', 'errors=0']\n\
        output = [\"a.json\", \"b.json\"]\n";
    let expected = [
        "127.0.0.1:7",
        "--connections=4000",
        "--duration=1.5",
        "--rate=20k",
        "--quiet",
        "--verify=off",
        "--pin=0,2",
        "--slo=p99<5ms,errors=0",
        "--output=a.json",
        "--output=b.json",
    ];
    assert_eq!(of("", text).expect("flags"), expected);
    assert!(of("", "quiet = false").expect("flags").is_empty());
}

#[test]
fn the_command_line_wins_also_by_what_it_excludes() {
    let all = "target = 'a:1'\nconnections = 1\nrequests = 5\nrate = 7\noutput = 'a.json'\n";
    let left = |typed: &str| of(typed, all).expect("flags");
    assert_eq!(left("").len(), 5);
    assert_eq!(left("-c 2 b:2 -o c.json"), ["--requests=5", "--rate=7"]);
    for (typed, gone) in [("-d 5", "--requests=5"), ("--sweep 1..2:1", "--rate=7")] {
        let left = left(typed);
        assert!(!left.iter().any(|flag| flag == gone), "{typed}: {left:?}");
    }
    // The file may provide a flag that another flag requires.
    assert_eq!(
        of("--arrivals poisson", "rate = 7").expect("flags"),
        ["--rate=7"]
    );
}

#[test]
fn an_unknown_key_suggests_the_nearest() {
    for (text, words) in [
        (
            "threads = 1\nconections = 5",
            "2: unknown key `conections`; did you mean `connections`?",
        ),
        ("connect_rate = 5", "did you mean `connect-rate`?"),
        ("durration = 5", "did you mean `duration`?"),
        (
            "xyzzy = 5",
            "1: unknown key `xyzzy`; the keys are the long flags",
        ),
        ("config = 'y'", "unknown key `config`"),
        ("c = 5", "unknown key `c`"),
    ] {
        let problem = of("", text).expect_err(text);
        assert!(problem.contains(words), "{text}: {problem}");
    }
}

#[test]
fn what_is_no_value_of_a_flag_is_refused() {
    for (text, words) in [
        ("[run]\nthreads = 1", "1: unknown key `run`"),
        (
            "duration = { seconds = 1 }",
            "1: duration: a flag takes no table",
        ),
        (
            "\nduration = 2020-01-01",
            "2: duration: a flag takes no datetime",
        ),
        ("quiet = 'yes'", "quiet: \"yes\" is neither true nor false"),
        ("threads = ", "1: "),
        ("threads = 1\nthreads = 2", "2: "),
    ] {
        let problem = of("", text).expect_err(text);
        assert!(
            problem.starts_with(words) || problem.contains(words),
            "{text}: {problem}"
        );
    }
}

#[test]
fn without_a_config_nothing_changes() {
    let command = definition();
    for typed in [
        &["loadgen", "-c", "5"][..],
        &["loadgen", "compare", "a", "b"],
        &["loadgen", "--help"],
    ] {
        let typed: Vec<_> = typed.iter().map(OsString::from).collect();
        assert!(config_of(&command, &typed).is_none());
    }
}
