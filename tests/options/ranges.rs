//! Ranges end where they say, and values that are none are refused.

use thinkgate::control_plane::config::table::ROWS;

use super::reach::built;
use super::*;

fn range(kind: &Kind) -> Option<(u64, u64)> {
    match kind {
        Kind::Duration { min, max, .. } | Kind::Size { min, max, .. } | Kind::Integer { min, max, .. } => {
            Some((*min, *max))
        }
        _ => None,
    }
}

fn number(kind: &Kind, number: u64) -> String {
    match kind {
        Kind::Duration { .. } => format!("{number}ms"),
        _ => number.to_string(),
    }
}

#[test]
fn ranges_end_where_they_say() {
    let mut ranged = 0;
    for row in built() {
        let Some((min, max)) = range(&row.kind) else { continue };
        ranged += 1;
        let off = matches!(row.kind, Kind::Duration { zero_is_off: true, .. });
        for inside in [min, max, min.midpoint(max)].into_iter().chain(off.then_some(0)) {
            for way in ways(row, &number(&row.kind, inside)) {
                assert!(load_way(&way).is_ok(), "{way:?}");
            }
        }
        let below = min.checked_sub(1).filter(|below| !(off && *below == 0));
        for outside in [below, Some(max + 1), Some(u64::MAX)].into_iter().flatten() {
            for way in ways(row, &number(&row.kind, outside)) {
                let text = refusal_way(&way);
                let range = row.kind.range().unwrap();
                assert!(text.contains(&format!("the range is {range}")), "{way:?}: {text}");
            }
        }
    }
    assert!(ranged >= 13, "{ranged}");
}

/// The seed's users know these by heart.
#[test]
fn ranges_of_the_contract() {
    let ranges: Vec<(String, Option<String>)> = ROWS.iter().map(|row| (row.name(), row.kind.range())).collect();
    for (name, range) in [
        ("--timeout", "1s-24h"),
        ("--connect-timeout", "100ms-5m"),
        ("--first-byte-timeout", "1s-24h"),
        ("--idle-timeout", "1s-24h"),
        ("--workers", "1-1024"),
        ("--shutdown-grace", "0s-1h"),
        ("--rate-limit", "0-65535"),
        ("--retry-attempts", "0-1024"),
        ("--retry-min-interval", "50ms-5m"),
        ("--retry-max-interval", "50ms-5m"),
        ("--cache-ttl", "30s-24h"),
        ("--cache-max-entries", "3000-1000000"),
        ("--cache-memory", "1MiB-64GiB"),
        ("--luajit-instances-power", "1-8"),
        ("async.result_ttl", "30s-720h"),
        ("--io", "auto, uring, epoll"),
        ("--think-policy", "strip, keep, separate, wrap"),
    ] {
        assert!(ranges.contains(&(name.to_owned(), Some(range.to_owned()))), "{name} {range}: {ranges:?}");
    }
}

#[test]
fn seconds_of_older_releases_are_refused_with_a_hint() {
    let row = ROWS.iter().find(|row| row.flag == Some("timeout")).unwrap();
    for value in ["300", "999", "0", "1"] {
        for way in ways(row, value) {
            let text = refusal_way(&way);
            assert!(text.contains(&format!("write {value}s for {value} seconds")), "{text}");
        }
    }
    assert_eq!(settings(&["--timeout", "1000"], &[], "").timeouts.total_ms, 1000);
    assert_eq!(settings(&[], &[], "timeouts: {total: 300000}").timeouts.total_ms, 300_000);
}

#[test]
fn values_that_are_none() {
    for (row, value) in [
        ("timeout", "five minutes"),
        ("timeout", "-1s"),
        ("workers", "2.5"),
        ("workers", ""),
        ("max-body", "64 Mio"),
        ("listen", "3000"),
        ("listen", "127.0.0.1:3000,127.0.0.1:3000"),
        ("io", "kqueue"),
        ("ollama", "127.0.0.1:11434"),
        ("think-policy", "remove"),
        ("response-headers", "a b"),
        ("response-headers", "*"),
        ("response-headers", "Content-Length"),
        ("access-log", ""),
        ("api-key", "two words"),
        ("api-key", "line\nbreak"),
    ] {
        let text = refusal(&[&format!("--{row}"), value], &[], "");
        assert!(text.starts_with(&format!("--{row}: ")), "{text}");
    }
}
