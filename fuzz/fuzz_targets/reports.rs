//! Reports of other processes as `loadgen merge` and `compare` read them: valid ones, with some
//! values replaced.
//!
//! Every value that parses as a report is rendered, compared and added, and a sum parses as a
//! report again.
#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

thread_local! {
    static BASE: LazyCell<Value> = LazyCell::new(|| {
        serde_json::from_str(include_str!("reports/base.json")).expect("it is a report")
    });
}

fuzz_target!(|bytes: &[u8]| {
    let mut reports = ["one", "two"].map(|run| {
        let mut report = BASE.with(|base| (**base).clone());
        report["runs"] = json!([run]);
        report
    });
    for edit in bytes.chunks_exact(5) {
        let [report, at, from] = [edit[0], edit[1], edit[2]].map(usize::from);
        let report = &mut reports[report % 2];
        let value = value(edit[4], edit[3], from, report);
        let mut nodes = Vec::new();
        collect(report, &mut nodes);
        let count = nodes.len();
        nodes
            .swap_remove((at | from << 8) % count)
            .clone_from(&value);
    }
    let text: Vec<_> = reports.iter().map(Value::to_string).collect();
    loadgen::fuzzing::reports(&text.join("\n"));
});

/// Collects everything in a report that has no parts.
fn collect<'a>(value: &'a mut Value, nodes: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| collect(value, nodes)),
        Value::Object(fields) => fields.values_mut().for_each(|value| collect(value, nodes)),
        plain => nodes.push(plain),
    }
}

fn value(kind: u8, number: u8, from: usize, report: &Value) -> Value {
    // The limits of the figures' types.
    let bits = [7, 8, 15, 16, 31, 32, 52, 53, 63, 64][usize::from(number) % 10];
    let large = 1_u64.checked_shl(bits).unwrap_or(u64::MAX);
    match kind % 12 {
        0 => json!(0),
        1 => json!(number),
        2 => json!(-i16::from(number)),
        3 => json!(large),
        4 => json!(large - 1),
        5 => json!(f64::from(number) * 1e-9),
        6 => json!(10_f64.powi(i32::from(number) * 2 - 200)),
        7 => json!(-(10_f64.powi(i32::from(number)))),
        8 => Value::Null,
        9 => json!("p99<1s"),
        10 => json!([]),
        _ => {
            let mut copy = report.clone();
            let mut nodes = Vec::new();
            collect(&mut copy, &mut nodes);
            let count = nodes.len();
            nodes[from % count].take()
        }
    }
}
