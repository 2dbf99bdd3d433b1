//! The loom models of the crate's lock-free protocols. They explore every interleaving, and every
//! reordering that the memory model allows.
//!
//! They run on the code that ships, built with `--cfg reactor_loom`, which puts loom's atomics and
//! locks behind `crate::sync`. `scripts/loom.sh` builds and runs them. To show that a model finds
//! bugs, bugs are seeded in that code behind `crate::sync::mutant("…")`.
//! `scripts/loom.sh --mutants` enables each of them and expects its models to fail.
//! `scripts/loom-mutants.txt` lists the pairs. Every actor of a model runs in a spawned thread,
//! because loom does not explore the main thread as freely.

mod commands;
mod moving;
mod parker;
mod quarantine;
mod queue;
mod readiness;
mod steal;
mod task;

/// Runs a model with at most this many preemptions, for models whose complete search takes minutes.
fn model_bounded(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}
