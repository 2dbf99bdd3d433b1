//! A web server with one axum `Router`, on the reactor's shards or on tokio, for
//! `scripts/web-bench.sh`.
//!
//! The router, the TLS settings and hyper-util's connections are the same on every runtime. tokio
//! serves plain HTTP with `axum::serve`. TLS, which that function lacks, runs the same connections
//! behind `tokio-rustls`. The shards run `asyncfd::serve::http` with its defaults, so a client
//! has 30 seconds for the head of a request; `axum::serve` has no such limit.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asyncfd::serve::{Server, http::Http};
use axum::routing::get;
use axum::{Router, serve::ListenerExt};
use benches::args::ServerArgs;
use benches::end::End;
use benches::listen::{announce, listeners, raise_descriptor_limit};
use benches::pin::{pin_current, plan};
use benches::threads;
use clap::{Parser, ValueEnum};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use reactor::{Pinning, Reactor};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};

/// Web server with a fixed answer.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// Runtime that serves
    #[arg(long, value_enum)]
    runtime: Runtime,

    /// Serve over TLS, with a certificate made at the start
    #[arg(long)]
    tls: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Runtime {
    /// A reactor with a shard for each thread, as its builder makes it
    Shards,
    /// The same without work stealing: each connection stays on its shard
    ShardsNoStealing,
    /// One multi-thread runtime
    TokioMt,
    /// A current-thread runtime for each thread, with a listener of its own
    TokioCt,
}

fn app() -> Router {
    Router::new().route("/", get(async || "Hello, World!"))
}

fn self_signed() -> Result<ServerConfig, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed([String::from("localhost")])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    let mut config = config.with_single_cert(vec![made.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let tls = args.tls.then(self_signed).transpose()?;
    raise_descriptor_limit();
    let end = End::new()?;
    match args.runtime {
        Runtime::Shards => on_shards(&args.server, true, tls, end),
        Runtime::ShardsNoStealing => on_shards(&args.server, false, tls, end),
        Runtime::TokioMt => on_tokio_mt(&args.server, tls, end),
        Runtime::TokioCt => on_tokio_ct(args.server, tls, end),
    }
}

fn on_shards(
    args: &ServerArgs,
    stealing: bool,
    tls: Option<ServerConfig>,
    end: End,
) -> Result<(), Box<dyn Error>> {
    let threads = args.threads.get();
    let cpus = plan(&args.pin, threads)?.into_iter().flatten().collect();
    let reactor = Reactor::builder()
        .shards(threads)
        .work_stealing(stealing)
        .pinning(Pinning::Cpus(cpus))
        .build()?;
    let http = match tls {
        None => Http::new(),
        Some(config) => Http::new().tls(config),
    };
    let server = Server::bind(args.listen)?.start(reactor.handle(), http.serve(app()))?;
    println!("listening on {}", server.local_addr());
    end.wait(args.until_eof);
    reactor.shutdown(Duration::from_secs(1))?;
    Ok(())
}

fn on_tokio_mt(
    args: &ServerArgs,
    tls: Option<ServerConfig>,
    end: End,
) -> Result<(), Box<dyn Error>> {
    let cpus = plan(&args.pin, args.threads.get())?;
    let listener = listeners(args.listen, 1)?.remove(0);
    let started = AtomicUsize::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads.get())
        .enable_all()
        .on_thread_start(move || {
            let thread = started.fetch_add(1, Ordering::Relaxed);
            pin_current(cpus.get(thread).copied().flatten());
        })
        .build()?;
    announce(&listener)?;
    // It is spawned, not blocked on, so the main thread takes no part in serving.
    runtime.spawn(serve(listener, tls));
    end.wait(args.until_eof);
    runtime.shutdown_background();
    Ok(())
}

fn on_tokio_ct(
    args: ServerArgs,
    tls: Option<ServerConfig>,
    end: End,
) -> Result<(), Box<dyn Error>> {
    threads::start(&args, move |listener| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(serve(listener, tls.clone()))
    })?;
    end.wait(args.until_eof);
    Ok(())
}

/// Serves on the current tokio runtime for ever.
async fn serve(listener: StdListener, tls: Option<ServerConfig>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let Some(config) = tls else {
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        return axum::serve(listener, app()).await;
    };
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let app = app();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection_with_upgrades(
                        TokioIo::new(stream),
                        TowerToHyperService::new(app),
                    )
                    .await;
            }
        });
    }
}
