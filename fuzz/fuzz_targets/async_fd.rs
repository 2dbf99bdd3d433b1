//! `AsyncFd` over real sockets and pipes, driven by a program of operations. The operations are in
//! `async_fd/step.rs`, the invariants in `async_fd/world.rs`.
#![no_main]

#[path = "async_fd/descriptors.rs"]
mod descriptors;
#[path = "async_fd/registered.rs"]
mod registered;
#[path = "async_fd/step.rs"]
mod step;
#[path = "async_fd/world.rs"]
mod world;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        // A write to a peer that is gone must be an error, as in every Rust program; here the main
        // function is not Rust's.
        signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default())
            .expect("it may be caught");
    },
    |bytes: &[u8]| {
        let steps = step::program(bytes);
        if std::env::var_os("FUZZ_STEPS").is_some() {
            eprintln!("{steps:#?}");
        }
        world::play(&steps);
    }
);
