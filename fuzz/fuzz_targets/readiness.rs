//! The readiness word and its waiters, compared with a model of both
//! (`reactor/src/readiness/model.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|program: &[u8]| reactor::fuzzing::readiness(program));
