//! Echo server: one multi-thread tokio runtime, one listener, a task per connection.
#![forbid(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use benches::args::ServerArgs;
use benches::end::End;
use benches::listen::{announce, listeners, raise_descriptor_limit};
use benches::pin::{pin_current, plan};
use benches::tokio_echo::{Io, accept};
use clap::Parser;

/// Echo server on tokio's multi-thread runtime.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// The way connections read and write.
    #[arg(long, value_enum, default_value = "scratch")]
    io: Io,
}

fn main() -> io::Result<()> {
    let Args { server, io } = Args::parse();
    raise_descriptor_limit();
    let end = End::new()?;
    let threads = server.threads.get();
    let cpus = plan(&server.pin, threads)?;
    let listener = listeners(server.listen, 1)?.remove(0);

    let started = AtomicUsize::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .on_thread_start(move || {
            // Counter only. Nothing here uses the blocking pool, so these threads are the workers.
            let thread = started.fetch_add(1, Ordering::Relaxed);
            pin_current(cpus.get(thread).copied().flatten());
        })
        .build()?;

    announce(&listener)?;
    // It is spawned, not blocked on, so the main thread takes no part in serving.
    runtime.spawn(async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => accept(listener, io).await,
            Err(error) => eprintln!("error: {error}"),
        }
    });
    end.wait(server.until_eof);
    runtime.shutdown_background();
    Ok(())
}
