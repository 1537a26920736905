//! A line for each request that was answered, whatever became of it.

use serde_json::Value;

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Upstream, eventually, json_reply, post};

both_drivers![answers_have_a_line, failures_are_named, what_cannot_be_read_has_a_line_too, nothing_is_written_unasked];

fn logging(io: Io, upstream: &Upstream) -> Gateway {
    Gateway::build(io).upstream(&upstream.url()).args(["--access-log", "-"]).start()
}

/// The line of the first request that has `needle` in it.
#[track_caller]
fn line(gateway: &Gateway, needle: &str) -> Value {
    let line = gateway.wait_for_log(needle);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn answers_have_a_line(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = logging(io, &upstream);
    let fields = "X-Request-Id: one-two\r\n";
    gateway.post_with("/v1/chat/completions?key=secret", fields, r#"{"model":"m \"quoted\""}"#);
    let line = line(&gateway, "one-two");
    for (name, value) in [
        ("id", "one-two".into()),
        ("client", "127.0.0.1".into()),
        ("request", "POST /v1/chat/completions".into()),
        ("model", "m \"quoted\"".into()),
        ("endpoint", "chat".into()),
        ("status", 200.into()),
        ("outcome", "complete".into()),
        ("error", Value::Null),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    assert!(line["time"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{line}");
    assert!(line["ms"].is_number() && line["first_byte_ms"].is_number(), "{line}");
    assert!(line["received"].as_u64() > Some(50) && line["sent"].as_u64() > Some(50), "{line}");
    assert!(!gateway.log().contains("secret"));
}

fn failures_are_named(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        match request.target() {
            "/invalid" => drop(conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx")),
            "/cut" => drop(conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")),
            _ => {}
        }
        After::Close
    });
    let gateway = logging(io, &upstream);
    for (path, status, outcome, error) in [
        ("/invalid", 502, "error", "upstream_invalid"),
        ("/silent", 502, "error", "upstream_closed"),
        ("/cut", 200, "cut", "upstream_cut"),
    ] {
        let mut client = gateway.connect();
        client.send(post(path, "Connection: close\r\n", "{}"));
        client.drain();
        let line = line(&gateway, &format!("POST {path}\""));
        assert_eq!(
            (&line["status"], &line["outcome"], &line["error"]),
            (&status.into(), &outcome.into(), &error.into()),
            "{line}"
        );
    }
    // The rule that the upstream broke, beside it.
    gateway.wait_for_log("upstream_invalid: Content-Length stands twice.");
}

fn what_cannot_be_read_has_a_line_too(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = logging(io, &upstream);
    for (bytes, shown, status, error, rule) in [
        (
            &b"POST /a?key=secret HTTP/1.1\r\nHost: g\r\nHost: g\r\n\r\n"[..],
            "POST /a",
            400,
            "bad_request",
            "Host stands twice.",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", 505, "version_not_supported", ""),
        (b"\x16\x03\x01\x02\x00\x01\x00secret", "", 400, "bad_request", "It looks like TLS"),
    ] {
        let mut client = gateway.connect();
        client.send(bytes);
        client.drain();
        let mut line = Value::Null;
        eventually("its line is written", || {
            let log = gateway.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found =
                lines.find(|line| line["error"] == error && line["request"] == shown && line["status"] == status);
            found.inspect(|found| line.clone_from(found)).is_some()
        });
        assert!(line["rule"].as_str().unwrap_or_default().starts_with(rule), "{line}");
        assert_eq!(line["client"], "127.0.0.1");
    }
    assert!(!gateway.log().contains("secret"), "queries may hold secrets, and so may what is no head at all");
}

fn nothing_is_written_unasked(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = Gateway::before(&upstream, io);
    gateway.post("/v1/chat/completions", "{}");
    gateway.exchange("GET / HTTP/1.1\r\n\r\n");
    gateway.get("/health");
    std::thread::sleep(std::time::Duration::from_millis(150));
    assert!(!gateway.log().contains("\"status\""), "{}", gateway.log());
}
