//! The accepted forms of an address, and name lookups.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::side::{TcpListener, TcpSocket, TcpStream, UdpSocket, lookup_host, run};

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn every_form_of_an_address_connects() {
    run(|| async {
        let (listener, address) = listener().await;
        let port = address.port();
        let SocketAddr::V4(v4) = address else {
            panic!("{address}")
        };
        let streams = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(v4).await.unwrap(),
            TcpStream::connect(&address).await.unwrap(),
            TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .unwrap(),
            TcpStream::connect((IpAddr::V4(Ipv4Addr::LOCALHOST), port))
                .await
                .unwrap(),
            TcpStream::connect(address.to_string()).await.unwrap(),
            TcpStream::connect(&*address.to_string()).await.unwrap(),
            TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
            TcpStream::connect(("127.0.0.1".to_owned(), port))
                .await
                .unwrap(),
            TcpStream::connect(&[address][..]).await.unwrap(),
            // The name is looked up, and the address that answers is taken.
            TcpStream::connect(("localhost", port)).await.unwrap(),
            TcpStream::connect(format!("localhost:{port}"))
                .await
                .unwrap(),
        ];
        for stream in streams {
            assert_eq!(stream.peer_addr().unwrap(), address);
            listener.accept().await.unwrap();
        }
    });
}

#[test]
fn of_several_addresses_the_first_that_answers_is_taken() {
    run(|| async {
        let (_kept, address) = listener().await;
        let (gone, deserted) = listener().await;
        drop(gone);
        let stream = TcpStream::connect(&[deserted, address][..]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let error = TcpStream::connect(&[deserted, deserted][..])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = TcpStream::connect(&[][..]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn names_are_looked_up() {
    run(|| async {
        let found: Vec<_> = lookup_host("localhost:80").await.unwrap().collect();
        assert!(!found.is_empty());
        for address in found {
            assert!(address.ip().is_loopback() && address.port() == 80);
        }
        let found: Vec<_> = lookup_host("127.0.0.1:80").await.unwrap().collect();
        assert_eq!(found, [SocketAddr::from((Ipv4Addr::LOCALHOST, 80))]);
        let socket = UdpSocket::bind(("localhost", 0)).await.unwrap();
        assert!(socket.local_addr().unwrap().ip().is_loopback());
        let to = format!("localhost:{}", socket.local_addr().unwrap().port());
        socket.send_to(b"abc", to).await.unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn what_is_neither_address_nor_name_and_port_is_refused() {
    run(|| async {
        for wrong in [
            "",
            "localhost",
            "localhost:",
            "localhost:http",
            "[::1]:65536",
        ] {
            let error = TcpStream::connect(wrong).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong:?}");
        }
    });
}

#[test]
fn a_socket_is_set_up_before_it_connects_or_listens() {
    run(|| async {
        let first = TcpSocket::new_v4().unwrap();
        first.set_reuseport(true).unwrap();
        first.set_reuseaddr(true).unwrap();
        assert!(first.reuseport().unwrap() && first.reuseaddr().unwrap());
        first.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = first.local_addr().unwrap();
        let first = first.listen(8).unwrap();
        assert_eq!(first.local_addr().unwrap(), address);
        // Two sockets share one address, which needs the option.
        let second = TcpSocket::new_v4().unwrap();
        second.set_reuseport(true).unwrap();
        second.bind(address).unwrap();
        drop(second.listen(8).unwrap());
        let third = TcpSocket::new_v4().unwrap();
        let error = third.bind(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);

        let client = TcpSocket::new_v4().unwrap();
        client.set_keepalive(true).unwrap();
        client.set_nodelay(true).unwrap();
        client.set_recv_buffer_size(20_000).unwrap();
        client.set_send_buffer_size(30_000).unwrap();
        assert!(client.keepalive().unwrap());
        client.set_tos_v4(0x10).unwrap();
        assert_eq!(client.tos_v4().unwrap(), 0x10);
        assert_eq!(client.device().unwrap(), None);
        client.bind_device(Some(b"lo")).unwrap();
        assert_eq!(client.device().unwrap().as_deref(), Some(&b"lo"[..]));
        let six = TcpSocket::new_v6().unwrap();
        six.set_tclass_v6(0x20).unwrap();
        assert_eq!(six.tclass_v6().unwrap(), 0x20);
        // Twice the value that was set: Linux adds its own bookkeeping.
        assert_eq!(client.recv_buffer_size().unwrap(), 40_000);
        assert_eq!(client.send_buffer_size().unwrap(), 60_000);
        let there = Ipv4Addr::new(127, 0, 0, 2);
        client.bind((there, 0).into()).unwrap();
        let client = client.connect(address).await.unwrap();
        assert!(client.nodelay().unwrap());
        let (_server, peer) = first.accept().await.unwrap();
        assert_eq!(
            (peer.ip(), peer),
            (there.into(), client.local_addr().unwrap())
        );
    });
}
