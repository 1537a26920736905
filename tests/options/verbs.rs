//! Verbs that need no server.

use thinkgate::control_plane::cli::Answer;
use thinkgate::control_plane::config::table::ROWS;

use super::reach::text;
use super::*;

fn answer(flags: &[&str]) -> (String, String, u8) {
    match cli::answer(args(flags), environment(&[])) {
        Answer::Text { out, err, status } => (out, err, status),
        other => panic!("{flags:?}: {other:?}"),
    }
}

#[test]
fn serve_is_what_no_verb_means() {
    for flags in [&[][..], &["serve"], &["-t", "5s", "serve", "-d"], &["serve", "--timeout", "5s"]] {
        assert!(matches!(cli::answer(args(flags), environment(&[])), Answer::Serve(_)), "{flags:?}");
    }
    let Answer::Demo(loaded) = cli::answer(args(&["demo", "-l", "127.0.0.1:0"]), environment(&[])) else {
        panic!("demo is not demo");
    };
    assert_eq!(text(&loaded.settings.listen), "[127.0.0.1:0]");
    assert!(matches!(answer(&["serve", "--workers", "0"]), (_, err, 2) if err.contains("1-1024")));
    for flags in [&["-d", "-d"][..], &["--no-such"], &["nonsense"], &["--timeout"]] {
        assert_eq!(answer(flags).2, 2, "{flags:?}");
    }
}

#[test]
fn help_and_version() {
    let (help, _, status) = answer(&["-h"]);
    assert_eq!(status, 0);
    let (long, _, _) = answer(&["--help"]);
    for row in ROWS {
        let Some(flag) = row.flag else { continue };
        assert_eq!(help.contains(&format!("--{flag}")), row.built, "{flag}");
        assert_eq!(long.contains(&row.env()), row.built, "{flag}");
        let shown = |text: &str| help.split_whitespace().collect::<Vec<_>>().join(" ").contains(text);
        if row.built && !row.is_switch() {
            assert!(row.default.is_none_or(|default| shown(&format!("[default: {default}]"))), "{flag}");
            assert!(row.kind.range().is_none_or(|range| shown(&format!(": {range}]"))), "{flag}");
        }
    }
    let (version, _, status) = answer(&["-V"]);
    assert_eq!((version.trim(), status), (concat!("thinkgate ", env!("CARGO_PKG_VERSION")), 0));
}

#[test]
fn check_says_what_is_wrong_a_line_a_finding() {
    let folder = Folder::new("check");
    let good = folder.write("good.yaml", "workers: 2\n");
    let (out, err, status) = answer(&["check", &good]);
    assert_eq!((out, err, status), (format!("{good}: valid\n"), String::new(), 0));
    let bad = folder.write("bad.yaml", "workers: 0\nio: x\nupstream: {shared: true, api_key: 'env:NO_SUCH'}\n");
    let (out, _, status) = answer(&["check", &bad]);
    assert_eq!((out.lines().count(), status), (3, 2), "{out}");
    assert!(out.lines().all(|line| line.starts_with(&bad)) && out.contains("NO_SUCH"), "{out}");
    assert_eq!(answer(&["-c", &good, "check"]).2, 0);
    assert_eq!(answer(&["-c", &good, "check", &bad]).2, 2, "the file that is asked about counts");
    assert_eq!(answer(&["check", "/nonexistent"]).2, 2);
    let env = environment(&[("THINKGATE_WORKERS", "0")]);
    assert!(matches!(cli::answer(args(&["check", &good]), env), Answer::Text { status: 2, .. }));
}

#[test]
fn completions_and_manual() {
    for shell in ["bash", "zsh", "fish"] {
        let (out, _, status) = answer(&["completions", shell]);
        assert_eq!(status, 0);
        assert!(out.contains("first-byte-timeout"), "{shell}");
    }
    assert_eq!(answer(&["completions", "csh"]).2, 2);
    let (man, _, status) = answer(&["man"]);
    assert_eq!(status, 0);
    assert!(man.contains(".TH thinkgate") && man.contains("first\\-byte\\-timeout"));
}

#[test]
fn cache_works_on_the_directory_that_the_options_name() {
    assert_eq!(answer(&["cache"]).2, 2);
    assert_eq!(answer(&["cache", "shrink"]).2, 2);
    assert_eq!(answer(&["cache", "status", "--workers", "1"]).2, 2, "options of other verbs are none of its own");
    let folder = Folder::new("cache-verb");
    let foreign = folder.write("note.txt", "mine");
    let place = foreign.trim_end_matches("/note.txt");
    let file = folder.write("gate.yaml", &format!("cache: {{dir: '{place}'}}\n"));
    for flags in [&["--cache-dir", place][..], &["--config", &file], &["-c", &file]] {
        for verb in ["status", "clear"] {
            let (out, err, status) = answer(&[&["cache", verb], flags].concat());
            assert_eq!((out.as_str(), status), ("", 1), "{flags:?}");
            assert!(err.contains("holds no thinkgate cache") && err.contains(place), "{err}");
        }
    }
    let (_, err, status) = answer(&["cache", "status", "--cache-ttl", "1s"]);
    assert_eq!(status, 2, "{err}");
}
