//! QUIC by quinn, with a server and a client on the reactor.

mod runtime;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use interop::{DEADLINE, noise, on_a_shard, two_shards};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, ServerConfig,
    TransportConfig,
};
use rcgen::CertifiedKey;
use reactor::{Handle, spawn_local};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, RootCertStore, version};

use runtime::OnReactor;

/// Returns the configurations. `patience` is the idle timeout of a connection.
fn configs(patience: Duration) -> (ServerConfig, ClientConfig) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(patience.try_into().unwrap()));
    let transport = Arc::new(transport);
    let server = QuicServerConfig::try_from(server).unwrap();
    let mut server = ServerConfig::with_crypto(Arc::new(server));
    server.transport_config(Arc::clone(&transport));
    let client = QuicClientConfig::try_from(client).unwrap();
    let mut client = ClientConfig::new(Arc::new(client));
    client.transport_config(transport);
    (server, client)
}

fn endpoint(server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let runtime = Arc::new(OnReactor(Handle::current()));
    Endpoint::new(EndpointConfig::default(), server, socket, runtime).unwrap()
}

/// Echoes every stream of every connection.
async fn echo(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await.unwrap();
        drop(spawn_local(async move {
            while let Ok((mut writes, mut reads)) = connection.accept_bi().await {
                drop(spawn_local(async move {
                    while let Some(chunk) = reads.read_chunk(usize::MAX, true).await.unwrap() {
                        writes.write_chunk(chunk.bytes).await.unwrap();
                    }
                    writes.finish().unwrap();
                }));
            }
        }));
    }
}

/// Returns a connection to a new server.
async fn connected(patience: Duration) -> Connection {
    let (server, client) = configs(patience);
    let server = endpoint(Some(server));
    let address: SocketAddr = server.local_addr().unwrap();
    drop(spawn_local(echo(server)));
    let connecting = endpoint(None).connect_with(client, address, "localhost");
    connecting.unwrap().await.unwrap()
}

#[test]
fn streams_of_one_connection_carry_much_at_once() {
    let reactor = two_shards();
    on_a_shard(&reactor, || async {
        let connection = connected(DEADLINE).await;
        let mut streams = Vec::new();
        for stream in 0..8 {
            let (mut writes, mut reads) = connection.open_bi().await.unwrap();
            let sent = noise(700_000 + stream);
            let expected = sent.clone();
            drop(spawn_local(async move {
                writes.write_all(&sent).await.unwrap();
                writes.finish().unwrap();
            }));
            streams.push(spawn_local(async move {
                let came = reads.read_to_end(1 << 20).await.unwrap();
                assert!(came == expected, "{} bytes came back", came.len());
            }));
        }
        for stream in streams {
            stream.await.unwrap();
        }
    });
}

#[test]
fn a_silent_connection_is_ended_by_its_timer() {
    let reactor = two_shards();
    on_a_shard(&reactor, || async {
        let patience = Duration::from_secs(1);
        let began = Instant::now();
        let connection = connected(patience).await;
        let ended = connection.closed().await;
        assert!(matches!(ended, ConnectionError::TimedOut), "{ended}");
        assert!(began.elapsed() >= patience);
    });
}
