//! No two files of the gateway name each other in a circle: whoever reads one can stop at what it names.
//!
//! Reads the sources as text: `use` trees and the paths in code that begin with `crate`, `super` or `self`. A file's own
//! ancestors do not count: a `mod.rs` names its children, and they take words of the family from it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `data_plane::cache::flight`, as its parts.
type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// Every module that has a file, with what of it runs.
fn modules(folder: &Path, place: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut module = place.clone();
        if path.is_dir() {
            module.push(name);
            modules(&path, &module, found);
        } else if !matches!(name.as_str(), "tests" | "main" | "lib") {
            if name != "mod" {
                module.push(name);
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
            let code: String =
                text[..end].lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect();
            found.insert(module, code);
        }
    }
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if word > 0 {
            word
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            found.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    found
}

/// The paths of a tree that begins at `at`, each with its prefix; the answer is where it ends.
fn tree(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<Module>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while let Some(token) = tokens.get(at) {
                    match *token {
                        "}" => return at + 1,
                        "," => at += 1,
                        _ => at = tree(tokens, at, &path, found),
                    }
                }
                return at;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => path.push((*word).to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    // `as name`, or whatever else stands before the next branch.
    while tokens.get(at).is_some_and(|token| !matches!(*token, "," | "}" | ";")) {
        at += 1;
    }
    at
}

/// Every path that `code` names.
fn paths(code: &str) -> Vec<Module> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = at == 0 || tokens[at - 1] != "::";
        if *token == "use" {
            tree(&tokens, at + 1, &[], &mut found);
        } else if begins && matches!(*token, "crate" | "super" | "self") && tokens.get(at + 1) == Some(&"::") {
            let words = tokens[at..].chunks(2).take_while(|pair| pair.get(1) == Some(&"::")).count();
            found.push(tokens[at..].iter().step_by(2).take(words + 1).map(|word| (*word).to_owned()).collect());
        }
    }
    found
}

/// The file that `path`, written in `here`, leads to.
fn target(here: &Module, path: &[String], all: &BTreeMap<Module, String>) -> Option<Module> {
    let mut place = here.clone();
    let mut rest = path;
    match rest.first().map(String::as_str) {
        Some("crate") => {
            place.clear();
            rest = &rest[1..];
        }
        Some("self") => rest = &rest[1..],
        _ => {}
    }
    while let Some((word, more)) = rest.split_first()
        && word == "super"
    {
        place.pop();
        rest = more;
    }
    // The longest beginning of it that has a file; what follows is an item there.
    (1..=rest.len()).rev().find_map(|length| {
        let module: Module = place.iter().chain(&rest[..length]).cloned().collect();
        all.contains_key(&module).then_some(module)
    })
}

fn graph() -> Graph {
    let mut all = BTreeMap::new();
    modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &Vec::new(), &mut all);
    all.iter()
        .map(|(here, code)| {
            let named =
                paths(code).into_iter().filter_map(|path| target(here, &path, &all)).filter(|to| !here.starts_with(to));
            (here.clone(), named.collect())
        })
        .collect()
}

/// A way from `here` to itself.
fn circle(here: &Module, graph: &Graph) -> Option<Vec<Module>> {
    let mut ways: Vec<Vec<Module>> = vec![vec![here.clone()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in graph.get(way.last()?).into_iter().flatten() {
            if next == here {
                return Some(way);
            }
            if seen.insert(next.clone()) {
                ways.push(way.iter().chain([next]).cloned().collect());
            }
        }
    }
    None
}

#[test]
fn no_two_files_name_each_other_in_a_circle() {
    let graph = graph();
    let circles: Vec<String> = graph
        .keys()
        .filter_map(|module| circle(module, &graph))
        .map(|way| way.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" → "))
        .collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// The reader sees what is there: a test that finds nothing because it reads nothing would always pass.
#[test]
fn the_reader_finds_what_files_name() {
    let graph = graph();
    let module = |path: &str| -> Module { path.split("::").map(str::to_owned).collect() };
    for (from, to) in [
        ("data_plane::relay", "data_plane::reply"),
        ("data_plane::relay", "wire::dialect::error"),
        ("data_plane::cache::follow", "data_plane::relay"),
        ("wire::ndjson", "wire::frame"),
        ("control_plane::boot", "data_plane::worker"),
    ] {
        assert!(graph[&module(from)].contains(&module(to)), "{from} names {to}: {:?}", graph[&module(from)]);
    }
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(graph.len() > 100 && edges > 400, "{} files, {edges} times named", graph.len());
    let said = paths("use super::{a::{B, c as d}, e::*};\nfn f() { crate::wire::think::table(self::g::H) }");
    let said: Vec<String> = said.iter().map(|path| path.join("::")).collect();
    for path in ["super::a::B", "super::a::c", "super::e", "crate::wire::think::table", "self::g::H"] {
        assert!(said.iter().any(|one| one == path), "{path}: {said:?}");
    }
    let two: Graph = BTreeMap::from([
        (module("a"), BTreeSet::from([module("b")])),
        (module("b"), BTreeSet::from([module("c")])),
        (module("c"), BTreeSet::from([module("a")])),
        (module("d"), BTreeSet::from([module("a")])),
    ]);
    assert_eq!(circle(&module("a"), &two).map(|way| way.len()), Some(3));
    assert_eq!(circle(&module("d"), &two), None);
}
