//! `docs/report.schema.json` describes every field of a report, and real reports follow it.
//!
//! The test makes the schema from the sources: the structs of the report with their comments. With
//! `UPDATE_SCHEMA=1` it writes the file; otherwise it compares. It also checks the reports of real
//! runs against the file. A report may have no field that the file does not describe.

mod common;

use std::fs;
use std::path::Path;

use common::{echo_all, run, serve};
use serde_json::{Map, Value, json};

/// The source files that define a report.
const SOURCES: [&str; 6] = [
    "src/report/clocks.rs",
    "src/report/data.rs",
    "src/report/settings.rs",
    "src/report/series.rs",
    "src/report/threshold.rs",
    "../server-demo/src/config.rs",
];

const PROMISE: &str = "The report of a run or of a sum of runs (loadgen --format json). Within one \
version fields are added and never removed, and none changes its meaning or its unit: a reader \
ignores the fields that it does not know.";

/// Adds the structs and enums of a source to the definitions.
fn define(source: &str, definitions: &mut Map<String, Value>) {
    let (mut docs, mut attributes) = (String::new(), String::new());
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            docs = format!("{docs} {}", text.trim());
        } else if line.starts_with("#[") {
            attributes += line;
        } else {
            let written = attributes.contains("Serialize") && line.ends_with('{');
            let name = |word: &str| line.strip_prefix(word)?.split([' ', '{']).next();
            let body = || lines.clone().take_while(|line| *line != "}");
            if let Some(name) = name("pub struct ").filter(|_| written) {
                definitions.insert(name.to_owned(), object(body(), docs.trim()));
            } else if let Some(name) = name("pub enum ").filter(|_| written) {
                let kebab = attributes.contains("kebab-case");
                definitions.insert(name.to_owned(), variants(body(), docs.trim(), kebab));
            }
            (docs, attributes) = (String::new(), String::new());
        }
    }
}

fn object<'a>(lines: impl Iterator<Item = &'a str>, description: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    let (mut docs, mut attributes) = (String::new(), String::new());
    for line in lines.map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            docs = format!("{docs} {}", text.trim());
        } else if line.starts_with("#[") {
            attributes += line;
        } else if let Some((name, of)) = line.strip_prefix("pub ").and_then(|l| l.split_once(": "))
        {
            let mut schema = schema_of(of.trim_end_matches(','));
            schema["description"] = json!(docs.trim().replace(['[', ']'], ""));
            properties.insert(name.to_owned(), schema);
            if !attributes.contains("skip_serializing_if") {
                required.push(json!(name));
            }
            (docs, attributes) = (String::new(), String::new());
        }
    }
    json!({
        "type": "object", "description": description, "properties": properties, "required": required,
    })
}

fn variants<'a>(lines: impl Iterator<Item = &'a str>, description: &str, kebab: bool) -> Value {
    let is_variant = |line: &&str| line.ends_with(',') && !line.starts_with("//");
    let names = lines.map(str::trim).filter(is_variant).map(|line| {
        let mut name = String::new();
        for letter in line.trim_end_matches(',').chars() {
            if kebab && letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    });
    json!({ "type": "string", "description": description, "enum": names.collect::<Vec<_>>() })
}

/// Returns the schema of a Rust type.
fn schema_of(of: &str) -> Value {
    let inner = |outer: &str| of.strip_prefix(outer)?.strip_suffix('>');
    if let Some(of) = inner("Option<") {
        return json!({ "anyOf": [schema_of(of), { "type": "null" }] });
    }
    if let Some(of) = inner("Vec<") {
        return json!({ "type": "array", "items": schema_of(of) });
    }
    if inner("BTreeMap<u16, ").is_some() {
        return json!({ "type": "object", "additionalProperties": { "type": "integer" } });
    }
    match of {
        "String" => json!({ "type": "string" }),
        "bool" => json!({ "type": "boolean" }),
        "f64" | "Rate" => json!({ "type": "number" }),
        "u8" | "u16" | "u32" | "u64" | "i32" | "usize" | "Nanos" => json!({ "type": "integer" }),
        other => {
            json!({ "anyOf": [{ "$ref": format!("#/$defs/{}", other.rsplit("::").next().expect("a name")) }] })
        }
    }
}

/// Allows `null` for the figures that a source marks as `null` if nothing was recorded.
fn allow_null(source: &str, definitions: &mut Map<String, Value>) {
    for written in source.split("wire!(").skip(1) {
        let name = written
            .split(", ")
            .nth(1)
            .and_then(|rest| rest.split([',', '\n']).next());
        let object = &mut definitions[name.expect("the name of a struct").trim()];
        let figures = written
            .split("figures: {")
            .nth(1)
            .and_then(|rest| rest.split('}').next());
        for field in figures.expect("figures").split(',') {
            let field = field.split(':').next().expect("a name").trim();
            let kind = object["properties"][field]["type"].clone();
            object["properties"][field]["type"] = json!([kind, "null"]);
        }
    }
}

fn schema() -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut definitions = Map::new();
    let sources = SOURCES.map(|name| fs::read_to_string(folder.join(name)).expect("a source"));
    for source in &sources {
        define(source, &mut definitions);
    }
    for source in &sources {
        allow_null(source, &mut definitions);
    }
    let mut report = definitions.remove("Report").expect("the report");
    report["properties"]["format"]["const"] = json!(loadgen::report::FORMAT);
    report["properties"]["version"]["const"] = json!(loadgen::report::VERSION);
    report["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    report["title"] = json!("loadgen report");
    report["description"] = json!(PROMISE);
    report["$defs"] = Value::Object(definitions);
    report
}

/// Checks a value against the part of JSON Schema that the file uses. It is stricter: an object may
/// have no field that the schema does not describe.
fn check(value: &Value, schema: &Value, root: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let of = root.pointer(&reference[1..]).ok_or("no such definition")?;
        return check(value, of, root, place);
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        let results: Vec<_> = any
            .iter()
            .map(|one| check(value, one, root, place))
            .collect();
        return results
            .iter()
            .find(|one| one.is_ok())
            .unwrap_or(&results[0])
            .clone();
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let fits = |allowed: &Value| {
        *allowed == json!(kind) || (*allowed == json!("number") && kind == "integer")
    };
    if !allowed.iter().any(fits) {
        return Err(format!("{place} is a {kind}, not {allowed:?}"));
    }
    let wrong = |key: &str| schema.get(key).is_some_and(|one| one != value);
    let outside = schema.get("enum").and_then(Value::as_array);
    if wrong("const") || outside.is_some_and(|all| !all.contains(value)) {
        return Err(format!("{place} is {value}"));
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        check(item, &schema["items"], root, &format!("{place}/{at}"))?;
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        let of = schema["properties"]
            .get(name)
            .or_else(|| schema.get("additionalProperties"));
        check(
            field,
            of.ok_or_else(|| format!("{place} is not described"))?,
            root,
            &place,
        )?;
    }
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = name.as_str().unwrap_or_default();
        if value.get(name).is_none() {
            return Err(format!("{place} has no {name}"));
        }
    }
    Ok(())
}

#[test]
fn the_schema_is_that_of_the_sources() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let schema = schema();
    for named in schema.to_string().split("#/$defs/").skip(1) {
        let name = named.split('"').next().expect("a name");
        assert!(schema["$defs"].get(name).is_some(), "{name} is not defined");
    }
    let made = serde_json::to_string_pretty(&schema).expect("plain data") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&file, &made).expect("ours");
    }
    let kept = fs::read_to_string(&file).expect("the schema");
    assert!(
        kept == made,
        "run this test with UPDATE_SCHEMA=1 and look at the difference"
    );
}

#[test]
fn real_reports_follow_the_schema() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let text = fs::read_to_string(file).expect("the schema");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    let echo = serve(|_, mut stream| echo_all(&mut stream));
    let http = common::serve_http("503 Busy");
    let folder = tempfile::tempdir().expect("a folder");
    let mut reports = 0;
    for args in [
        format!("{echo} -c 2 -n 20 --bad-clients half-close:34%"),
        format!(
            "{echo} -c 4 -R 100 -d 300ms --warmup 0 --slo p99<1s,connect.max<9s --size 64:9,1k:1"
        ),
        format!(
            "{echo} -c 4 --stages 300ms:100 --part 1/2 -o {}",
            folder.path().display()
        ),
        format!("http://{http}/ -c 2 -n 10"),
        "127.0.0.1:1 -c 2 -n 10 --timeout 200ms".to_owned(),
        "-c 2 -n 10".to_owned(),
    ] {
        let run = run(&format!("{args} -q --format json"));
        let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
        check(&report, &schema, &schema, "").unwrap_or_else(|wrong| panic!("{args}: {wrong}"));
        reports += 1;
    }
    assert_eq!(reports, 6);
    // The check finds faults.
    let mut report: Value =
        serde_json::from_str(&run(&format!("{echo} -c 1 -n 1 --format json")).stdout)
            .expect("JSON");
    for (place, value) in [
        ("/elapsed_s", json!("1")),
        ("/outcome/status", json!("fine")),
        ("/latency/raw/p50_ns", json!(0.5)),
        ("/version", json!(3)),
    ] {
        let right = std::mem::replace(report.pointer_mut(place).expect(place), value);
        assert!(check(&report, &schema, &schema, "").is_err(), "{place}");
        *report.pointer_mut(place).expect(place) = right;
    }
    report["new"] = json!(1);
    assert!(check(&report, &schema, &schema, "").is_err());
}
