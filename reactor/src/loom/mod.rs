//! The loom models: every interleaving, and every reordering the memory model allows, of the crate's lock-free protocols.
//!
//! They run on the code that ships, built with `--cfg reactor_loom`, which puts loom's atomics and locks behind
//! `crate::sync`: `scripts/loom.sh` does that. A model is worth what it catches, so each is proven by bugs seeded in that
//! code behind `crate::sync::mutant("…")`: `scripts/loom.sh --mutants` asks for each of them and expects its models to fail.
//! The pairs are listed in `scripts/loom-mutants.txt`. Every actor of a model is in a spawned thread, because loom does not
//! explore the main thread as freely.

mod commands;
mod parker;
mod quarantine;
mod readiness;
mod task;

/// A model with so many preemptions at most: for those whose complete search takes minutes.
fn model_bounded(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}
