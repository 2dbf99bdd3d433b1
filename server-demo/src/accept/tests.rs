//! Which errors of accept(2) pause it, and for how long.

use super::*;

fn os(errno: Errno) -> io::Error {
    errno.into()
}

#[test]
fn what_ran_out_pauses_and_what_one_client_did_does_not() {
    for errno in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::PERM,
        Errno::INVAL,
        Errno::BADF,
    ] {
        assert!(!is_of_one_connection(&os(errno)), "{errno}");
    }
    for errno in [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::AGAIN,
        Errno::PROTO,
        Errno::HOSTUNREACH,
    ] {
        assert!(is_of_one_connection(&os(errno)), "{errno}");
    }
}

#[test]
fn pauses_double_up_to_a_second_and_begin_anew_after_a_success() {
    let mut pause = Pause::default();
    let mut next = || pause.next(&os(Errno::MFILE), |_| {}).as_millis();
    let delays: Vec<u128> = (0..9).map(|_| next()).collect();
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    pause.over();
    assert_eq!(pause.next(&os(Errno::MFILE), |_| {}).as_millis(), 10);
}

#[test]
fn the_operator_is_told_once_and_not_at_every_pause() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let mut pause = Pause::default();
    for _ in 0..100 {
        pause.next(&os(Errno::MFILE), |text| {
            assert!(text.contains("accepting pauses"), "{text}");
            TOLD.fetch_add(1, SeqCst);
        });
        pause.over();
    }
    assert_eq!(TOLD.load(SeqCst), 1);
}
