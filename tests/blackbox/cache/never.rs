//! What is never kept: each of these is asked again.

use serde_json::{Value, json};

use crate::both_drivers;
use crate::support::{After, Client, Gateway, Io, Upstream, chunk, json_reply, stream_head};

use super::{CHAT, begin, cached, event, question, stored, stream_end, wait_until_quiet, whole_json};

both_drivers![
    errors_and_halves_are_never_kept,
    requests_that_cannot_be_understood_pass,
    answers_with_more_than_an_entry_holds,
    wishes_that_are_no_switches_pass,
    many_choices_are_never_kept,
    calls_are_kept_only_where_that_is_wanted,
    what_is_too_large_streams_through,
];

fn stream(events: &[String]) -> Vec<u8> {
    let mut bytes = stream_head("text/event-stream");
    events.iter().for_each(|event| bytes.extend(chunk(event)));
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn plain(content: &Value, finish: &str) -> Vec<u8> {
    let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": content},
        "finish_reason": finish}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    json_reply(200, &body.to_string())
}

/// Asks the same twice of an upstream that answers `reply` and then closes or not; both questions must reach it.
fn asked_twice(io: Io, what: &str, reply: Vec<u8>, close: bool) {
    let upstream = Upstream::start(move |conn, _| {
        conn.send(&reply);
        if close { After::Close } else { After::Keep }
    });
    let gateway = cached(io, &upstream).arg("--cache-tool-calls").start();
    for round in 1..=2 {
        let mut client = begin(&gateway, CHAT, &question("q", what.contains("stream")));
        let _ = client.try_reply("POST");
        wait_until_quiet(&gateway);
        assert_eq!(upstream.requests().len(), round, "{what}");
    }
    assert_eq!(stored(&gateway), 0.0, "{what}");
}

fn errors_and_halves_are_never_kept(io: Io) {
    let text = || event(&json!({"content": "hello"}), None);
    let error = r#"{"error":{"message":"no"}}"#;
    for status in [201, 204, 301, 400, 401, 404, 429, 500, 503] {
        let reply = if status == 204 { b"HTTP/1.1 204 No Content\r\n\r\n".to_vec() } else { json_reply(status, error) };
        asked_twice(io, &format!("{status}"), reply, false);
    }
    asked_twice(io, "200 with an error inside", json_reply(200, error), false);
    asked_twice(io, "200 that is no JSON", json_reply(200, "<html>"), false);
    asked_twice(io, "length", plain(&json!("half"), "length"), false);
    asked_twice(io, "filter", plain(&json!("half"), "content_filter"), false);
    asked_twice(io, "nothing", plain(&json!(""), "stop"), false);
    asked_twice(
        io,
        "cut",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{".to_vec(),
        true,
    );
    asked_twice(
        io,
        "length of a stream",
        stream(&[text(), event(&json!({}), Some("length")), "data: [DONE]\n\n".into()]),
        false,
    );
    asked_twice(io, "a stream without its reason", stream(&[text(), "data: [DONE]\n\n".into()]), false);
    asked_twice(io, "an error in a stream", stream(&[text(), format!("data: {error}\n\n"), stream_end()]), false);
    asked_twice(
        io,
        "an error event in a stream",
        stream(&[text(), "event: error\ndata: {}\n\n".into(), stream_end()]),
        false,
    );
    let mut cut = stream_head("text/event-stream");
    cut.extend(chunk(text()));
    asked_twice(io, "a cut stream", cut.clone(), true);
    cut.extend(chunk(event(&json!({}), Some("stop"))));
    asked_twice(io, "a stream cut after its reason", cut, true);
    let close = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{}", text());
    asked_twice(io, "a stream that ends with its connection and without mark", close.into_bytes(), true);
}

fn requests_that_cannot_be_understood_pass(io: Io) {
    let upstream = Upstream::answering(whole_json("x"));
    let gateway = cached(io, &upstream).start();
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let bodies = [
        "",
        "x",
        "{",
        "[]",
        "null",
        "{}",
        "\u{0}",
        r#"{"model":"m"}"#,
        r#"{"model":"m","messages":[]}"#,
        r#"{"model":"m","model":"m","messages":[{"role":"user","content":"q"}]}"#,
        // Decoders disagree about which text is asked about.
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"q","text":"another"}]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,a","url":"data:,b"}}]}]}"#,
        r#"{"messages":[{"role":"user","content":"q"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"q"}]} trailing"#,
        r#"{"model":"m","seed":99999999999999999999999,"messages":[{"role":"user","content":"q"}]}"#,
        &deep,
    ];
    for (at, body) in bodies.iter().enumerate() {
        for round in 1..=2 {
            let reply = gateway.post(CHAT, body);
            assert_eq!((reply.status, reply.field("age")), (200, None), "{body:.80}");
            assert_eq!(upstream.requests().len(), at * 2 + round, "{body:.80}");
            assert_eq!(upstream.requests().last().unwrap().body, body.as_bytes());
        }
    }
    assert_eq!(stored(&gateway), 0.0);
}

/// What an entry has no place for, and a client may have asked for.
fn answers_with_more_than_an_entry_holds(io: Io) {
    let text = json!({"role": "assistant", "content": "x"});
    let choice = |more: Value| {
        let mut choice = json!({"index": 0, "message": text.clone(), "finish_reason": "stop"});
        more.as_object().into_iter().flatten().for_each(|(key, value)| choice[key] = value.clone());
        choice
    };
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "abc"}}});
    for (what, body) in [
        ("citations", json!({"citations": ["https://example.org"], "choices": [choice(json!({}))]})),
        ("search results", json!({"search_results": [{"title": "t"}], "choices": [choice(json!({}))]})),
        ("logprobs", json!({"choices": [choice(json!({"logprobs": {"content": [{"token": "x"}]}}))]})),
        ("token ids", json!({"choices": [choice(json!({"token_ids": [1]}))]})),
        (
            "two choices",
            json!({"choices": [{"message": text, "finish_reason": "stop"}, {"message": text, "finish_reason": "stop"}]}),
        ),
        (
            "a signed call",
            json!({"choices": [choice(json!({"finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": [call]}}))]}),
        ),
    ] {
        asked_twice(io, what, json_reply(200, &body.to_string()), false);
    }
    // What is named and empty is nothing.
    let body = json!({"citations": null, "images": [], "prompt_logprobs": null, "choices": [choice(json!({"logprobs": null,
        "token_ids": null, "message": {"role": "assistant", "content": "x", "annotations": [], "refusal": null}}))]});
    let upstream = Upstream::answering(json_reply(200, &body.to_string()));
    let gateway = cached(io, &upstream).start();
    for _ in 0..2 {
        gateway.post(CHAT, &question("q", false));
        wait_until_quiet(&gateway);
    }
    assert_eq!(upstream.requests().len(), 1);
}

/// A wish that servers read differently is neither shared nor kept.
fn wishes_that_are_no_switches_pass(io: Io) {
    let upstream = Upstream::answering(whole_json("x"));
    let gateway = cached(io, &upstream).start();
    for (at, rest) in
        [r#","stream":1"#, r#","stream":"true""#, r#","stream_options":{"include_usage":1}"#].iter().enumerate()
    {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"q"}}]{rest}}}"#);
        for round in 1..=2 {
            gateway.post(CHAT, &body);
            assert_eq!(upstream.requests().len(), at * 2 + round, "{rest}");
        }
    }
    assert_eq!(stored(&gateway), 0.0);
}

fn many_choices_are_never_kept(io: Io) {
    let upstream = Upstream::answering(whole_json("x"));
    let gateway = cached(io, &upstream).start();
    for rest in [r#","n":2"#, r#","logprobs":true"#, r#","store":true"#] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"q"}}]{rest}}}"#);
        for _ in 0..2 {
            assert_eq!(super::cache_status(&gateway.post(CHAT, &body)), "thinkgate; fwd=bypass", "{rest}");
        }
    }
    assert_eq!((upstream.requests().len(), stored(&gateway)), (6, 0.0));
}

fn calls_are_kept_only_where_that_is_wanted(io: Io) {
    let call = json!([{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": call},
        "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    let upstream = Upstream::answering(json_reply(200, &body.to_string()));
    for (switch, calls) in [(false, 2), (true, 1)] {
        let before = upstream.requests().len();
        let build = cached(io, &upstream);
        let gateway: Gateway = if switch { build.arg("--cache-tool-calls").start() } else { build.start() };
        for _ in 0..2 {
            assert_eq!(super::told(&gateway.post(CHAT, &question("q", false))).calls[0].0, "f");
            wait_until_quiet(&gateway);
        }
        assert_eq!(upstream.requests().len() - before, calls);
    }
}

fn what_is_too_large_streams_through(io: Io) {
    // Beyond what a flight's log holds, in both forms.
    const PIECE: usize = 256 * 1024;
    const PIECES: usize = 48;
    let upstream = Upstream::start(|conn, request| {
        let piece = "x".repeat(PIECE);
        if String::from_utf8_lossy(&request.body).contains("\"stream\":true") {
            conn.send(stream_head("text/event-stream"));
            let one = chunk(event(&json!({"content": piece}), None));
            assert!((0..PIECES).all(|_| conn.send(&one)));
            conn.send(chunk(stream_end()));
            conn.send(b"0\r\n\r\n");
        } else {
            conn.send(whole_json(&piece.repeat(PIECES)));
        }
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    for (round, stream) in [true, false, true, false].into_iter().enumerate() {
        let mut client: Client = begin(&gateway, CHAT, &question("q", stream));
        let told = super::told(&client.reply());
        assert_eq!((told.text.len(), told.ended), (PIECE * PIECES, true), "stream {stream}");
        wait_until_quiet(&gateway);
        assert_eq!(upstream.requests().len(), round + 1, "nothing of it was kept");
    }
    assert_eq!(stored(&gateway), 0.0);
    assert!(gateway.resident_bytes() < 256 << 20, "{} bytes", gateway.resident_bytes());
}
