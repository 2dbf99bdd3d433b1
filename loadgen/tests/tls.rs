//! TLS: certificates that are verified, refused or not checked, and the names that are sent.
#![cfg(feature = "tls")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use common::{run, serve};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// The name and the protocol that a client asks for.
type Asked = (Option<String>, Option<Vec<u8>>);

/// A server with a certificate of its own for `localhost`.
struct Server {
    address: SocketAddr,
    folder: TempDir,
    /// The name and the protocol that each connection asked for.
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http,
    Echo,
    #[cfg(feature = "websocket")]
    WebSocketEcho,
}

impl Server {
    fn start(speaks: Speaks) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
        let folder = tempfile::tempdir().expect("a folder");
        let der = made.cert.der().to_vec();
        fs::write(folder.path().join("ca.pem"), pem(&der)).expect("ours");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![der.into()], key)
            .expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (config, asked) = (Arc::new(config), Arc::<Mutex<Vec<Asked>>>::default());
        let seen = Arc::clone(&asked);
        let address = serve(move |_, stream| {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a configuration");
            let mut stream = StreamOwned::new(session, stream);
            #[cfg(feature = "websocket")]
            if speaks == Speaks::WebSocketEcho {
                let Ok(mut socket) = tungstenite::accept(&mut stream) else {
                    return Ok(());
                };
                while let Ok(message) = socket.read() {
                    if message.is_binary() && socket.send(message).is_err() {
                        break;
                    }
                }
                return Ok(());
            }
            let mut buffer = vec![0; 65_536];
            let mut first = true;
            loop {
                let read = stream.read(&mut buffer)?;
                if std::mem::take(&mut first) {
                    let name = stream.conn.server_name().map(str::to_owned);
                    let protocol = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
                    seen.lock().expect("no panic").push((name, protocol));
                }
                match read {
                    0 => return Ok(()),
                    _ if speaks == Speaks::Http => {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
                        stream.write_all(&vec![b'x'; 100_000])?;
                    }
                    read => stream.write_all(&buffer[..read])?,
                }
                stream.flush()?;
            }
        });
        Self {
            address,
            folder,
            asked,
        }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn https_is_verified_and_offers_its_name_and_protocol() {
    let server = Server::start(Speaks::Http);
    let url = format!("https://localhost:{}/", server.address.port());
    let args = format!(
        "{url} -4 -c 3 -n 60 --cacert {} --format json",
        server.ca().display()
    );
    let report = run(&args).expect_code(0).report();
    assert_eq!((report.requests.answered, report.errors.len()), (60, 0));
    assert!(report.settings.tls);
    let connections = &report.connections;
    let handshake = connections.handshake_latency.as_ref().expect("TLS has one");
    assert_eq!((handshake.count, connections.connect_latency.count), (3, 3));
    assert!(handshake.min_ns > 0 && handshake.max_ns <= connections.connect_latency.max_ns);
    let asked = server.asked.lock().expect("no panic");
    assert_eq!(asked.len(), 3);
    let expected = (Some("localhost".to_owned()), Some(b"http/1.1".to_vec()));
    assert!(asked.iter().all(|one| *one == expected), "{asked:?}");
}

#[test]
fn a_certificate_of_a_stranger_is_refused_unless_anything_goes() {
    let server = Server::start(Speaks::Http);
    let other = Server::start(Speaks::Http);
    let url = format!("https://localhost:{}/ -4 -c 1 -n 5", server.address.port());
    let ca = other.ca();
    let run_with = |flags: &str| run(&format!("{url} {flags}"));
    run_with(&format!("--cacert {}", ca.display()))
        .expect_code(1)
        .expect_message("invalid peer certificate");
    run_with("--insecure").expect_code(0);
    run_with(&format!(
        "--cacert {} --sni other.example",
        server.ca().display()
    ))
    .expect_code(1)
    .expect_message("not valid for name");
}

#[test]
fn raw_bytes_are_encrypted_and_verified_in_the_open_loop_too() {
    let server = Server::start(Speaks::Echo);
    let args = "-c 4 -R 400 -d 1s --warmup 0 --tls --insecure --size 64:9,100k:1 --format json";
    let report = run(&format!("{} {args}", server.address))
        .expect_code(0)
        .report();
    assert_eq!(
        (report.requests.scheduled, report.requests.answered),
        (400, 400)
    );
    let asked = server.asked.lock().expect("no panic");
    assert!(
        asked.iter().all(|one| *one == (None, None)),
        "no name, no protocol: {asked:?}"
    );
}

#[cfg(feature = "websocket")]
#[test]
fn the_command_of_the_guide_loads_a_websocket_over_tls() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/GUIDE.md");
    let guide = fs::read_to_string(guide).expect("the guide");
    let command = "$ loadgen wss://localhost:8443";
    let args = guide.lines().find_map(|line| line.strip_prefix(command));
    let args = args.expect("the guide has the command");
    let server = Server::start(Speaks::WebSocketEcho);
    let args = args.replace("ca.pem", &server.ca().display().to_string());
    let url = format!("wss://localhost:{}", server.address.port());
    let report = run(&format!("{url}{args} -4 --format json"))
        .expect_code(0)
        .report();
    assert_eq!((report.requests.answered, report.errors.len()), (1_000, 0));
    assert_eq!(report.settings.protocol, "websocket");
    assert!(report.settings.tls && report.settings.verify);
    // Without the certificate's issuer there is no connection.
    run(&format!("{url}/echo -4 -c 1 -n 1 --no-reconnect"))
        .expect_code(1)
        .expect_message("invalid peer certificate");
}
