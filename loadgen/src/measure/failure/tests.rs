use super::*;

#[test]
fn kinds_index_their_own_place() {
    for (at, kind) in ErrorKind::ALL.into_iter().enumerate() {
        assert_eq!(kind.index(), at);
    }
}

#[test]
fn system_errors_get_their_kind() {
    let of = |errno: rustix::io::Errno| ErrorKind::of(&errno.into());
    assert_eq!(of(rustix::io::Errno::MFILE), ErrorKind::Descriptors);
    assert_eq!(of(rustix::io::Errno::CONNREFUSED), ErrorKind::Refused);
    assert_eq!(of(rustix::io::Errno::NOENT), ErrorKind::Refused);
    assert_eq!(of(rustix::io::Errno::CONNRESET), ErrorKind::Reset);
    assert_eq!(of(rustix::io::Errno::PIPE), ErrorKind::Reset);
    assert_eq!(of(rustix::io::Errno::NETUNREACH), ErrorKind::Unreachable);
    assert_eq!(of(rustix::io::Errno::ADDRNOTAVAIL), ErrorKind::Ports);
    assert_eq!(of(rustix::io::Errno::IO), ErrorKind::Io);
}

#[test]
fn merging_adds_counts_and_keeps_the_first_example() {
    let reset = Failure::new(ErrorKind::Reset, "gone");
    let (mut left, mut right) = (Errors::default(), Errors::default());
    left.record(1, &reset);
    right.record(2, &reset);
    right.record(3, &Failure::new(ErrorKind::Silent, "quiet"));
    left.merge(&right);
    assert_eq!(left.total(), 3);
    let seen: Vec<_> = left.iter().collect();
    assert_eq!(
        seen,
        [
            (ErrorKind::Reset, 2, "connection 1: gone"),
            (ErrorKind::Silent, 1, "connection 3: quiet")
        ]
    );
}
