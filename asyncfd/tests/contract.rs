//! `CONTRACT.md` names only cases that exist.

use std::fs;
use std::path::Path;

/// Where the cases of a module are.
fn source_of(module: &str) -> Option<String> {
    let homes = [
        format!("tests/parity/cases/{module}.rs"),
        format!("tests/{module}.rs"),
        format!("tests/kinds/{module}.rs"),
        format!("src/{module}/tests.rs"),
    ];
    homes
        .iter()
        .find(|home| Path::new(home).exists())
        .map(|home| fs::read_to_string(home).unwrap())
}

#[test]
fn every_case_that_the_contract_names_is_there() {
    let contract = fs::read_to_string("CONTRACT.md").unwrap();
    let mut named = 0;
    for row in contract.lines().filter(|line| line.starts_with('|')) {
        let cases = row.rsplit('|').nth(1).unwrap();
        for (module, case) in cases.split('`').filter_map(|text| text.split_once("::")) {
            let source = source_of(module);
            let source = source.unwrap_or_else(|| panic!("no tests of the name {module}: {row}"));
            let there =
                source.contains(&format!("fn {case}(")) || source.contains(&format!("!({case},"));
            assert!(there, "{module} has no case {case}: {row}");
            named += 1;
        }
    }
    assert!(
        named > 50,
        "{named} cases are few: was the form of the tables changed?"
    );
}
