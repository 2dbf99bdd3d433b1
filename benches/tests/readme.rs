//! The web server in the README is the example.

#[test]
fn the_readme_shows_the_web_example() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |name| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
    let (readme, example) = (read("README.md"), read("asyncfd/examples/web.rs"));
    // The example without the comment at its start.
    let program = &example[example.find("\nuse ").unwrap()..];
    assert!(program.lines().count() <= 61, "sixty lines");
    assert!(
        readme.contains(&format!("```rust,ignore{program}```")),
        "README.md shows another text than asyncfd/examples/web.rs"
    );
}
