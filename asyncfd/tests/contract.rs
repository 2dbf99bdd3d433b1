//! `CONTRACT.md` is complete: every case that it names exists, and every promise of `AsyncFd` has a
//! row.
//!
//! `contract/statements.txt` lists the promises, in the project's own words, each with the rows
//! that test it. A public function of `AsyncFd`, of its guards or of its errors that no statement
//! names fails a test here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Returns the source of the test module `module`.
fn source_of(module: &str) -> Option<String> {
    let homes = [
        format!("tests/parity/cases/{module}.rs"),
        format!("tests/{module}.rs"),
        format!("tests/kinds/{module}.rs"),
        format!("tests/net/{module}.rs"),
        format!("tests/net/cases/{module}.rs"),
        format!("tests/compat/{module}.rs"),
        format!("src/{module}/tests.rs"),
        format!("src/net/{module}/tests.rs"),
    ];
    homes
        .iter()
        .find(|home| Path::new(home).exists())
        .map(|home| fs::read_to_string(home).unwrap())
}

/// Returns the rows of the contract by name, each with its column of cases.
fn rows() -> BTreeMap<String, String> {
    let contract = fs::read_to_string("CONTRACT.md").unwrap();
    let mut rows = BTreeMap::new();
    for line in contract.lines().filter(|line| line.starts_with("| ")) {
        let name = line.split('|').nth(1).unwrap().trim();
        let cases = line.rsplit('|').nth(1).unwrap();
        if name != "row" && rows.insert(name.to_owned(), cases.to_owned()).is_some() {
            panic!("two rows have the name {name}");
        }
    }
    rows
}

/// Returns the statements of `statements.txt`, each with the names of its rows.
fn statements() -> Vec<(Vec<&'static str>, &'static str)> {
    include_str!("contract/statements.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (rows, statement) = line.split_once(": ").expect("a line is `ROWS: statement`");
            (rows.split(' ').collect(), statement)
        })
        .collect()
}

/// Returns the names of the public functions that the file `source` declares.
fn public_functions(source: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(source).unwrap();
    source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("pub "))
        .filter_map(|declaration| declaration.split_once("fn "))
        .map(|(_, rest)| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..end.unwrap()].to_owned()
        })
        .collect()
}

#[test]
fn every_case_that_the_contract_names_is_there() {
    let mut named = 0;
    for (row, cases) in rows() {
        let before = named;
        for (module, case) in cases.split('`').filter_map(|text| text.split_once("::")) {
            let source = source_of(module);
            let source = source.unwrap_or_else(|| panic!("no tests of the name {module}: {row}"));
            let there =
                source.contains(&format!("fn {case}(")) || source.contains(&format!("!({case},"));
            assert!(there, "{module} has no case {case}: {row}");
            named += 1;
        }
        let elsewhere = cases.contains("compile-fail examples");
        assert!(named > before || elsewhere, "row {row} names no case");
    }
    assert!(
        named > 50,
        "{named} cases are few: was the form of the tables changed?"
    );
}

#[test]
fn every_row_that_a_statement_names_is_there() {
    let rows = rows();
    for (named, statement) in statements() {
        for row in named {
            assert!(rows.contains_key(row), "no row {row} for: {statement}");
        }
    }
}

#[test]
fn every_public_function_is_in_a_statement() {
    let statements = statements();
    let sources = [
        "src/async_fd.rs",
        "src/async_fd/waiting.rs",
        "src/guard.rs",
        "src/error.rs",
    ];
    for source in sources {
        let functions = public_functions(source);
        assert!(!functions.is_empty(), "{source} declares no function");
        for function in functions {
            let name = format!("`{function}`");
            let there = statements.iter().any(|(_, text)| text.contains(&name));
            assert!(there, "no statement names {name} of {source}");
        }
    }
}
