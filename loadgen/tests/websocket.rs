//! WebSocket echo, checked against the server's own record.
#![cfg(feature = "websocket")]

mod common;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use common::{run, serve};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

/// Starts a server that runs a function for each connection and counts messages.
#[expect(
    clippy::result_large_err,
    reason = "the type of the check is the library's"
)]
fn server(
    treat: impl Fn(&mut WebSocket<TcpStream>, Message) -> tungstenite::Result<()>
    + Send
    + Sync
    + 'static,
) -> (SocketAddr, Arc<AtomicU64>) {
    let messages = Arc::<AtomicU64>::default();
    let seen = Arc::clone(&messages);
    let address = serve(move |_, stream| {
        let check = |request: &Request, response: Response| {
            assert_eq!(request.uri().path(), "/echo");
            assert_eq!(request.headers()["x-from"], "loadgen");
            Ok(response)
        };
        let Ok(mut socket) = tungstenite::accept_hdr(stream, check) else {
            return Ok(());
        };
        while let Ok(message) = socket.read() {
            if message.is_binary() {
                seen.fetch_add(1, SeqCst);
                if treat(&mut socket, message).is_err() {
                    break;
                }
            }
        }
        Ok(())
    });
    (address, messages)
}

const FIELD: &str = "-H X-From:loadgen";

#[test]
fn messages_come_back_in_both_loops_and_in_all_sizes() {
    let (server, messages) = server(|socket, message| {
        socket.write(Message::Ping(vec![1, 2, 3].into()))?;
        socket.send(message)
    });
    for load in ["-P 4 -n 200", "-R 200 -d 1 --warmup 0 --io poll"] {
        messages.store(0, SeqCst);
        let args = format!("-c 3 {load} --size 1:1,64:8,100k:1 {FIELD} --format json");
        let report = run(&format!("ws://{server}/echo {args}"))
            .expect_code(0)
            .report();
        assert_eq!((report.requests.answered, report.errors.len()), (200, 0));
        assert_eq!(messages.load(SeqCst), 203, "{load}");
        assert_eq!(report.settings.protocol, "websocket");
    }
}

#[test]
fn a_byte_that_differs_is_caught() {
    let (server, _) = server(|socket, message| {
        let mut bytes = message.into_data().to_vec();
        bytes[17] ^= 1;
        socket.send(Message::Binary(bytes.into()))
    });
    let url = format!("ws://{server}/echo -c 1 -n 5 --no-reconnect {FIELD}");
    run(&url)
        .expect_code(1)
        .expect_message("request 0: byte 17 of the reply is");
    run(&format!("{url} --verify off")).expect_code(0);
}

#[test]
fn a_message_that_nobody_asked_for_is_caught() {
    // The first message belongs to the ramp.
    let first = AtomicBool::new(true);
    let (server, _) = server(move |socket, message| {
        if !first.swap(false, SeqCst) {
            socket.write(message.clone())?;
        }
        socket.send(message)
    });
    run(&format!(
        "ws://{server}/echo -c 1 -n 5 --no-reconnect {FIELD}"
    ))
    .expect_code(1)
    .expect_message("bytes came that no request asked for");
}

#[test]
fn a_server_that_closes_is_connected_to_again() {
    let (server, messages) = server(|socket, message| {
        socket.send(message)?;
        // The server sends a close frame before it closes.
        if socket.get_config().read_buffer_size == 1 {
            return socket.close(None);
        }
        socket.set_config(|config| config.read_buffer_size = 1);
        Ok(())
    });
    let args = format!("-c 2 -n 40 {FIELD} --format json");
    let report = run(&format!("ws://{server}/echo {args}"))
        .expect_code(0)
        .report();
    assert_eq!((report.requests.answered, report.errors.len()), (40, 0));
    let closed = report.connections.closed_by_server;
    assert!(closed >= 19);
    // If a request and the server's close cross, the request gets no answer and is sent again. This
    // is rare, so the test would find a generator that repeats an answered request after each
    // close.
    let messages = messages.load(SeqCst);
    assert!(
        (42..=42 + closed / 2).contains(&messages),
        "{messages}, closed {closed} times"
    );
}

#[test]
fn a_message_of_another_length_is_caught() {
    let (server, _) = server(|socket, message| {
        let bytes = message.into_data();
        socket.send(Message::Binary(bytes.slice(..bytes.len() - 1)))
    });
    run(&format!(
        "ws://{server}/echo -c 1 -n 5 --no-reconnect {FIELD}"
    ))
    .expect_code(1)
    .expect_message("a message of 63 bytes instead of 64");
}

#[test]
fn a_message_in_fragments_is_one_answer() {
    let (server, messages) = server(|socket, message| {
        let bytes = message.into_data();
        let third = bytes.len() / 3;
        for (piece, kind, last) in [
            (bytes.slice(..third), Data::Binary, false),
            (bytes.slice(third..2 * third), Data::Continue, false),
            (bytes.slice(2 * third..), Data::Continue, true),
        ] {
            // A control frame may come between the fragments.
            socket.write(Message::Ping(vec![7].into()))?;
            let frame = Frame::message(piece, OpCode::Data(kind), last);
            socket.write(Message::Frame(frame))?;
        }
        socket.flush()
    });
    let report = run(&format!(
        "ws://{server}/echo -c 2 -P 3 -n 60 {FIELD} --format json"
    ))
    .expect_code(0)
    .report();
    assert_eq!((report.requests.answered, report.errors.len()), (60, 0));
    assert_eq!(messages.load(SeqCst), 62);
}

/// Runs a function for each message until the connection ends. Counts the pongs, and the answered
/// closes.
fn serve_control_frames(
    treat: impl Fn(&mut WebSocket<TcpStream>, Message) -> tungstenite::Result<()>
    + Send
    + Sync
    + 'static,
) -> (SocketAddr, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (pongs, closes) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let counts = (Arc::clone(&pongs), Arc::clone(&closes));
    let address = serve(move |_, stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return Ok(());
        };
        loop {
            match socket.read() {
                Ok(Message::Pong(bytes)) if bytes == [1, 2, 3][..] => {
                    counts.0.fetch_add(1, SeqCst);
                }
                // A message that crosses with the server's close gets no answer.
                Ok(message) if message.is_binary() => drop(treat(&mut socket, message)),
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => {
                    counts.1.fetch_add(1, SeqCst);
                    return Ok(());
                }
                Err(_) => return Ok(()),
            }
        }
    });
    (address, pongs, closes)
}

#[test]
fn pings_are_answered_on_idle_connections_too() {
    let (server, pongs, _) = serve_control_frames(|socket, message| {
        socket.send(message)?;
        socket.send(Message::Ping(vec![1, 2, 3].into()))
    });
    let load = "-c 3 --active 1 -R 1 -d 1s --warmup 0";
    run(&format!("ws://{server}/echo {load}")).expect_code(0);
    // One for the first message of each connection, and perhaps one for the first message of the
    // load.
    common::wait_until("the pongs have come", || pongs.load(SeqCst) >= 3);
    assert!(pongs.load(SeqCst) <= 4);
}

#[test]
fn a_close_is_answered_on_every_surface() {
    for surface in ["helpers", "guards", "poll"] {
        let (server, _, closes) = serve_control_frames(|socket, message| {
            socket.send(message)?;
            socket.close(None)
        });
        let args = format!("-c 1 -n 5 --io {surface} --format json");
        let report = run(&format!("ws://{server}/echo {args}"))
            .expect_code(0)
            .report();
        assert_eq!((report.requests.answered, report.errors.len()), (5, 0));
        // The last connection may end with the run.
        common::wait_until("the closes are answered", || closes.load(SeqCst) >= 5);
    }
}

#[test]
fn a_server_that_opens_no_websocket_is_told_apart() {
    let server = common::serve_http("404 Not Found");
    run(&format!("ws://{server}/echo -c 1 -n 5 --no-reconnect"))
        .expect_code(1)
        .expect_message("WebSocket: HTTP error: 404");
}
