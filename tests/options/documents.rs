//! README, schema and examples are those of the table.

use std::path::Path;

use super::reach::built;
use thinkgate::control_plane::config::table::ROWS;

use super::*;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_readme_has_the_table() {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- options:begin -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- options:end -->").unwrap();
    assert_eq!(table.trim(), config::markdown_table().trim(), "run: thinkgate options markdown");
    for line in config::markdown_table().lines() {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 7, "{line}");
    }
}

#[test]
fn the_schema_is_that_of_the_table() {
    let schema = fs::read_to_string(project("deploy/thinkgate.schema.json")).unwrap();
    assert_eq!(schema, config::schema(), "run: thinkgate options schema > deploy/thinkgate.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    for row in built() {
        let Some(key) = row.key else { continue };
        let pointer: String = key.split('.').map(|part| format!("/properties/{part}")).collect();
        assert!(schema.pointer(&pointer).is_some_and(|property| property["description"].is_string()), "{key}");
    }
}

#[test]
fn the_examples_are_valid() {
    let example = fs::read_to_string(project("deploy/thinkgate.yaml")).unwrap();
    assert_eq!(settings(&[], &[], &example), Settings::default(), "the example says the defaults");
    // What is commented out is valid as well, all of it together, and then no key of the table is missing.
    let all: String = example.lines().map(|line| format!("{}\n", line.replacen("#: ", "", 1))).collect();
    let all = all.replace("/etc/ssl/certs/ca-certificates.crt", "tests/options/ca.pem");
    let all = load(&[], &[("UPSTREAM_KEY", "sk-example")], &all).unwrap_or_else(|problems| panic!("{problems:?}"));
    let said: Vec<&str> = all.sources.iter().filter_map(|(row, _)| ROWS[*row].key).collect();
    assert_eq!(said, built().filter_map(|row| row.key).collect::<Vec<_>>());

    let manifest = fs::read_to_string(project("deploy/kubernetes.yaml")).unwrap();
    let (_, rest) = manifest.split_once("thinkgate.yaml: |\n").unwrap();
    let embedded: String =
        rest.lines().take_while(|line| line.starts_with("    ")).map(|line| format!("{}\n", &line[4..])).collect();
    let loaded = load(&[], &[], &embedded).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(!loaded.sources.is_empty());
}
