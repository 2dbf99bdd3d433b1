//! WebSockets by async-tungstenite, which uses the traits of `futures_io`.

use async_tungstenite::tungstenite::Message;
use async_tungstenite::{accept_async, client_async};
use asyncfd::net::TcpStream;
use futures_util::StreamExt;
use interop::{noise, on_a_shard, serve};

async fn echo(stream: TcpStream) {
    let mut socket = accept_async(stream).await.expect("a handshake");
    while let Some(message) = socket.next().await {
        let message = message.expect("messages until it is closed");
        if message.is_text() || message.is_binary() {
            socket.send(message).await.expect("the client reads");
        }
    }
}

#[test]
fn messages_of_every_size_come_back_and_the_close_is_answered() {
    let (reactor, address) = serve(|| echo);
    on_a_shard(&reactor, move || async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/");
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        // The largest is more than a connection holds in flight, so its writers have to wait.
        for size in [0, 1, 125, 126, 65_535, 65_536, 15_000_000] {
            let message = Message::binary(noise(size));
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.send(Message::text("grüße")).await.unwrap();
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::text("grüße")
        );
        socket.send(Message::Ping(vec![1, 2].into())).await.unwrap();
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::Pong(vec![1, 2].into())
        );
        socket.close(None).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
        assert!(socket.next().await.is_none());
    });
}
