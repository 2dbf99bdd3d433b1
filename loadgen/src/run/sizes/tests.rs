use super::*;
use crate::run::random::mix;

fn sizes(text: &str) -> Sizes {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn one_size_or_several_are_read_and_shown() {
    assert_eq!(sizes("64").only(), Some(64));
    assert_eq!(sizes("1k"), Sizes::from(1_024));
    let mix = sizes("64:90,16k:10");
    assert_eq!(mix.only(), None);
    assert_eq!(mix.to_string(), "64:90,16384:10");
    assert_eq!(sizes(&mix.to_string()), mix);
    assert_eq!(mix.mean(), (64 * 90 + 16_384 * 10) / 100);
    assert_eq!(sizes("64:90%,16k:10%"), mix);
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "",
        "0",
        "65m",
        "64,128",
        "64:",
        ":5",
        "64:0",
        "64:1,",
        "64:1;65:1",
    ] {
        assert!(text.parse::<Sizes>().is_err(), "{text:?}");
    }
}

#[test]
fn draws_follow_the_weights() {
    let sizes = sizes("1:1,2:3,3:6");
    let mut seen = [0_u32; 4];
    for number in 0..100_000 {
        seen[sizes.draw(mix(number))] += 1;
    }
    // Six standard deviations of a binomial count.
    for (size, share) in [(1, 10_000), (2, 30_000), (3, 60_000)] {
        assert!(seen[size].abs_diff(share) < 900, "{seen:?}");
    }
    assert_eq!((sizes.draw(0), sizes.draw(u64::MAX)), (1, 3));
}
