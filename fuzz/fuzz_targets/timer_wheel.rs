//! The shard's timer store, compared with a map from names to deadlines
//! (`reactor/src/time/wheel/model.rs`).
#![no_main]

libfuzzer_sys::fuzz_target!(|program: &[u8]| reactor::fuzzing::timer_wheel(program));
