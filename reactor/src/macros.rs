//! The functions that the attributes of `shard-reactor-macros` expand to.

use std::panic::resume_unwind;
use std::process::{ExitCode, Termination};

use crate::builder::Builder;
use crate::placement::Pinning;
use crate::reactor::Reactor;

/// Runs the body of a `main` and returns its exit code. An error is printed as the standard library
/// prints it.
///
/// The conversion happens on the shard, because an error type need not be `Send`.
pub fn main<M, F>(builder: Builder, body: M) -> ExitCode
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output: Termination> + 'static,
{
    let reactor = match builder.build() {
        Ok(reactor) => reactor,
        Err(error) => panic!("the reactor cannot be started: {error}"),
    };
    run(&reactor, body)
}

/// Runs the body of a test.
///
/// # Panics
///
/// Panics with the body's panic, or if the body returns an error, which is printed.
pub fn test<M, F>(builder: Builder, body: M)
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output: Termination> + 'static,
{
    let code = main(builder, body);
    assert!(code == ExitCode::SUCCESS, "the test returned an error");
}

/// The settings of a test's reactor: one shard, which is not pinned.
pub fn test_builder() -> Builder {
    Reactor::builder().shards(1).pinning(Pinning::None)
}

fn run<M, F>(reactor: &Reactor, body: M) -> ExitCode
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output: Termination> + 'static,
{
    let first = reactor.handle().shard(0);
    let task = reactor
        .handle()
        .spawn_on(first, || async { body().await.report() });
    match reactor.block_on(task) {
        Ok(code) => code,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => panic!("the body did not complete: {error}"),
        },
    }
}
