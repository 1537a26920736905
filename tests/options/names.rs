//! Unknown names, names that are known and not built, names that must not collide.

use thinkgate::control_plane::cli::Answer;
use thinkgate::control_plane::config::table::ROWS;

use super::reach::built;
use super::*;

#[test]
fn unknown_names_come_with_the_nearest() {
    assert!(refusal(&["--time-out", "5s"], &[], "").contains("--time-out"));
    let Answer::Text { err, status: 2, .. } = cli::answer(args(&["--time-out", "5s"]), environment(&[])) else {
        panic!("an unknown flag was accepted");
    };
    assert!(err.contains("--timeout"), "{err}");
    assert!(refusal(&[], &[("THINKGATE_OLAMA", "x")], "").contains("did you mean THINKGATE_OLLAMA?"));
    let text = refusal(&[], &[], "timeouts:\n  totl: 5s\n");
    assert!(
        text.contains("thinkgate.yaml:2: timeouts.totl") && text.contains("did you mean timeouts.total?"),
        "{text}"
    );
    assert!(refusal(&[], &[], "lisen: '127.0.0.1:1'").contains("did you mean listen?"));
    assert!(refusal(&[], &[], "think: {profiles: {x: {pair: []}}}").contains("did you mean pairs?"));
    let text = refusal(&[], &[], "think: {models: [{match: a, profile: thnik}]}");
    assert!(text.contains("did you mean think?"), "{text}");
}

#[test]
fn what_is_not_built_is_refused_from_every_source() {
    let mut refused = 0;
    for row in ROWS.iter().filter(|row| !row.built) {
        for way in ways(row, row.default.unwrap_or("true")).into_iter().chain(ways(row, "true")) {
            let text = refusal_way(&way);
            assert!(text.contains(&row.name()) && text.contains("is not in this build"), "{way:?}: {text}");
            // Under another name than its own, it says which option is meant.
            assert!(!text.contains(&format!("{0}: {0}", row.name())), "{text}");
            refused += 1;
        }
    }
    assert!(refused > 0 || ROWS.iter().all(|row| row.built));
    for row in built() {
        let Kind::Choice { unbuilt, .. } = row.kind else { continue };
        for way in unbuilt.iter().flat_map(|value| ways(row, value)) {
            assert!(refusal_way(&way).contains("is not in this build"), "{way:?}");
        }
    }
    for verb in ["status", "models", "config", "token", "key", "channel"] {
        let Answer::Text { err, status: 2, .. } = cli::answer(args(&[verb, "--x", "y"]), environment(&[])) else {
            panic!("{verb} was accepted");
        };
        assert!(err.contains(verb) && err.contains("not in this build"), "{err}");
    }
}

#[test]
fn rows_do_not_collide() {
    for names in [
        ROWS.iter().filter_map(|row| row.flag.map(str::to_owned)).collect::<Vec<_>>(),
        ROWS.iter().filter_map(|row| row.short.map(String::from)).collect(),
        ROWS.iter().filter_map(|row| row.key.map(str::to_owned)).collect(),
        ROWS.iter().map(Row::env).collect(),
    ] {
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), names.len(), "{names:?}");
    }
    // No key is the section of another one.
    for a in ROWS.iter().filter_map(|row| row.key) {
        assert!(ROWS.iter().filter_map(|row| row.key).all(|b| !b.starts_with(&format!("{a}."))), "{a}");
    }
    for row in ROWS {
        assert!(!row.help.is_empty() && !row.help.ends_with('.') && !row.section.is_empty(), "{}", row.name());
        assert_eq!(row.value_name.is_empty(), row.is_switch(), "{}", row.name());
    }
    cli::command().debug_assert();
}

/// Names and short forms that the seeds' users type.
#[test]
fn flags_of_the_contract() {
    let flags: Vec<(&str, Option<char>)> =
        ROWS.iter().filter_map(|row| row.flag.map(|flag| (flag, row.short))).collect();
    for (flag, short) in [
        ("config", Some('c')),
        ("debug", Some('d')),
        ("listen", Some('l')),
        ("ollama", Some('o')),
        ("timeout", Some('t')),
        ("rate-limit", Some('r')),
        ("retry-attempts", Some('a')),
        ("retry-min-interval", Some('i')),
        ("retry-max-interval", Some('m')),
        ("enable-cache", None),
        ("cache-dir", None),
        ("cache-ttl", None),
        ("cache-max-entries", None),
        ("disable-think-filter", None),
        ("enable-shared-mode", None),
        ("api-key", None),
        ("enable-luajit", None),
        ("luajit-instances-power", None),
        ("luajit-script", None),
        ("luajit-package-path", None),
        ("luajit-package-cpath", None),
        ("enable-async-request", None),
    ] {
        assert!(flags.contains(&(flag, short)), "{flag}");
    }
}

#[test]
fn all_findings_come_at_once() {
    let text = refusal(
        &["--timeout", "1ms", "--listen", "0.0.0.0:1", "--enable-shared-mode", "--api-key", "k"],
        &[("THINKGATE_WORKERS", "0"), ("THINKGATE_NONSENSE", "1")],
        "io: x\nbanana: 1\nretry: {attempts: 3}\n",
    );
    for part in ["--timeout", "THINKGATE_WORKERS", "THINKGATE_NONSENSE", ":1: io", ":2: banana", "retry", "shared key"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.lines().count(), 7, "{text}");
}

/// Who writes a flag means it; a file may hold what is not in use just now.
#[test]
fn flags_of_a_cache_that_is_off_are_noticed() {
    let warned = |flags: &[&str], text: &str| load(flags, &[], text).unwrap().warnings;
    let warnings = warned(&["--cache-dir", "x", "--cache-ttl", "5m"], "");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("--cache-dir") && warnings[0].contains("--enable-cache"), "{warnings:?}");
    assert!(warned(&["--enable-cache", "--cache-dir", "x"], "").is_empty());
    assert!(warned(&[], "cache: {enabled: false, dir: x}\n").is_empty());
}

#[test]
fn check_takes_its_file_as_serve_does() {
    let folder = std::env::temp_dir().join(format!("thinkgate-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("x.yaml");
    std::fs::write(&file, "lisen: x\n").unwrap();
    let path = file.to_string_lossy();
    for way in [&["check", &*path][..], &["check", "--config", &path]] {
        let Answer::Text { out, err, status: 2 } = cli::answer(args(way), environment(&[])) else { panic!("{way:?}") };
        let err = out + &err;
        assert!(err.contains("did you mean listen?"), "{way:?}: {err}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
