use std::collections::HashSet;
use std::net::TcpListener;

use super::*;

fn target(address: &str) -> Address {
    Address::Tcp(address.parse().expect("an address"))
}

#[test]
fn the_system_chooses_until_ports_are_used_up() {
    for address in ["127.0.0.1:80", "192.0.2.1:80", "[::1]:80"] {
        let sources = Sources::new(&target(address), &[], 5);
        assert_eq!((sources.source(0), sources.used()), (None, 1), "{address}");
        let (_, nth) = sources.socket().expect("a socket");
        assert_eq!(nth, 0);
    }
    for other in ["192.0.2.1:80", "[::1]:80"] {
        assert!(!Sources::new(&target(other), &[], 5).next(0), "{other}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn further_sources_differ_and_stay_in_the_loopback_network() {
    for seed in [0, 1, LOOPBACK_SOURCES - 1, u64::MAX] {
        let sources = Sources::new(&target("127.0.0.1:80"), &[], seed);
        let mut seen = HashSet::new();
        for nth in 1..=1_000 {
            assert!(sources.next(nth - 1));
            let source = sources.source(nth).expect("loopback rotates");
            assert!(source.is_loopback(), "{source}");
            assert_ne!(source, IpAddr::from([127, 0, 0, 1]));
            assert_ne!(source, IpAddr::from([127, 0, 0, 0]));
            assert_ne!(source, IpAddr::from([127, 255, 255, 255]));
            seen.insert(source);
        }
        assert_eq!((seen.len(), sources.used()), (1_000, 1_001));
    }
}

#[test]
fn several_connections_that_find_no_port_take_one_step() {
    let named = ["127.0.0.5", "127.0.0.6"].map(|ip| ip.parse().expect("an address"));
    let sources = Sources::new(&target("127.0.0.1:80"), &named, 5);
    assert_eq!(sources.source(0), Some(named[0]));
    assert!(sources.next(0) && sources.next(0));
    assert_eq!((sources.source(1), sources.used()), (Some(named[1]), 2));
    assert!(!sources.next(1), "no more were named");
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_connects_from_its_source() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let named = ["127.0.0.9".parse().expect("an address")];
    for (named, seen) in [(&named[..], "127.0.0.9"), (&[], "127.0.0.1")] {
        let sources = Sources::new(&Address::Tcp(address), named, 77);
        let (socket, _) = sources.socket().expect("a socket");
        socket.set_nonblocking(false).expect("a socket");
        socket.connect(&address.into()).expect("it listens");
        let (accepted, peer) = listener.accept().expect("connected");
        assert_eq!(peer.ip().to_string(), seen);
        assert!(socket.tcp_nodelay().expect("a socket"));
        drop(accepted);
    }
}
