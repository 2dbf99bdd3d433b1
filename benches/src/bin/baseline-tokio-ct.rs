//! Echo server: one current-thread tokio runtime per thread, each with its own listener.
#![forbid(unsafe_code)]

use std::io;

use benches::args::ServerArgs;
use benches::end::End;
use benches::tokio_echo::{Io, accept};
use benches::{listen, threads};
use clap::Parser;

/// Echo server on one current-thread tokio runtime per thread.
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
    listen::raise_descriptor_limit();
    let end = End::new()?;
    threads::start(&server, move |listener| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            accept(tokio::net::TcpListener::from_std(listener)?, io).await;
            Ok(())
        })
    })?;
    end.wait(server.until_eof);
    Ok(())
}
