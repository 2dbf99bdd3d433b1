//! One serving thread per listener, pinned by the plan.

use std::io;
use std::net::TcpListener;
use std::thread;

use crate::args::ServerArgs;
use crate::listen::{announce, listeners};
use crate::pin::{pin_current, plan};

/// Opens a listener per thread, starts `serve` on each thread, and announces the address.
///
/// `serve` should not return. If it returns an error, the process ends, since a server that has
/// lost a thread would only give wrong figures.
///
/// # Errors
/// The errors of pinning, of the sockets and of creating threads.
pub fn start<F>(args: &ServerArgs, serve: F) -> io::Result<()>
where
    F: Fn(TcpListener) -> io::Result<()> + Clone + Send + 'static,
{
    let threads = args.threads.get();
    let cpus = plan(&args.pin, threads)?;
    let listeners = listeners(args.listen, threads)?;
    // Connections that arrive before a thread runs wait in its backlog.
    announce(&listeners[0])?;
    for (index, (listener, cpu)) in listeners.into_iter().zip(cpus).enumerate() {
        let serve = serve.clone();
        thread::Builder::new()
            .name(format!("echo-{index}"))
            .spawn(move || {
                pin_current(cpu);
                if let Err(error) = serve(listener) {
                    eprintln!("error: thread {index}: {error}");
                    std::process::exit(1);
                }
            })?;
    }
    Ok(())
}
