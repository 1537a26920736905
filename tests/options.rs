//! Options: every row of the table from every source, ranges at both ends, precedence, refusals, and the documents that are
//! generated from the table.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use thinkgate::control_plane::cli;
use thinkgate::control_plane::config::table::Row;
use thinkgate::control_plane::config::{self, Environment, Inputs, Kind, Loaded, Problem, Settings, Source};

#[path = "options/documents.rs"]
mod documents;
#[path = "options/exposure.rs"]
mod exposure;
#[path = "options/file.rs"]
mod file;
#[path = "options/names.rs"]
mod names;
#[path = "options/precedence.rs"]
mod precedence;
#[path = "options/ranges.rs"]
mod ranges;
#[path = "options/reach.rs"]
mod reach;
#[path = "options/reload.rs"]
mod reload;
#[path = "options/verbs.rs"]
mod verbs;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn args(flags: &[&str]) -> Vec<OsString> {
    std::iter::once("thinkgate").chain(flags.iter().copied()).map(OsString::from).collect()
}

/// Loads from a command line, variables and a file's text; no real file or variable is looked at.
fn load(flags: &[&str], variables: &[(&str, &str)], text: &str) -> Result<Loaded, Vec<Problem>> {
    let inputs = cli::inputs(args(flags), environment(variables))?;
    config::load(Inputs { text: Some(text.to_owned()), ..inputs })
}

fn settings(flags: &[&str], variables: &[(&str, &str)], text: &str) -> Settings {
    match load(flags, variables, text) {
        Ok(loaded) => loaded.settings,
        Err(problems) => panic!("{flags:?} {variables:?} {text:?}: {problems:?}"),
    }
}

/// All findings as one text.
fn refusal(flags: &[&str], variables: &[(&str, &str)], text: &str) -> String {
    match load(flags, variables, text) {
        Ok(_) => panic!("{flags:?} {variables:?} {text:?} was accepted"),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

/// `a.b: value` as a file.
fn yaml(key: &str, value: &str) -> String {
    let mut text = String::new();
    for (depth, part) in key.split('.').enumerate() {
        text.push_str(&format!(
            "{}{part}:",
            if depth == 0 { String::new() } else { format!("\n{}", "  ".repeat(depth)) }
        ));
    }
    format!("{text} {value}\n")
}

/// One way of giving a value: flags, variables, file.
type Way = (Source, Vec<String>, Vec<(String, String)>, String);

/// Every way in which a row can be given `value`.
fn ways(row: &Row, value: &str) -> Vec<Way> {
    let mut ways = Vec::new();
    if let Some(flag) = row.flag {
        let mut flags = vec![format!("--{flag}")];
        if !row.is_switch() {
            flags.push(value.to_owned());
        }
        // A switch has no way of saying false.
        if !row.is_switch() || value == "true" {
            ways.push((Source::Flag, flags, vec![], String::new()));
        }
        if let (Some(short), false) = (row.short, row.is_switch()) {
            ways.push((Source::Flag, vec![format!("-{short}"), value.to_owned()], vec![], String::new()));
        }
    }
    ways.push((Source::Environment, vec![], vec![(row.env(), value.to_owned())], String::new()));
    if let Some(key) = row.key {
        let quoted = match row.kind {
            Kind::Models { .. } | Kind::Profiles { .. } | Kind::Names { .. } => value.to_owned(),
            _ => format!("'{value}'"),
        };
        ways.push((Source::File, vec![], vec![], yaml(key, &quoted)));
    }
    ways
}

fn load_way(way: &Way) -> Result<Loaded, Vec<Problem>> {
    let (_, flags, variables, text) = way;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    load(&flags, &variables, text)
}

fn refusal_way(way: &Way) -> String {
    match load_way(way) {
        Ok(_) => panic!("{way:?} was accepted"),
        Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("thinkgate-options-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
