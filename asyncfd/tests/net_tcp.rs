//! TCP through `net`: connecting, accepting, both halves, and conversions.

mod common;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use asyncfd::net::{TcpListener, TcpSocket, TcpStream};
use asyncfd::{Interest, Ready};
use reactor::{Handle, Placement, Reactor, ShardId};
use socket2::{Domain, Socket, Type};

use common::support::{Probe, panic_of, tcp_pair};
use common::{cached, run, run_on_shard, settle, within_deadline};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Returns an address without a listener; the socket keeps the address taken.
fn deserted() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&loopback().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Returns a socket that was set up with socket2.
fn configured(socket: Socket) -> TcpSocket {
    TcpSocket::try_from(OwnedFd::from(socket)).unwrap()
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), peer);
    (client, server)
}

/// Reads until `buffer` is full.
async fn read_exact(stream: &TcpStream, buffer: &mut [u8]) {
    let mut done = 0;
    while done < buffer.len() {
        let n = stream.read(&mut buffer[done..]).await.unwrap();
        assert_ne!(n, 0, "the stream ended early");
        done += n;
    }
}

#[test]
fn bytes_go_both_ways() {
    run(|| async {
        let (client, server) = connected().await;
        for length in [1, 64, 4096] {
            let sent: Vec<u8> = (0..=250).cycle().take(length).collect();
            client.write_all(&sent).await.unwrap();
            let mut received = vec![0; length];
            read_exact(&server, &mut received).await;
            assert_eq!(received, sent);
            server.write_all(&received).await.unwrap();
            let mut echoed = vec![0; length];
            read_exact(&client, &mut echoed).await;
            assert_eq!(echoed, sent);
        }
        drop(client);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn megabytes_pass_through_full_buffers() {
    run(|| async {
        let (client, server) = connected().await;
        let sent: Vec<u8> = (0..8_u32 << 20)
            .map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8)
            .collect();
        let mut write = pin!(async {
            client.write_all(&sent).await.unwrap();
            client.shutdown_std(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        let mut read = Box::pin(async {
            let mut chunk = vec![0; 30_000];
            loop {
                match server.read(&mut chunk).await.unwrap() {
                    0 => return,
                    n => received.extend_from_slice(&chunk[..n]),
                }
            }
        });
        let mut written = false;
        std::future::poll_fn(|cx| {
            if !written {
                written = write.as_mut().poll(cx).is_ready();
            }
            read.as_mut().poll(cx)
        })
        .await;
        drop(read);
        assert!(received == sent, "what arrived is not what was sent");
    });
}

#[test]
fn connecting_where_nobody_listens_is_refused() {
    run(|| async {
        let (_socket, address) = deserted();
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn connecting_from_a_bound_socket_keeps_its_address() {
    run(|| async {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into())
            .unwrap();
        let address = listener.local_addr().unwrap();
        let client = configured(socket).connect(address).await.unwrap();
        let (_server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(client.local_addr().unwrap(), peer);
        // The stream was created in blocking mode.
        let flags = rustix::fs::fcntl_getfl(&client).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));

        let (_socket, address) = deserted();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let error = configured(socket).connect(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_connected_stream_shows_no_hang_up_from_before() {
    run(|| async {
        let (client, server) = connected().await;
        settle().await;
        assert_eq!(cached(client.as_async_fd(), BOTH), Ready::WRITABLE);
        let probe = Probe::new();
        let mut closed = pin!(client.closed());
        assert!(probe.poll(closed.as_mut()).is_pending());
        settle().await;
        assert!(probe.poll(closed.as_mut()).is_pending());
        server.shutdown_std(Shutdown::Write).unwrap();
        assert_eq!(closed.await.unwrap(), Ready::READ_CLOSED);
    });
}

#[test]
fn giving_a_connect_up_closes_its_socket() {
    run(|| async {
        // A queue for one connection, which is full: further attempts stay pending.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&loopback().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let _taken = std::net::TcpStream::connect(address).unwrap();
        let before = Handle::current().metrics().shards[0].registrations;
        {
            let probe = Probe::new();
            let mut attempt = pin!(TcpStream::connect(address));
            assert!(probe.poll(attempt.as_mut()).is_pending());
            settle().await;
            assert!(probe.poll(attempt.as_mut()).is_pending());
            assert_eq!(
                Handle::current().metrics().shards[0].registrations,
                before + 1
            );
        }
        assert_eq!(Handle::current().metrics().shards[0].registrations, before);
    });
}

#[test]
fn an_accepted_stream_is_tried_before_its_first_event() {
    // The case runs on the shard, so that no turn of its loop comes in between.
    run_on_shard(|| async {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"abc").unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(server.try_read(&mut [0; 8]).unwrap(), 3);
        assert_eq!(server.try_write(b"x").unwrap(), 1);

        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"abc").unwrap();
        let (server, _) = listener.accept_std().await.unwrap();
        let server = TcpStream::from_accepted(server).unwrap();
        assert_eq!(server.try_read(&mut [0; 8]).unwrap(), 3);

        // Other sockets wait for their first event.
        let (a, mut b) = tcp_pair();
        b.write_all(b"abc").unwrap();
        let a = TcpStream::from_std(a).unwrap();
        assert_eq!(
            a.try_read(&mut [0; 8]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    });
}

#[test]
fn an_early_guess_costs_one_try_and_no_more() {
    run_on_shard(|| async {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        // Nothing was sent: the guess is wrong, and the wait that follows really waits.
        let probe = Probe::new();
        let mut buffer = [0; 8];
        let mut read = pin!(server.read(&mut buffer));
        assert!(probe.poll(read.as_mut()).is_pending());
        settle().await;
        assert_eq!(
            cached(server.as_async_fd(), Interest::READABLE),
            Ready::EMPTY
        );
        (&client).write_all(b"abc").unwrap();
        assert_eq!(read.await.unwrap(), 3);
    });
}

#[test]
fn what_accept_std_returns_is_non_blocking_closed_on_exec_and_not_registered() {
    run(|| async {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let before = Handle::current().metrics().shards[0].registrations;
        let (server, _) = listener.accept_std().await.unwrap();
        assert_eq!(Handle::current().metrics().shards[0].registrations, before);
        let error = (&server).read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let flags = rustix::io::fcntl_getfd(&server).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    });
}

#[test]
fn sockets_register_on_the_shard_where_they_are_made() {
    let reactor = Reactor::builder().shards(2).build().unwrap();
    for shard in reactor.handle().shards() {
        let task = reactor.handle().spawn_on(shard, move || async move {
            assert_eq!(ShardId::current(), Some(shard));
            let listener = TcpListener::bind(loopback()).await.unwrap();
            assert_eq!(listener.shard(), shard);
            for _ in 0..8 {
                let client = TcpStream::connect(listener.local_addr().unwrap())
                    .await
                    .unwrap();
                let (server, _) = listener.accept().await.unwrap();
                let (a, _b) = tcp_pair();
                let other = TcpStream::from_std(a).unwrap();
                let shards = [client.shard(), server.shard(), other.shard()];
                assert_eq!(shards, [shard; 3]);
            }
        });
        within_deadline(&reactor, task).unwrap();
    }
}

#[test]
fn off_the_shards_the_reactor_places_them() {
    let last = Reactor::builder()
        .shards(2)
        .build()
        .unwrap()
        .handle()
        .shards()
        .last()
        .unwrap();
    let reactor = Reactor::builder()
        .shards(2)
        .placement(Placement::Shard(last))
        .build()
        .unwrap();
    let _entered = reactor.enter();
    // All are alive at once, so their numbers differ and a hash would spread them.
    let sockets: Vec<_> = (0..16)
        .map(|_| TcpListener::from_std(std::net::TcpListener::bind(loopback()).unwrap()).unwrap())
        .collect();
    assert!(sockets.iter().all(|socket| socket.shard() == last));
}

#[test]
fn without_a_reactor_the_constructors_panic_and_blame_their_caller() {
    let this = |(message, file, line): (String, String, u32), expected: u32| {
        assert!(message.contains("reactor"), "unhelpful: {message}");
        assert!(file.ends_with("net_tcp.rs"), "blamed on {file}");
        assert_eq!(line, expected);
    };
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let stream = || tcp_pair().0;
    let fd = || OwnedFd::from(tcp_pair().0);
    let socket = TcpSocket::new_v4().unwrap();
    this(panic_of(|| socket.listen(1)), line!());
    this(panic_of(|| TcpListener::from_std(listener)), line!());
    this(panic_of(|| TcpStream::from_std(stream())), line!());
    this(panic_of(|| TcpStream::from_accepted(stream())), line!());
    this(panic_of(|| TcpStream::try_from(stream())), line!());
    this(panic_of(|| TcpStream::try_from(fd())), line!());
}

#[test]
fn borrowed_halves_read_and_write() {
    run(|| async {
        let (mut client, server) = connected().await;
        {
            let (read, write) = client.split();
            write.write_all(b"abc").await.unwrap();
            assert_eq!(write.try_write(b"d").unwrap(), 1);
            let mut buffer = [0; 4];
            read_exact(&server, &mut buffer).await;
            server.write_all(&buffer).await.unwrap();
            read.readable().await.unwrap();
            assert_eq!(read.peek(&mut buffer).await.unwrap(), 4);
            assert_eq!(read.read(&mut buffer).await.unwrap(), 4);
            assert_eq!(&buffer, b"abcd");
            assert_eq!(read.as_ref().as_raw_fd(), write.as_ref().as_raw_fd());
        }
        // Dropping borrowed halves shuts nothing down.
        client.write_all(b"e").await.unwrap();
        read_exact(&server, &mut [0; 1]).await;
    });
}

#[test]
fn dropping_the_owned_write_half_ends_the_peers_reading_only() {
    run(|| async {
        let (client, server) = connected().await;
        let (read, write) = client.into_split();
        write.write_all(b"abc").await.unwrap();
        drop(write);
        read_exact(&server, &mut [0; 3]).await;
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        server.write_all(b"answer").await.unwrap();
        assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 6);
    });
}

#[test]
fn forgetting_the_owned_write_half_ends_nothing() {
    run(|| async {
        let (client, server) = connected().await;
        let (read, write) = client.into_split();
        write.forget();
        settle().await;
        let probe = Probe::new();
        let mut buffer = [0; 8];
        assert!(probe.poll(pin!(server.read(&mut buffer))).is_pending());
        drop(read);
        assert_eq!(server.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn halves_of_one_stream_reunite_and_others_come_back() {
    run(|| async {
        let (client, server) = connected().await;
        let (other, _server) = connected().await;
        let (read, write) = client.into_split();
        let (other_read, other_write) = other.into_split();
        let error = read.reunite(other_write).unwrap_err();
        assert_eq!(error.to_string(), "the halves are not of one stream");
        let (read, other_write) = (error.0, error.1);
        let other = other_write.reunite(other_read).unwrap();
        let client = read.reunite(write).unwrap();
        assert_ne!(other.as_raw_fd(), client.as_raw_fd());
        client.write_all(b"whole").await.unwrap();
        read_exact(&server, &mut [0; 5]).await;
    });
}

#[test]
fn two_tasks_hold_a_half_each() {
    run(|| async {
        let (client, server) = connected().await;
        let (read, write) = client.into_split();
        let writer = Handle::current().spawn(async move {
            for _ in 0..100 {
                write.write_all(&[7; 1000]).await.unwrap();
            }
        });
        let reader = Handle::current().spawn(async move {
            let (mut total, mut chunk) = (0, [0; 3000]);
            loop {
                match read.read(&mut chunk).await.unwrap() {
                    0 => return total,
                    n => total += n,
                }
            }
        });
        let mut received = vec![0; 100_000];
        read_exact(&server, &mut received).await;
        server.write_all(&received).await.unwrap();
        drop(server);
        writer.await.unwrap();
        assert_eq!(reader.await.unwrap(), 100_000);
    });
}

#[test]
fn it_converts_from_and_to_other_types() {
    run(|| async {
        let (client, mut server) = tcp_pair();
        let number = client.as_raw_fd();
        let client = TcpStream::from_std(client).unwrap();
        assert_eq!(
            (client.as_raw_fd(), client.as_fd().as_raw_fd()),
            (number, number)
        );
        assert!(format!("{client:?}").contains("TcpStream"));
        let fd = OwnedFd::from(client);
        assert_eq!(fd.as_raw_fd(), number);
        let client = TcpStream::try_from(fd).unwrap();
        let client = client.into_std().unwrap();
        assert_eq!(
            (&client).read(&mut [0; 8]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let client = TcpStream::try_from(client).unwrap();
        server.write_all(b"abc").unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 3);

        let listener = TcpListener::bind(loopback()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::try_from(OwnedFd::from(listener)).unwrap();
        let listener = TcpListener::from_std(listener.into_std().unwrap()).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener.accept().await.unwrap();
    });
}

#[test]
fn a_blocking_socket_from_elsewhere_is_made_non_blocking() {
    run(|| async {
        let (a, _b) = tcp_pair();
        a.set_nonblocking(false).unwrap();
        let a = TcpStream::from_std(a).unwrap();
        let flags = rustix::fs::fcntl_getfl(&a).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    });
}

#[test]
fn options_reach_the_socket() {
    run(|| async {
        let (client, server) = connected().await;
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap() && client.as_async_fd().get_ref().nodelay().unwrap());
        client.set_nodelay(false).unwrap();
        assert!(!client.nodelay().unwrap());
        client.set_ttl(33).unwrap();
        assert_eq!(client.ttl().unwrap(), 33);
        client.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
        assert!(client.take_error().unwrap().is_none());
        drop(client);
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn readiness_can_be_polled_without_a_buffer() {
    run(|| async {
        let (client, server) = connected().await;
        assert!(
            client
                .ready(Interest::WRITABLE)
                .await
                .unwrap()
                .is_writable()
        );
        let probe = Probe::new();
        assert!(probe.with(|cx| client.poll_write_ready(cx).is_ready()));
        assert!(probe.with(|cx| client.poll_read_ready(cx).is_pending()));
        server.write_all(b"abc").await.unwrap();
        probe.woken().await;
        let Poll::Ready(Ok(())) = probe.with(|cx| client.poll_read_ready(cx)) else {
            panic!("woken and not ready")
        };
        assert_eq!(client.try_read(&mut [0; 8]).unwrap(), 3);
        assert!(probe.with(|cx| client.poll_read_ready(cx).is_pending()));
    });
}

#[test]
fn empty_transfers_move_nothing() {
    run(|| async {
        let (client, server) = connected().await;
        client.write_all(b"").await.unwrap();
        assert_eq!(client.write(b"").await.unwrap(), 0);
        client.write_all(b"abc").await.unwrap();
        assert_eq!(server.read(&mut []).await.unwrap(), 0);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 3);
    });
}
