//! Checks the imports of the sources: no file imports itself, directly or through other files.
//!
//! It reads the `use` declarations and the paths of every source file of loadgen, server-demo and
//! asyncfd. In loadgen, the folders have an order too. Unit tests may import any file. In the
//! reactor, some pairs of files need each other; this file lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module, by its path in the crate, such as `["run", "plan"]`.
type Module = Vec<String>;

/// Returns the source files of a crate, by module.
fn sources(root: &Path) -> BTreeMap<Module, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("readable").path();
            let name = path.file_stem().expect("a name").to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|one| one == "rs") && name != "tests" {
                let within = path.strip_prefix(root).expect("below the root");
                let mut module: Module = within
                    .with_extension("")
                    .iter()
                    .map(|part| part.to_string_lossy().into_owned())
                    .collect();
                if matches!(name.as_ref(), "mod" | "lib") {
                    module.pop();
                }
                let text = fs::read_to_string(&path).expect("text");
                files.insert(module, without_tests_and_comments(&text));
            }
        }
    }
    files
}

fn without_tests_and_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let tests = lines
            .peek()
            .is_some_and(|next| next.contains("mod ") && next.ends_with('{'));
        let is_for_tests = ["#[cfg(test)]", "#[cfg(all(test,"]
            .iter()
            .any(|start| line.trim().starts_with(start));
        if is_for_tests && tests {
            break;
        }
        kept.push_str(line.split("//").next().unwrap_or_default());
        kept.push('\n');
    }
    kept
}

/// Returns the paths in the tree of a `use` declaration.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        paths.push(format!("{prefix}{path}"));
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = &tree[open + 1..tree.rfind('}').expect("a closed tree")];
    let (mut depth, mut from) = (0, 0);
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[from..at], paths);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inner[from..].trim().is_empty() {
        expand(&prefix, &inner[from..], paths);
    }
}

/// Returns every path in `use` declarations, and every other path that begins with `crate::` or
/// `super::`.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for statement in text.split(';') {
        let is_start = |at: &usize| {
            let before = statement[..*at]
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .trim();
            before.is_empty() || before.starts_with("pub") && !before.contains(' ')
        };
        let mut starts = statement.rmatch_indices("use ").map(|(at, _)| at);
        if let Some(at) = starts.find(is_start) {
            expand("", &statement[at + 4..], &mut found);
        }
    }
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            found.push(word.to_owned());
        }
    }
    found
}

/// Returns the files that each file imports from.
fn imports(files: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let file_of = |path: &[String]| {
        (0..=path.len())
            .rev()
            .find_map(|end| files.get_key_value(&path[..end].to_vec()))
            .map(|(module, _)| module)
    };
    let of = |(module, text): (&'_ Module, &String)| -> BTreeSet<&Module> {
        paths(text)
            .into_iter()
            .filter_map(|path| {
                let mut parts: Module = path
                    .split("::")
                    .map(|part| part.trim().to_owned())
                    .collect();
                let mut absolute = module.clone();
                match parts[0].as_str() {
                    "crate" => absolute.clear(),
                    "self" => {}
                    "super" => {
                        while parts[0] == "super" && parts.len() > 1 {
                            absolute.pop();
                            parts.remove(0);
                        }
                        parts.insert(0, String::new());
                    }
                    child => {
                        let mut inner = module.clone();
                        inner.push(child.to_owned());
                        files.get(&inner)?;
                        parts.insert(0, String::new());
                    }
                }
                absolute.extend(parts.into_iter().skip(1).filter(|part| part != "self"));
                file_of(&absolute).filter(|&file| file != module)
            })
            .collect()
    };
    files.iter().map(|file| (file.0, of(file))).collect()
}

/// Returns an import cycle, if there is one: each file imports from the next, and the last from the
/// first.
fn circle<'a>(imports: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> Option<Vec<&'a Module>> {
    fn visit<'a>(
        file: &'a Module,
        imports: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
        way: &mut Vec<&'a Module>,
        done: &mut BTreeSet<&'a Module>,
    ) -> Option<Vec<&'a Module>> {
        if let Some(at) = way.iter().position(|&one| one == file) {
            return Some(way[at..].to_vec());
        }
        if done.contains(file) {
            return None;
        }
        way.push(file);
        let found = imports[file]
            .iter()
            .find_map(|next| visit(next, imports, way, done));
        way.pop();
        done.insert(file);
        found
    }
    let mut done = BTreeSet::new();
    imports
        .keys()
        .find_map(|file| visit(file, imports, &mut Vec::new(), &mut done))
}

fn named(files: &[&Module]) -> String {
    let names: Vec<_> = files.iter().map(|file| file.join("/")).collect();
    names.join(" -> ")
}

fn check(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let files = sources(&root.join("src"));
    assert!(files.len() > 5, "{name} has sources");
    if let Some(found) = circle(&imports(&files)) {
        panic!(
            "files of {name} import each other in a circle: {}",
            named(&found)
        );
    }
}

#[test]
fn no_files_of_loadgen_import_each_other_in_a_circle() {
    check("loadgen");
}

#[test]
fn no_files_of_asyncfd_import_each_other_in_a_circle() {
    check("asyncfd");
}

#[test]
fn no_files_of_server_demo_import_each_other_in_a_circle() {
    check("server-demo");
}

/// The pairs of reactor files that import each other. Remove a pair when its files no longer need
/// each other. A new pair needs a reason. Most pairs are a type and one part of it.
const PAIRS_OF_REACTOR: [(&str, &str); 38] = [
    ("blocking", "handle"),
    ("builder", "reactor"),
    ("context", "handle"),
    ("context", "reactor"),
    ("driver", "shard/parker"),
    ("driver_sim", "driver_sim/schedule"),
    ("handle", "handle/spawn"),
    ("handle", "shard"),
    ("handle", "task/info"),
    ("hooks", "shard"),
    ("io", "io/moving"),
    ("io", "shard"),
    ("io", "table"),
    ("metrics", "metrics/histogram"),
    ("metrics", "metrics/list"),
    ("readiness", "readiness/cell"),
    ("readiness", "readiness/waiters"),
    ("readiness/list", "readiness/place"),
    ("registration", "registration/wait"),
    ("shard", "shard/current"),
    ("shard", "shard/inbox"),
    ("shard", "shard/live"),
    ("shard", "shard/observe"),
    ("shard", "shard/progress"),
    ("shard", "shard/steal"),
    ("shard", "shard/turn"),
    ("shard", "shutdown"),
    ("stall", "trace"),
    ("sys/frames/sample", "sys/frames/unwind"),
    ("task", "task/abort_on_drop"),
    ("task", "task/builder"),
    ("task", "task/info"),
    ("task", "task/join_set"),
    ("task/header", "task/runnable"),
    ("time", "time/remote"),
    ("time", "time/sleep"),
    ("time", "time/timeout"),
    ("time/clock", "time/paused"),
];

#[test]
fn only_listed_pairs_of_files_of_the_reactor_import_each_other() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../reactor/src"));
    let imports = imports(&files);
    // The root only exports names, and the other folders have tests.
    let is_code = |file: &Module| {
        let folder = file.first().map_or("", String::as_str);
        !matches!(folder, "" | "sim" | "loom" | "fuzzing") && file[file.len() - 1] != "model"
    };
    let mut found = BTreeSet::new();
    for (&file, imported) in &imports {
        for &other in imported {
            if file < other && imports[other].contains(file) && is_code(file) && is_code(other) {
                found.insert((file.join("/"), other.join("/")));
            }
        }
    }
    let own = |(first, second): &(&str, &str)| (first.to_string(), second.to_string());
    assert_eq!(found, PAIRS_OF_REACTOR.iter().map(own).collect());
}

#[test]
fn the_folders_of_loadgen_import_one_way() {
    const ORDER: [&str; 5] = ["measure", "report", "run", "tools", "cli"];
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let rank = |file: &Module| {
        let folder = file.first()?;
        ORDER.iter().position(|one| one == folder)
    };
    for (file, imported) in imports(&files) {
        for other in imported {
            if let (Some(mine), Some(theirs)) = (rank(file), rank(other)) {
                assert!(theirs <= mine, "{}", named(&[file, other]));
            }
        }
    }
}

#[test]
fn a_circle_is_found_whatever_the_form_of_the_imports() {
    let files = |texts: &[(&str, &str)]| -> BTreeMap<Module, String> {
        let module = |name: &str| name.split('/').map(str::to_owned).collect();
        let text = |text: &str| without_tests_and_comments(text);
        texts
            .iter()
            .map(|(name, body)| (module(name), text(body)))
            .collect()
    };
    let found = |texts: &[(&str, &str)]| circle(&imports(&files(texts))).map(|found| named(&found));
    for (first, second) in [
        ("use crate::b::{X, Y};", "pub(crate) use crate::{a::Z, c};"),
        ("mod b;\nuse super::b::X;", "fn f() { crate::a::g() }"),
    ] {
        let circle = found(&[("a", first), ("b", second)]);
        assert_eq!(circle.as_deref(), Some("a -> b"), "{first} {second}");
    }
    assert_eq!(
        found(&[("a", "mod b;\npub use b::X;"), ("a/b", "use super::Y;")]).as_deref(),
        Some("a -> a/b")
    );
    let tests = "// use crate::a;\n#[cfg(test)]\nmod tests {\nuse crate::a;\n}\n";
    assert_eq!(found(&[("a", "use crate::b::X;"), ("b", tests)]), None);
}
