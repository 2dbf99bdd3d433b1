//! rustls through tokio-rustls: between two streams of this crate, and as an HTTPS server for curl,
//! which chooses the version of HTTP in the handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use asyncfd::compat::{ShardExecutor, ShardTimer};
use asyncfd::net::TcpStream;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use interop::{Scratch, curl, noise, on_a_shard, serve};
use rcgen::CertifiedKey;
use reactor::Reactor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Returns a self-signed certificate of `localhost`, and a server that uses it.
fn identity(protocols: &[&[u8]]) -> (CertificateDer<'static>, String, TlsAcceptor) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([String::from("localhost")]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    (
        cert.der().clone(),
        cert.pem(),
        TlsAcceptor::from(Arc::new(config)),
    )
}

fn connector(authority: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Checks, after both have ended TLS, that the streams below end as well, although neither side has
/// dropped its own yet.
async fn nothing_follows(mut stream: TcpStream) {
    let mut rest = Vec::new();
    AsyncReadExt::read_to_end(&mut stream, &mut rest)
        .await
        .unwrap();
    assert!(rest.is_empty(), "{} bytes came after the end", rest.len());
}

/// Echoes until the client ends, then ends too.
async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut tls = acceptor.accept(stream).await?;
    let mut buffer = vec![0; 40_000];
    loop {
        let n = tls.read(&mut buffer).await?;
        if n == 0 {
            break;
        }
        tls.write_all(&buffer[..n]).await?;
        tls.flush().await?;
    }
    tls.shutdown().await?;
    nothing_follows(tls.into_inner().0).await;
    Ok(())
}

#[test]
fn much_comes_back_through_tls_and_both_ends_are_told() {
    let (authority, _, acceptor) = identity(&[]);
    let (reactor, address) = serve(move || {
        let acceptor = acceptor.clone();
        move |stream| {
            let acceptor = acceptor.clone();
            async move {
                echo(acceptor, stream)
                    .await
                    .expect("the echo ends in order")
            }
        }
    });
    on_a_shard(&reactor, move || async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = connector(authority).connect(name, stream).await.unwrap();
        let (mut reads, mut writes) = tokio::io::split(tls);
        let sent = noise(12_000_003);
        let expected = sent.clone();
        let writing = reactor::spawn_local(async move {
            writes.write_all(&sent).await.unwrap();
            writes.shutdown().await.unwrap();
            writes
        });
        let mut came = Vec::new();
        // An end without TLS's own closing message would be an error.
        reads.read_to_end(&mut came).await.unwrap();
        assert!(came == expected, "{} bytes came back", came.len());
        let tls = reads.unsplit(writing.await.unwrap());
        nothing_follows(tls.into_inner().0).await;
    });
}

fn https() -> (Reactor, SocketAddr, String) {
    let (_, pem, acceptor) = identity(&[b"h2", b"http/1.1"]);
    let (reactor, address) = serve(move || {
        let acceptor = acceptor.clone();
        move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(tls) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(async |request: Request<Incoming>| {
                    let version = format!("{:?}", request.version());
                    let body = request.into_body().collect().await?.to_bytes();
                    let body = if body.is_empty() {
                        Bytes::from(version)
                    } else {
                        body
                    };
                    Ok::<_, hyper::Error>(Response::new(Full::new(body)))
                });
                let mut builder = auto::Builder::new(ShardExecutor::new());
                builder.http1().timer(ShardTimer::new());
                builder.http2().timer(ShardTimer::new());
                let _ = builder.serve_connection(TokioIo::new(tls), service).await;
            }
        }
    });
    (reactor, address, pem)
}

#[test]
fn curl_is_served_over_https_in_both_versions() {
    let (_reactor, address, pem) = https();
    let scratch = Scratch::new("https");
    let authority = scratch.write("cert.pem", pem).display().to_string();
    let body = noise(3_000_001);
    let data = format!("@{}", scratch.write("body", &body).display());
    let url = format!("https://localhost:{}/[1-20]", address.port());
    for (option, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
        let trusted = [option, "--ipv4", "--cacert", &authority];
        let came = curl(trusted.iter().copied().chain([&*url]));
        assert_eq!(String::from_utf8(came).unwrap(), version.repeat(20));
        let large = [
            "--data-binary",
            &data,
            "--header",
            "expect:",
            &url[..url.len() - 6],
        ];
        let came = curl(trusted.iter().copied().chain(large));
        assert!(
            came == body,
            "{} bytes came back over {version}",
            came.len()
        );
    }
}
