//! `src/ARCHITECTURE.md` is true where a test can tell: its invariants are guarded by tests that exist, its map names files
//! that exist, and a few invariants that are absences are checked here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn architecture() -> String {
    read("src/ARCHITECTURE.md")
}

/// What stands between single backquotes, outside of fences.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The number and the text of each paragraph that states an invariant.
fn invariants(text: &str) -> Vec<(usize, &str)> {
    let numbered = |paragraph: &&str| paragraph.starts_with("**I");
    let parts = text.split("\n\n").filter(numbered).map(|paragraph| {
        let digits = paragraph["**I".len()..].split('.').next().unwrap_or_default();
        (digits.parse().unwrap_or_else(|_| panic!("no number: {paragraph}")), paragraph)
    });
    parts.collect()
}

/// Rust files below a folder of `src`, with their paths.
fn sources(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(project(folder)).unwrap();
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let path = format!("{folder}/{path}");
        if project(&path).is_dir() {
            found.extend(sources(&path));
        } else if path.ends_with(".rs") {
            found.push((path.clone(), read(&path)));
        }
    }
    found
}

/// Lines of code (no comments, no unit tests) below `folder` that contain one of `words`.
fn naming(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
        found.extend(lines.flat_map(|line| words.iter().filter(|word| line.contains(**word))).map(|word| {
            let (path, word) = (&path, *word);
            format!("{path}: {word}")
        }));
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let text = architecture();
    let invariants = invariants(&text);
    assert!(invariants.len() >= 20, "{} invariants were found", invariants.len());
    let mut wrong = Vec::new();
    for (at, (number, paragraph)) in invariants.iter().enumerate() {
        if *number != at + 1 {
            wrong.push(format!("I{number} stands where I{} should", at + 1));
        }
        let guards: Vec<_> = quoted(paragraph).into_iter().filter_map(|word| word.split_once(".rs::")).collect();
        if guards.is_empty() {
            wrong.push(format!("I{number} names no test"));
        }
        for (file, test) in guards {
            let file = format!("{file}.rs");
            match std::fs::read_to_string(project(&file)) {
                Err(error) => wrong.push(format!("I{number}: {file}: {error}")),
                Ok(text) if !text.contains(&format!("fn {test}(")) => {
                    wrong.push(format!("I{number}: there is no {test} in {file}"));
                }
                Ok(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_and_file_of_the_map_exists_and_none_is_missing() {
    let text = architecture();
    let (_, rest) = text.split_once("\n## Map\n").unwrap();
    let (map, _) = rest.split_once("\n## ").unwrap();
    let all: Vec<String> = sources("src").into_iter().map(|(path, _)| path).collect();
    let named = quoted(map);
    let files = named.iter().filter(|name| name.ends_with(".rs"));
    let gone: Vec<_> = files.filter(|name| !all.iter().any(|path| path.ends_with(&format!("/{name}")))).collect();
    assert!(gone.is_empty(), "on the map and not there: {gone:?}");
    // A folder may stand for its files; what stands in a room itself has a row of its own.
    let missing = all.iter().filter(|path| {
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            ["src", _, "mod.rs"] | ["src", _] => false,
            ["src", _, file] => !named.contains(&file),
            ["src", _, folder, ..] => !named.contains(&format!("{folder}/").as_str()),
            _ => false,
        }
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "there and not on the map: {missing:?}");
}

/// Two implementations apply to a type that is `Send`, so that naming one of them does not compile; one to all others.
macro_rules! assert_not_send {
    ($type:ty) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn one() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct IsSend;
            impl<T: ?Sized + Send> Ambiguous<IsSend> for T {}
            <$type as Ambiguous<_>>::one();
        };
    };
}

/// What is checked is that this compiles.
#[test]
fn a_core_stays_on_its_thread() {
    assert_not_send!(thinkgate::data_plane::core::Core);
    assert_not_send!(thinkgate::data_plane::deadline::Timer);
}

#[test]
fn only_readiness_is_ever_pending() {
    // monoio's ways of submitting a read, a write, an accept or a connect, and of giving one up.
    let words = ["AsyncReadRent", "AsyncWriteRent", "Cancelable", "Canceller", "TcpListener", "connect_addr", "Splice"];
    assert_eq!(naming("src/data_plane", &words), [""; 0]);
    let races = ["select!", "monoio::time::timeout", "join!"];
    assert_eq!(naming("src/data_plane", &races), [""; 0]);
}

#[test]
fn one_clock() {
    let words = ["quanta::", "Instant::now", "SystemTime::now"];
    let mut files: Vec<_> = naming("src/data_plane", &words).into_iter().collect();
    files.retain(|found| !found.starts_with("src/data_plane/clock.rs:"));
    assert_eq!(files, [""; 0]);
}
