//! tonic's own server over this project's streams: `Connected` tells its services the peer.
//!
//! The trait is tonic's, so a program implements it for a type of its own around the stream, as
//! here. tonic spawns each connection on tokio's threads; its socket stays registered with a shard.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::task::{Context, Poll};

use asyncfd::client::HttpConnector;
use asyncfd::net::{TcpListener, TcpStream};
use asyncfd::tokio_rt;
use futures_util::StreamExt;
use interop::{DEADLINE, on_a_shard};
use reactor::{Pinning, Reactor};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A connection for tonic's server.
struct Served(TcpStream);

impl Connected for Served {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: self.0.local_addr().ok(),
            remote_addr: self.0.peer_addr().ok(),
        }
    }
}

impl AsyncRead for Served {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buffer)
    }
}

impl AsyncWrite for Served {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(&mut self.0), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}

fn builder() -> reactor::Builder {
    Reactor::builder().shards(2).pinning(Pinning::None)
}

#[test]
fn tonics_server_needs_the_bridge() {
    let bare = builder().build().unwrap();
    let shard = bare.handle().shards().next().unwrap();
    let task = bare.handle().spawn_on(shard, exchange);
    let ended = bare.block_on(async { reactor::time::timeout(DEADLINE, task).await });
    assert!(ended.is_ok_and(|ended| ended.is_err_and(|error| error.is_panic())));
}

#[test]
fn tonics_server_takes_our_connections_and_knows_their_peers() {
    let bridge = tokio_rt::start(builder()).unwrap();
    on_a_shard(&bridge, exchange);
}

/// A server and a client on one shard.
async fn exchange() {
    let (reporter, health) = tonic_health::server::health_reporter();
    let serving = tonic_health::ServingStatus::Serving;
    reporter.set_service_status("it", serving).await;
    let (tell, told) = channel::<Option<SocketAddr>>();
    let peers =
        tonic::service::interceptor::InterceptorLayer::new(move |request: tonic::Request<()>| {
            tell.send(request.remote_addr()).unwrap();
            Ok(request)
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ends) = tokio::sync::oneshot::channel::<()>();
    let server = reactor::spawn_local(async move {
        let incoming = listener.incoming().map(|stream| stream.map(Served));
        let server = tonic::transport::Server::builder()
            .layer(peers)
            .add_service(health);
        let ended = async { drop(ends.await) };
        server.serve_with_incoming_shutdown(incoming, ended).await
    });
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = endpoint
        .unwrap()
        .connect_with_connector(HttpConnector::new())
        .await
        .unwrap();
    let mut client = HealthClient::new(channel);
    for _ in 0..10 {
        let service = String::from("it");
        let answer = client.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status, ServingStatus::Serving as i32);
        let peer = told.recv().unwrap().expect("the peer is known");
        assert!(peer.ip().is_loopback() && peer != address, "{peer}");
    }
    drop(client);
    end.send(()).unwrap();
    server.await.unwrap().unwrap();
}
