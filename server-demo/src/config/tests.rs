//! Configurations that are refused before anything starts, and the names that a command line knows.

use super::*;

fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    let error = config.check().expect_err("the configuration is refused");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    error.to_string()
}

#[test]
fn the_default_is_sound_and_stays_on_this_machine() {
    let config = Config::default();
    config.check().unwrap();
    assert!(config.listen.ip().is_loopback());
}

#[test]
fn impossible_servers_are_refused() {
    assert!(refusal(|c| c.shards = Some(0)).contains("at least one shard"));
    assert!(refusal(|c| c.shards = Some(100_000)).contains("100000 shards"));
    assert!(refusal(|c| c.max_connections = Some(0)).contains("0 connections"));
    assert!(refusal(|c| c.idle_timeout = Some(Duration::ZERO)).contains("idle timeout of 0"));
    assert!(refusal(|c| c.write_timeout = Some(Duration::ZERO)).contains("write timeout of 0"));
    assert!(refusal(|c| c.pinning = Pinning::Cpus(vec![])).contains("empty"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_cpu_that_is_not_there_is_named() {
    assert!(refusal(|c| c.pinning = Pinning::Cpus(vec![99_999])).contains("CPU 99999"));
    let allowed = allowed_cpus().unwrap().unwrap();
    let config = Config {
        pinning: Pinning::Cpus(vec![allowed[0]]),
        ..Config::default()
    };
    config.check().unwrap();
}

#[test]
fn a_list_of_cpus_sets_the_number_of_shards_unless_told_otherwise() {
    assert_eq!(Config::default().shard_count(), None);
    let listed = Config {
        pinning: Pinning::Cpus(vec![0, 0, 0]),
        ..Config::default()
    };
    assert_eq!(listed.shard_count(), Some(3));
    assert_eq!(
        Config {
            shards: Some(2),
            ..listed
        }
        .shard_count(),
        Some(2)
    );
}

#[test]
fn names_are_read_back() {
    for surface in IoSurface::ALL {
        assert_eq!(IoSurface::from_str(surface.name(), false), Ok(surface));
    }
    for (text, pinning) in [
        ("auto", Pinning::Auto),
        ("none", Pinning::None),
        ("0,2", Pinning::Cpus(vec![0, 2])),
    ] {
        assert_eq!(parse_pinning(text), Ok(pinning.clone()));
        assert_eq!(pinning_text(&pinning), text);
    }
    assert!(parse_pinning("some").is_err());
}
