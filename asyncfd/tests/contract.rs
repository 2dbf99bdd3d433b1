//! `CONTRACT.md` is complete: it names only cases that exist, and every statement of the texts that
//! it answers to has a row.
//!
//! The texts are not part of this repository; they lie beside the checkout, in `../shared`, where
//! it is worked on. `contract/statements.txt` lists their statements by the hash of their words, so
//! a statement that is new, or changed, is found where the texts are. Everywhere, a statement
//! without a row is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Where the cases of a module are.
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

/// The rows of the contract by name, each with its column of cases.
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

/// What `statements.txt` says of each text: the statements' hashes, and the rows of each.
fn listed() -> BTreeMap<&'static str, Vec<(u32, Vec<&'static str>)>> {
    let mut texts = BTreeMap::new();
    let mut text = "";
    for line in include_str!("contract/statements.txt").lines() {
        match line.split_once(' ') {
            _ if line.starts_with('#') || line.is_empty() => {}
            None => text = line,
            Some((hash, rows)) => texts.entry(text).or_insert_with(Vec::new).push((
                u32::from_str_radix(hash, 16).unwrap(),
                rows.split(' ').collect(),
            )),
        }
    }
    texts
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
    for (text, statements) in listed() {
        assert!(statements.len() > 90, "{text} says more than that");
        for (hash, named) in statements {
            for row in named.into_iter().filter(|row| *row != "-") {
                let there = rows.contains_key(row);
                assert!(there, "no row {row} for statement {hash:08x} of the {text}");
            }
        }
    }
}

/// Cuts a text into statements: what ends in a full stop or semicolon, and each row of a table.
fn statements(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let alone = line.starts_with(['|', '#']);
        if line.is_empty() {
            open = false;
        } else if open && !alone && !line.starts_with("- ") {
            let paragraph = paragraphs.last_mut().unwrap();
            paragraph.push(' ');
            paragraph.push_str(line);
        } else {
            paragraphs.push(line.to_owned());
            open = !alone;
        }
    }
    let mut statements = Vec::new();
    for paragraph in paragraphs.iter().filter(|text| !text.starts_with('#')) {
        let mut words: Vec<&str> = Vec::new();
        let mut end = |words: &mut Vec<&str>| {
            let statement = words.join(" ");
            words.clear();
            let statement = statement.trim_start_matches(['-', ' ']);
            if statement.len() > 3 && statement.contains(|c| !"|-: ".contains(c)) {
                statements.push(statement.to_owned());
            }
        };
        for word in paragraph.split_whitespace() {
            words.push(word);
            if word.ends_with(['.', ';']) {
                end(&mut words);
            }
        }
        end(&mut words);
    }
    statements
}

/// FNV-1a, folded to 32 bits.
fn hash(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
    u32::try_from(folded).unwrap()
}

/// The reference text is the only file of its folder.
fn texts() -> Option<BTreeMap<&'static str, String>> {
    let shared = Path::new("../../shared");
    let page = fs::read_to_string(shared.join("ASYNCFD.md")).ok()?;
    let mut seeds = fs::read_dir(shared.join("seeds")).ok()?;
    let reference = fs::read_to_string(seeds.next()?.ok()?.path()).ok()?;
    Some(BTreeMap::from([("page", page), ("reference", reference)]))
}

#[test]
fn every_statement_of_the_texts_is_mapped() {
    let Some(texts) = texts() else {
        // Without the texts the list itself is all there is to check.
        return every_row_that_a_statement_names_is_there();
    };
    for (name, text) in texts {
        let listed: BTreeSet<u32> = listed()[name].iter().map(|(hash, _)| *hash).collect();
        let said: BTreeMap<u32, String> = statements(&text)
            .into_iter()
            .map(|statement| (hash(&statement), statement))
            .collect();
        for (hash, statement) in &said {
            let there = listed.contains(hash);
            assert!(
                there,
                "the {name} says what no row shows: {hash:08x} {statement}"
            );
        }
        for hash in listed {
            let there = said.contains_key(&hash);
            assert!(there, "the {name} does not say {hash:08x} any more");
        }
    }
}
