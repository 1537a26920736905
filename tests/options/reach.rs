//! Every row reaches what it governs from every source.

use thinkgate::control_plane::config::table::ROWS;

use super::*;

/// What a row is for, written down a second time: a sample, and what `Settings` must then say in the place that the row
/// governs.
pub(super) struct Witness {
    row: &'static str,
    pub sample: &'static str,
    pub get: fn(&Settings) -> String,
    pub want: &'static str,
}

pub(super) fn text(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

#[rustfmt::skip]
const WITNESSES: &[Witness] = &[
    Witness { row: "--debug", sample: "true", get: |s| text(s.log.level), want: "Debug" },
    Witness { row: "--log-level", sample: "error", get: |s| text(s.log.level), want: "Error" },
    Witness { row: "--access-log", sample: "/tmp/a.log", get: |s| text(&s.log.access), want: r#"Some(File("/tmp/a.log"))"# },
    Witness { row: "--shutdown-grace", sample: "7s", get: |s| text(s.shutdown.grace_ms), want: "7000" },
    Witness { row: "--listen", sample: "127.0.0.2:81,[::1]:82", get: |s| text(&s.listen), want: "[127.0.0.2:81, [::1]:82]" },
    Witness { row: "--workers", sample: "17", get: |s| text(s.workers), want: "Some(17)" },
    Witness { row: "--io", sample: "epoll", get: |s| text(s.io), want: "Epoll" },
    Witness { row: "--keep-alive", sample: "31s", get: |s| text(s.downstream.idle_ms), want: "31000" },
    Witness { row: "--max-body", sample: "3MiB", get: |s| text(s.limits.body_bytes), want: "3145728" },
    Witness { row: "--response-headers", sample: "OpenAI-Version", get: |s| text(&s.downstream.response_headers), want: r#"["openai-version"]"# },
    Witness { row: "--insecure-open-relay", sample: "true", get: |s| text(s.insecure_open_relay), want: "true" },
    Witness { row: "--ollama", sample: "https://[::1]:9/x/v1", get: |s| text(&s.upstream.url), want: r#"UpstreamUrl { scheme: Https, host: "::1", port: 9, path_prefix: "/x" }"# },
    Witness { row: "--upstream-dialect", sample: "both", get: |s| text(s.upstream.dialect), want: "Both" },
    Witness { row: "--enable-shared-mode", sample: "true", get: |s| text(s.upstream.shared), want: "true" },
    Witness { row: "--api-key", sample: "sk-sample", get: |s| text(s.upstream.api_key.as_ref().map(|k| k.reveal())), want: r#"Some("sk-sample")"# },
    Witness { row: "--ca-file", sample: "tests/options/ca.pem", get: |s| text(&s.upstream.ca_file), want: r#"Some("tests/options/ca.pem")"# },
    Witness { row: "--pool-idle-max", sample: "5", get: |s| text(s.pool.idle_max), want: "5" },
    Witness { row: "--pool-idle-age", sample: "6s", get: |s| text(s.pool.idle_age_ms), want: "6000" },
    Witness { row: "--enable-cache", sample: "true", get: |s| text(s.cache.enabled), want: "true" },
    Witness { row: "--cache-dir", sample: "/tmp/answers", get: |s| text(&s.cache.dir), want: "\"/tmp/answers\"" },
    Witness { row: "--cache-ttl", sample: "77s", get: |s| text(s.cache.ttl_ms), want: "77000" },
    Witness { row: "--cache-max-entries", sample: "3001", get: |s| text(s.cache.entries_max), want: "3001" },
    Witness { row: "--cache-memory", sample: "2MiB", get: |s| text(s.cache.memory_bytes), want: "2097152" },
    Witness { row: "--cache-on-disconnect", sample: "finish", get: |s| text(s.cache.on_disconnect), want: "Finish" },
    Witness { row: "--cache-tool-calls", sample: "true", get: |s| text(s.cache.tool_calls), want: "true" },
    Witness { row: "cache.sampled", sample: "false", get: |s| text(s.cache.sampled), want: "false" },
    Witness { row: "cache.ignore_no_store", sample: "true", get: |s| text(s.cache.ignore_no_store), want: "true" },
    Witness { row: "cache.ask_counts", sample: "false", get: |s| text(s.cache.ask_counts), want: "false" },
    Witness { row: "cache.pace", sample: "40ms", get: |s| text(s.cache.pace_ms), want: "40" },
    Witness { row: "--timeout", sample: "300001", get: |s| text(s.timeouts.total_ms), want: "300001" },
    Witness { row: "--connect-timeout", sample: "250ms", get: |s| text(s.timeouts.connect_ms), want: "250" },
    Witness { row: "--first-byte-timeout", sample: "1h", get: |s| text(s.timeouts.first_byte_ms), want: "3600000" },
    Witness { row: "--idle-timeout", sample: "2m", get: |s| text(s.timeouts.idle_ms), want: "120000" },
    Witness { row: "--head-timeout", sample: "3s", get: |s| text(s.timeouts.head_ms), want: "3000" },
    Witness { row: "--body-timeout", sample: "4s", get: |s| text(s.timeouts.body_ms), want: "4000" },
    Witness { row: "--disable-think-filter", sample: "true", get: |s| text(s.think.policy), want: "Keep" },
    Witness { row: "--think-policy", sample: "separate", get: |s| text(s.think.policy), want: "Separate" },
    Witness { row: "think.header", sample: "false", get: |s| text(s.think.header), want: "false" },
    Witness { row: "think.models", sample: "[{match: 'a*', profile: seed, policy: wrap}]", get: |s| text(&s.think.models), want: r#"[ModelRule { glob: "a*", profile: "seed", policy: Some(Wrap) }]"# },
    Witness { row: "think.profiles", sample: "{mine: {pairs: [['<a>', '</a>']]}}", get: |s| text(s.think.profiles.get("mine").map(|p| &p.pairs)), want: r#"Some([("<a>", "</a>")])"# },
    Witness { row: "think.reasoning_fields", sample: "reasoning", get: |s| text(&s.think.reasoning_fields), want: r#"["reasoning"]"# },
    Witness { row: "--heartbeat", sample: "0", get: |s| text(s.think.heartbeat_ms), want: "0" },
    Witness { row: "think.on_unclosed", sample: "drop", get: |s| text(s.think.on_unclosed), want: "Drop" },
];

/// Rows with one value in this build: they can't be seen to change anything.
const ONE_VALUE: &[&str] = &["--upstream-dialect", "think.on_unclosed"];

pub(super) fn witness(row: &Row) -> Option<&'static Witness> {
    WITNESSES.iter().find(|witness| witness.row == row.name())
}

pub(super) fn built() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.built && !matches!(row.kind, Kind::ConfigFile))
}

/// What other rows need in order to accept a sample: shared mode has a key.
pub(super) fn company(row: &Row) -> &'static [(&'static str, &'static str)] {
    if row.name() == "--enable-shared-mode" { &[("THINKGATE_API_KEY", "sk-company")] } else { &[] }
}

#[test]
fn every_row_has_a_witness_and_every_witness_a_row() {
    for row in built() {
        assert!(witness(row).is_some(), "{} has no witness in this file", row.name());
    }
    for witness in WITNESSES {
        assert!(built().any(|row| row.name() == witness.row), "{} is no row", witness.row);
    }
}

#[test]
fn every_row_reaches_settings_from_every_source_and_nothing_else_changes() {
    for row in built() {
        let witness = witness(row).unwrap();
        let before = settings(&[], company(row), "");
        if !ONE_VALUE.contains(&witness.row) {
            assert_ne!((witness.get)(&before), witness.want, "{}: the sample is the default", witness.row);
        }
        let ways = ways(row, witness.sample);
        assert!(ways.len() >= if row.flag.is_some() && row.key.is_some() { 3 } else { 2 }, "{}", row.name());
        for mut way in ways {
            way.2.extend(company(row).iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            let loaded = load_way(&way).unwrap_or_else(|problems| panic!("{way:?}: {problems:?}"));
            assert_eq!((witness.get)(&loaded.settings), witness.want, "{way:?}");
            let changed: Vec<&str> = WITNESSES
                .iter()
                .filter(|other| (other.get)(&loaded.settings) != (other.get)(&before))
                .map(|other| other.row)
                .filter(|name| !same_place(name, witness.row))
                .collect();
            assert!(changed.is_empty(), "{way:?} changed {changed:?} as well");
        }
    }
}

/// Shorthands govern the place of the row they stand for.
fn same_place(a: &str, b: &str) -> bool {
    let place = |name: &str| match name {
        "--debug" => "--log-level".to_owned(),
        "--disable-think-filter" => "--think-policy".to_owned(),
        name => name.to_owned(),
    };
    place(a) == place(b)
}

#[test]
fn sources_are_told() {
    for row in built().filter(|row| !matches!(row.kind, Kind::Shorthand { .. })) {
        let at = ROWS.iter().position(|other| other.name() == row.name()).unwrap();
        for mut way in ways(row, witness(row).unwrap().sample) {
            way.2.extend(company(row).iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            let loaded = load_way(&way).unwrap();
            let (_, origin) = loaded.sources.iter().find(|(row, _)| *row == at).unwrap();
            assert_eq!(origin.source, way.0, "{way:?}");
        }
    }
    let loaded = load(&[], &[], "\nlog:\n  level: warn\n").unwrap();
    assert_eq!(config::summary(&loaded.sources), ["--log-level from thinkgate.yaml:3: log.level"]);
}

#[test]
fn defaults_are_valid_values_and_those_of_the_contract() {
    for row in built() {
        if let Some(default) = row.default {
            for way in ways(row, default) {
                assert_eq!(load_way(&way).unwrap().settings, Settings::default(), "{way:?}");
            }
        }
    }
    let settings = settings(&[], &[], "");
    assert_eq!(settings, Settings::default());
    assert_eq!(text(&settings.listen), "[127.0.0.1:3000]");
    assert_eq!(settings.upstream.url.to_string(), "http://127.0.0.1:11434");
    let times = &settings.timeouts;
    assert_eq!(
        (times.total_ms, times.connect_ms, times.first_byte_ms, times.idle_ms),
        (300_000, 5000, 120_000, 60_000)
    );
    assert_eq!((settings.shutdown.grace_ms, settings.think.heartbeat_ms), (30_000, 10_000));
    assert_eq!((text(settings.think.policy), settings.think.header), ("Strip".to_owned(), true));
    assert_eq!(settings.think.reasoning_fields, ["reasoning_content"]);
}
