//! The paths that are the gateway's own.

use std::collections::{BTreeMap, BTreeSet};

use crate::both_drivers;
use crate::support::{
    After, Gateway, Io, LAST_CHUNK, Upstream, chat_event, chunk, eventually, json_reply, stream_head,
};

both_drivers![
    our_paths_never_reach_the_upstream,
    head_is_answered_like_get,
    other_methods_are_refused_or_forwarded_never_answered,
    metrics_are_valid_text,
    metrics_count_what_happened,
    probes_are_answered_while_the_upstream_is_down,
];

const OURS: [&str; 5] = ["/", "/health", "/livez", "/readyz", "/metrics"];

fn our_paths_never_reach_the_upstream(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = Gateway::before(&upstream, io);
    assert_eq!(gateway.get("/").text(), "Ollama is running");
    assert_eq!(gateway.get("/health").json()["status"], "healthy");
    for path in OURS {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert_eq!(gateway.get(&format!("{path}?x=1")).status, 200, "{path} with a query");
    }
    assert!(gateway.get("/metrics").field("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(upstream.requests().is_empty());
}

fn head_is_answered_like_get(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for path in OURS {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: g\r\n\r\n"));
        let reply = client.reply_to("HEAD");
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.field("content-length").is_some_and(|length| length != "0"), "{path}");
    }
    assert!(upstream.requests().is_empty());
}

fn other_methods_are_refused_or_forwarded_never_answered(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "\"upstream\""));
    let gateway = Gateway::before(&upstream, io);
    for path in OURS {
        let reply = gateway.post(path, "{}");
        assert!(reply.status == 405 || reply.text() == "\"upstream\"", "{path}: {reply:?}");
    }
}

/// The text format of Prometheus, read strictly: families whole and once, typed, named by the conventions.
fn check_metrics(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let (mut types, mut helps, mut values) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(helps.insert(name.to_owned()) && !help.is_empty(), "{line}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, family, "TYPE follows its HELP");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is split");
            let counter_like = name.ends_with("_total");
            assert_eq!(kind == "counter", counter_like, "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap();
            let kind = types.get(&family).unwrap_or_else(|| panic!("{line} without a type"));
            let base = if kind == "histogram" {
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
            } else {
                name
            };
            assert_eq!(base, family, "{line} stands in the wrong family");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(value >= 0.0, "{line}");
            assert!(values.insert(series.to_owned(), value).is_none(), "{series} twice");
        }
    }
    check_histograms(&types, &values);
    values
}

fn check_histograms(types: &BTreeMap<String, String>, values: &BTreeMap<String, f64>) {
    let mut lines: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
    for (series, value) in values {
        let Some((name, labels)) = series.split_once("_bucket{") else { continue };
        assert_eq!(types[name], "histogram");
        let labels = labels.trim_end_matches('}');
        let at = labels.find("le=\"").expect("a bound");
        let bound = labels[at + 4..].split('"').next().unwrap();
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
        let others = labels[..at].trim_end_matches(',').to_owned();
        lines.entry((name.to_owned(), others)).or_default().push((bound, *value));
    }
    assert!(!lines.is_empty(), "there are histograms");
    for ((name, labels), mut buckets) in lines {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name} {labels} is cumulative");
        let last = buckets.last().unwrap();
        assert!(last.0.is_infinite(), "{name} ends with +Inf");
        let count = if labels.is_empty() { format!("{name}_count") } else { format!("{name}_count{{{labels}}}") };
        assert_eq!(values[&count], last.1, "{count}");
    }
}

fn metrics_are_valid_text(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = Gateway::before(&upstream, io);
    let before = check_metrics(&gateway.get("/metrics").text());
    // Whatever a client writes, no label comes from it.
    for path in ["/v1/chat/completions", "/x\"y{}\\", "/api/chat", "/%22"] {
        gateway
            .exchange(format!("POST {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 16\r\n\r\n{{\"model\":\"a\\\"b\"}}"));
    }
    gateway.exchange("BREW / HTTP/1.1\r\nHost: g\r\n\r\n");
    let after = check_metrics(&gateway.get("/metrics").text());
    for (series, value) in &before {
        if series.split('{').next().unwrap().ends_with("_total") {
            assert!(after.get(series).is_some_and(|now| now >= value), "{series} went back");
        }
    }
    assert!(!after.keys().any(|series| series.contains("BREW") || series.contains("%22")));
    for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"] {
        assert!(
            after.keys().any(|series| series.starts_with(name) || series.starts_with(&format!("thinkgate_{name}"))),
            "{name}"
        );
    }
}

fn metrics_count_what_happened(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send(stream_head("text/event-stream"));
        for text in ["<think>", "hm", "</think>", "hello"] {
            conn.send(chunk(chat_event(text)));
        }
        conn.send(chunk("data: [DONE]\n\n"));
        conn.send(LAST_CHUNK);
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    for _ in 0..5 {
        gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#);
    }
    assert_eq!(gateway.metric("thinkgate_upstream_attempts_total", &[]), 5.0);
    assert_eq!(gateway.metric("thinkgate_upstream_connects_total", &[]), 1.0);
    assert_eq!(gateway.metric("thinkgate_upstream_reused_total", &[]), 4.0);
    assert_eq!(gateway.metric("thinkgate_think_answers_total", &[]), 5.0);
    assert!(gateway.metric("thinkgate_think_removed_bytes_total", &[]) >= 5.0 * 2.0);
    assert_eq!(gateway.metric("thinkgate_requests_total", &["\"chat\"", "openai", "200"]), 5.0);
    // A gauge that is set now and then.
    eventually("the kept connection shows", || gateway.metric("thinkgate_upstream_connections_idle", &[]) == 1.0);
}

fn probes_are_answered_while_the_upstream_is_down(io: Io) {
    let gateway = Gateway::build(io).upstream("http://127.0.0.1:1").start();
    for path in ["/health", "/livez", "/readyz", "/"] {
        assert_eq!(gateway.get(path).status, 200, "{path}: probes never ask the model server");
    }
}
