//! Commands that measure: time, instructions, system calls and memory, compared with others or with
//! baselines.

pub(crate) mod bench;
pub(crate) mod budgets;
pub(crate) mod callgrind;
pub(crate) mod contenders;
pub(crate) mod cpus;
pub(crate) mod fairness;
pub(crate) mod imbalance;
pub(crate) mod instr;
pub(crate) mod instr_gate;
pub(crate) mod peers;
pub(crate) mod timers;
pub(crate) mod wakes;
