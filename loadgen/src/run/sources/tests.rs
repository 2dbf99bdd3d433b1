use std::collections::HashSet;
use std::net::TcpListener;

use super::*;

fn target(address: &str) -> Address {
    Address::Tcp(address.parse().expect("an address"))
}

#[cfg(target_os = "linux")]
#[test]
fn loopback_sources_move_and_stay_in_the_network() {
    for seed in [0, 1, LOOPBACK_SOURCES - 1, u64::MAX] {
        let sources = Sources::new(&target("127.0.0.1:80"), seed);
        let mut seen = HashSet::new();
        for connection in (0..1_000_000).step_by(500) {
            let source = sources.source(connection, 0).expect("loopback rotates");
            assert!(
                source.is_loopback() && source != Ipv4Addr::LOCALHOST,
                "{source}"
            );
            assert_ne!(source, Ipv4Addr::new(127, 0, 0, 0));
            assert_ne!(source, Ipv4Addr::new(127, 255, 255, 255));
            seen.insert(source);
        }
        assert_eq!(seen.len(), 1_000, "one per thousand connections");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_further_attempt_comes_from_elsewhere() {
    let sources = Sources::new(&target("127.0.0.1:80"), 5);
    assert_ne!(sources.source(0, 0), sources.source(0, 1));
}

#[test]
fn other_targets_leave_it_to_the_system() {
    for other in ["192.0.2.1:80", "[::1]:80"] {
        assert_eq!(
            Sources::new(&target(other), 5).source(0, 0),
            None,
            "{other}"
        );
    }
}

#[test]
fn a_socket_connects_from_its_source() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let sources = Sources::new(&Address::Tcp(address), 77);
    let socket = sources.socket(3, 0).expect("a socket");
    socket.set_nonblocking(false).expect("a socket");
    socket.connect(&address.into()).expect("it listens");
    let (accepted, peer) = listener.accept().expect("connected");
    if let Some(source) = sources.source(3, 0) {
        assert_eq!(peer.ip(), IpAddr::V4(source));
    }
    assert!(socket.tcp_nodelay().expect("a socket"));
    drop(accepted);
}

#[test]
fn nothing_listening_never_meets_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let sources = Sources::new(&Address::Tcp(address), 0);
    for connection in 0..50 {
        let socket = sources.socket(connection, 0).expect("a socket");
        socket.set_nonblocking(false).expect("a socket");
        let error = socket
            .connect(&address.into())
            .expect_err("nothing listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
