//! Rules of the repository, as tests. They read the sources as text; what they can't see, reviews must.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

/// A file past this many lines does two things.
const LINES_MAX: usize = 500;
/// But for tables, which are one thing however long they are.
const TABLES: [&str; 1] = ["src/control_plane/config/table/rows.rs"];

struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Everything but unit tests and comments: what runs.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("\n#[cfg(test)]\nmod ").map_or(self.text.len(), |at| at + 1);
        let code = if self.is_test() { "" } else { &self.text[..end] };
        code.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or("")))
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/") || self.path.starts_with("tests/")
    }

    fn is_in(&self, room: &str) -> bool {
        self.path.starts_with(&format!("src/{room}/")) || self.path == format!("src/{room}.rs")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `folders`, whether committed or not.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 20, "the sources are where this test looks for them");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target" && name != "corpus") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let short = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            found.push(Source { path: short, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
}

/// Lines of code in `room` that contain one of `banned`, but for `exceptions`: (file, what it may name).
fn offences(room: &str, banned: &[&str], exceptions: &[(&str, &str)]) -> Vec<String> {
    let sources = sources(&["src"]);
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| source.is_in(room)) {
        for (number, line) in source.code() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                if !exceptions.iter().any(|(file, what)| source.path == *file && what == word) {
                    found.push(format!("{}:{number}: {word}", source.path));
                }
            }
        }
    }
    found
}

#[track_caller]
fn expect_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

#[test]
fn rooms_name_only_what_lies_below_them() {
    let rule = "base ← wire ← policy ← the planes";
    expect_none(
        rule,
        &offences("base", &["crate::wire", "crate::policy", "crate::data_plane", "crate::control_plane"], &[]),
    );
    expect_none(rule, &offences("wire", &["crate::policy", "crate::data_plane", "crate::control_plane"], &[]));
    expect_none(rule, &offences("policy", &["crate::data_plane", "crate::control_plane"], &[]));
    expect_none(rule, &offences("data_plane", &["crate::control_plane"], &[]));
}

#[test]
fn wire_and_policy_know_no_runtime_clock_or_socket() {
    let banned = [
        "monoio",
        "tokio",
        "async fn",
        ".await",
        "std::thread",
        "std::net::Tcp",
        "std::net::Udp",
        "std::fs",
        "std::time::Instant",
        "std::time::SystemTime",
        "Instant::now",
        "SystemTime::now",
        "std::process",
        "std::env",
        "std::io::stdin",
        "rand::",
    ];
    for room in ["base", "wire", "policy"] {
        expect_none("sans-io", &offences(room, &banned, &[]));
    }
}

#[test]
fn the_data_plane_neither_locks_nor_touches_files() {
    let banned = [
        "tokio",
        "std::sync::Mutex",
        "sync::Mutex",
        "RwLock",
        "std::fs",
        "fs::File",
        "to_socket_addrs",
        "ToSocketAddrs",
        "thread::sleep",
    ];
    expect_none("a core never blocks", &offences("data_plane", &banned, &[]));
}

#[test]
fn only_boot_starts_the_data_plane() {
    let sources = sources(&["src"]);
    let naming: Vec<&str> = sources
        .iter()
        .filter(|source| source.is_in("control_plane"))
        .filter(|source| source.code().any(|(_, line)| line.contains("data_plane")))
        .map(|source| source.path.as_str())
        .collect();
    assert_eq!(naming, ["src/control_plane/boot.rs"]);
}

#[test]
fn nothing_from_the_network_can_panic() {
    let banned = [".unwrap()", ".expect(\"", "panic!(", "unreachable!(", "todo!(", "unimplemented!("];
    let exceptions = [
        ("src/wire/http/field.rs", "panic!("),        // at compile time
        ("src/wire/think/table.rs", "unreachable!("), // a row of our own table
        ("src/data_plane/faults.rs", "panic!("),      // on demand, in debug builds
    ];
    for room in ["wire", "policy", "data_plane"] {
        expect_none("no panic on a network path", &offences(room, &banned, &exceptions));
    }
}

const TEST_LINES_MAX: usize = 800;

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[test]
fn files_do_one_thing() {
    let long: Vec<String> = sources(&["src", "tests", "benches", "loadtest", "fuzz"])
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        // A file of tests or an oracle is one subject, however many cases that subject has.
        .map(|(lines, path)| (lines, path, if is_test(path) { TEST_LINES_MAX } else { LINES_MAX }))
        .filter(|(lines, path, max)| lines > max && !TABLES.contains(&path.as_str()))
        .map(|(lines, path, _)| format!("{path}: {lines} lines"))
        .collect();
    expect_none("which two things does it do?", &long);
}

#[test]
fn nothing_is_left_open() {
    let left: Vec<String> = sources(&["src", "benches", "loadtest", "fuzz"])
        .iter()
        .flat_map(|source| {
            let words = ["TODO", "FIXME", "#[ignore", "(being built)", "dbg!("];
            let open = move |line: &&str| words.iter().any(|word| line.contains(word));
            source.text.lines().filter(open).map(|line| format!("{}: {}", source.path, line.trim())).collect::<Vec<_>>()
        })
        .collect();
    expect_none("finish it or say it in an issue", &left);
}

#[test]
fn unsafe_blocks_say_why() {
    let mut silent = Vec::new();
    for source in sources(&["src"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if code.contains("unsafe {") || code.contains("unsafe impl") {
                let before = lines[at.saturating_sub(6)..at].iter().any(|line| line.contains("// SAFETY:"));
                if !before {
                    silent.push(format!("{}:{}", source.path, at + 1));
                }
            }
        }
    }
    expect_none("each unsafe block has its reason", &silent);
}

#[test]
fn modules_say_what_they_are_for() {
    let silent: Vec<String> = sources(&["src"])
        .iter()
        .filter(|source| !source.is_test() && source.path != "src/main.rs")
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path.clone())
        .collect();
    expect_none("a file begins with a sentence about itself", &silent);
}

#[test]
fn main_is_small() {
    let main = std::fs::read_to_string(root().join("src/main.rs")).unwrap();
    assert!(main.lines().count() <= 40, "main.rs hands over");
}

#[test]
fn no_path_of_a_machine_is_in_the_repository() {
    let mut found = Vec::new();
    for source in sources(&["src", "tests", "benches", "loadtest", "fuzz"]) {
        for (at, line) in source.text.lines().enumerate() {
            // Spelt in two halves, so that this file does not find itself.
            if line.contains(concat!("/wo", "rk/")) || line.contains(concat!("/ro", "ot/")) {
                found.push(format!("{}:{}", source.path, at + 1));
            }
        }
    }
    expect_none("it has to build elsewhere", &found);
}
