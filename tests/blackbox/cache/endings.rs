//! What happens at and after the end of an answer: who still gets it, in which shape, and what is said of it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::json;

use crate::both_drivers;
use crate::support::{After, Client, Io, Upstream, chunk, eventually, json_reply, post, stream_head};

use super::{
    CHAT, OLLAMA, begin, cached, event, lookups, question, stream_end, told, wait_until_quiet, wait_until_stored,
    whole_stream,
};

both_drivers![
    what_is_not_kept_is_for_those_who_were_there,
    what_is_kept_is_there_at_once,
    a_length_does_not_survive_what_is_taken_out,
    compressed_streams_are_not_held_back,
    an_error_among_the_counts_is_passed_on,
    who_stops_reading_is_no_fault_of_the_upstream,
    calls_before_a_limit_reach_every_form,
    a_forced_call_ends_as_it_did,
    statuses_without_a_body_have_none,
    only_calls_of_the_upstream_are_timed,
    too_large_is_the_reason,
    all_logs_together_are_bounded,
    large_hits_have_a_date,
];

/// Each answer must be asked for: `before` what a first client gets, `after` what the next one would.
fn what_is_not_kept_is_for_those_who_were_there(io: Io) {
    let text = || event(&json!({"content": "half"}), None);
    let chunked = |body: String| {
        let mut bytes = stream_head("text/event-stream");
        bytes.extend(chunk(body));
        bytes.extend(b"0\r\n\r\n");
        bytes
    };
    let call = json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]});
    let done = "data: [DONE]\n\n";
    let endings = [
        ("length", chunked(text() + &event(&json!({}), Some("length")) + done)),
        ("error", chunked(text() + "data: {\"error\":{\"message\":\"broken\"}}\n\n")),
        ("call", chunked(event(&call, None) + &event(&json!({}), Some("tool_calls")) + done)),
        ("json", json_reply(200, "{\"error\":{\"message\":\"broken\"}}")),
        (
            "no-store",
            String::from_utf8(whole_stream("x")).unwrap().replacen("\r\n", "\r\nCache-Control: no-store\r\n", 1).into(),
        ),
        ("cut", format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{}", text()).into_bytes()),
    ];
    for (name, bytes) in endings {
        let closes = name == "cut";
        let upstream = Upstream::start(move |conn, _| {
            conn.send(&bytes);
            if closes { After::Close } else { After::Keep }
        });
        let gateway = cached(io, &upstream).workers(1).start();
        for number in 1..=10 {
            gateway.post(CHAT, &question("q", true));
            assert_eq!(upstream.requests().len(), number, "{name}: the next one asks for itself");
        }
        wait_until_quiet(&gateway);
    }
}

fn what_is_kept_is_there_at_once(io: Io) {
    let upstream = Upstream::answering(whole_stream("fine"));
    let gateway = cached(io, &upstream).start();
    for number in 1..=30 {
        let body = question(&format!("q{number}"), true);
        let first = gateway.post(CHAT, &body);
        // Whether it may be kept is being decided in this moment.
        let second = gateway.post(CHAT, &body);
        assert_eq!(told(&second), told(&first));
        assert!(second.field("age").is_some(), "{:?}", second.field("cache-status"));
        assert_eq!(upstream.requests().len(), number);
    }
    assert_eq!(lookups(&gateway, "miss"), 30.0);
}

/// A stream with the counts, its length announced.
fn with_length(head: &str) -> Upstream {
    let counts =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n";
    let body =
        event(&json!({"content": "hello"}), None) + &event(&json!({}), Some("stop")) + counts + "data: [DONE]\n\n";
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{head}Content-Length: {}\r\n\r\n", body.len());
    Upstream::answering(head + &body)
}

fn a_length_does_not_survive_what_is_taken_out(io: Io) {
    let upstream = with_length("");
    let gateway = cached(io, &upstream).start();
    for (think, version) in [("keep", "1.1"), ("strip", "1.1"), ("keep", "1.0")] {
        let mut client = gateway.connect();
        let body = question(&format!("{think} {version}"), true);
        let keep = if version == "1.0" { "Connection: keep-alive\r\n" } else { "" };
        client.send(post(CHAT, &format!("X-Think: {think}\r\n{keep}"), &body).replacen(
            "HTTP/1.1",
            &format!("HTTP/{version}"),
            1,
        ));
        let reply = client.reply();
        assert!(told(&reply).ended && told(&reply).text == "hello", "{think}: {}", reply.text());
        assert!(!reply.text().contains("usage"), "{}", reply.text());
        if version == "1.1" {
            client.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
            assert!(client.reply().text().contains("healthy"), "the next answer is its own");
        }
    }
}

fn compressed_streams_are_not_held_back(io: Io) {
    let gate = super::joins::Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
        conn.send(chunk([0x1f, 0x8b, 8, 1, 2, 3]));
        open.wait(1);
        conn.send(chunk([4, 5]));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    let mut client = begin(&gateway, CHAT, &question("q", true));
    assert_eq!(client.head().field("content-encoding"), Some("gzip"));
    assert_eq!(client.chunk().as_deref(), Some(&[0x1f, 0x8b, 8, 1, 2, 3][..]), "as it comes");
    gate.open(1);
    assert_eq!(client.chunk().as_deref(), Some(&[4, 5][..]));
    assert_eq!(client.chunk(), None);
}

fn an_error_among_the_counts_is_passed_on(io: Io) {
    let last =
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1},\"error\":{\"message\":\"the backend died\"}}\n\n";
    let mut bytes = stream_head("text/event-stream");
    bytes.extend(chunk(event(&json!({"content": "hello"}), None) + last));
    bytes.extend(b"0\r\n\r\n");
    let upstream = Upstream::answering(bytes);
    let gateway = cached(io, &upstream).start();
    let reply = gateway.post(CHAT, &question("q", true));
    assert!(reply.text().contains("the backend died"), "{}", reply.text());
}

fn who_stops_reading_is_no_fault_of_the_upstream(io: Io) {
    let piece = chunk(event(&json!({"content": "x".repeat(50_000)}), None));
    let upstream = Upstream::start(move |conn, request| {
        let pieces = if String::from_utf8_lossy(&request.body).contains("long") { 400 } else { 18 };
        conn.send(stream_head("text/event-stream"));
        if !(0..pieces).all(|_| conn.send(&piece)) {
            return After::Close;
        }
        conn.send(chunk(stream_end()));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &upstream).args(["--idle-timeout", "1s"]).start();
    gateway.post(CHAT, &question("short", true));
    wait_until_stored(&gateway, 1);
    // More than the sockets between here and there take: a long answer as it comes, and a kept one many times.
    for (number, (text, times)) in [("long", 1), ("short", 20)].into_iter().enumerate() {
        let mut client = Client::connect_with_small_window(gateway.addr);
        client.send(post(CHAT, "", &question(text, true)).repeat(times));
        eventually("the client is blamed", || {
            gateway.metric("thinkgate_errors_total", &["client_stalled"]) == (number + 1) as f64
        });
    }
    assert_eq!(gateway.metric("thinkgate_errors_total", &["idle_timeout"]), 0.0);
    assert!(!gateway.log().contains("idle_timeout"), "{}", gateway.log());
}

fn calls_before_a_limit_reach_every_form(io: Io) {
    let gate = super::joins::Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        let call =
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\":1}"}}]});
        conn.send(chunk(event(&call, None)));
        open.wait(1);
        let counts =
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n";
        conn.send(chunk(event(&json!({}), Some("length")) + counts + "data: [DONE]\n\n"));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    let mut clients = Vec::new();
    for (path, stream) in [(CHAT, true), (CHAT, false), (OLLAMA, true), (OLLAMA, false)] {
        clients.push(begin(&gateway, path, &question("q", stream)));
        upstream.wait_for_requests(1);
    }
    eventually("all have joined", || lookups(&gateway, "joined") == 3.0);
    gate.open(1);
    for client in &mut clients {
        let told = told(&client.reply());
        assert_eq!(told.calls, [("f".to_owned(), json!({"x": 1}))]);
        assert_eq!(told.finish.as_deref(), Some("length"));
    }
}

/// OpenAI ends an answer whose call was demanded with `stop`.
fn a_forced_call_ends_as_it_did(io: Io) {
    let body = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0,
        "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
    let upstream = Upstream::answering(json_reply(200, &body.to_string()));
    let gateway = cached(io, &upstream).arg("--cache-tool-calls").start();
    let first = gateway.post(CHAT, &question("q", false));
    let second = gateway.post(CHAT, &question("q", false));
    assert_eq!(told(&second), told(&first));
    assert_eq!((told(&second).finish.as_deref(), upstream.requests().len()), (Some("stop"), 1));
}

fn statuses_without_a_body_have_none(io: Io) {
    for status in [204, 205, 304] {
        let gate = super::joins::Gate::default();
        let open = gate.clone();
        let upstream = Upstream::start(move |conn, _| {
            open.wait(1);
            let length = if status == 205 { "Content-Length: 0\r\n" } else { "" };
            conn.send(format!("HTTP/1.1 {status} X\r\n{length}\r\n"));
            After::Keep
        });
        let gateway = cached(io, &upstream).workers(1).start();
        let leader = begin(&gateway, CHAT, &question("q", false));
        upstream.wait_for_requests(1);
        let mut joiner = begin(&gateway, OLLAMA, &question("q", false));
        joiner.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
        eventually("it has joined", || lookups(&gateway, "joined") == 1.0);
        gate.open(1);
        // The bytes behind the head belong to the next answer.
        let head = joiner.head();
        assert_eq!(head.status, status);
        assert!(
            matches!(head.field("content-length"), None | Some("0")),
            "{status}: {:?}",
            head.field("content-length")
        );
        assert!(joiner.reply().text().contains("healthy"), "{status}");
        drop(leader);
    }
}

fn only_calls_of_the_upstream_are_timed(io: Io) {
    let (upstream, gate) = super::joins::gated(1, 10);
    let gateway = cached(io, &upstream).start();
    let mut clients = super::joins::crowd(&gateway, 5, true);
    gate.open(1);
    clients.iter_mut().for_each(|client| drop(client.reply()));
    wait_until_quiet(&gateway);
    assert_eq!(gateway.metric("thinkgate_upstream_first_byte_seconds_count", &[]), 1.0);
}

fn too_large_is_the_reason(io: Io) {
    let piece = chunk(event(&json!({"content": "x".repeat(60_000)}), None));
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        for _ in 0..160 {
            conn.send(&piece);
        }
        conn.send(chunk(stream_end()));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    gateway.post(CHAT, &question("q", true));
    let unkept = |why: &str| gateway.metric("thinkgate_cache_not_stored_total", &[why]);
    eventually("it is counted", || unkept("too_large") == 1.0);
    assert_eq!(unkept("unfinished"), 0.0);
}

fn all_logs_together_are_bounded(io: Io) {
    // Each may be kept, all of them together are more than a core remembers.
    const COUNT: usize = 36;
    let piece = chunk(event(&json!({"content": "x".repeat(60_000)}), None));
    let gate = super::joins::Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        for _ in 0..130 {
            conn.send(&piece);
        }
        conn.send(chunk(event(&json!({"content": "so far"}), None)));
        open.wait(1);
        conn.send(chunk(stream_end()));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &upstream).workers(1).start();
    let before = gateway.resident_bytes();
    let come = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..COUNT {
            let (gateway, come) = (&gateway, &come);
            scope.spawn(move || {
                let mut client = begin(gateway, CHAT, &question(&format!("q{number}"), true));
                assert_eq!(client.head().status, 200);
                let is_last =
                    |chunk: Vec<u8>| chunk[chunk.len().saturating_sub(300)..].windows(6).any(|text| text == b"so far");
                while !is_last(client.chunk().expect("more")) {}
                come.fetch_add(1, Relaxed);
                while client.chunk().is_some() {}
            });
        }
        eventually("all have come so far", || come.load(Relaxed) == COUNT);
        // 270 MiB have passed.
        let grown = gateway.resident_bytes().saturating_sub(before);
        gate.open(1);
        assert!((100 << 20..190 << 20).contains(&grown), "{} MiB", grown >> 20);
    });
}

fn large_hits_have_a_date(io: Io) {
    let upstream = Upstream::answering(whole_stream(&"x".repeat(200_000)));
    let gateway = cached(io, &upstream).start();
    gateway.post(CHAT, &question("q", true));
    let hit = gateway.post(CHAT, &question("q", true));
    assert!(
        hit.field("age").is_some() && hit.field("date").is_some_and(|date| date.ends_with("GMT")),
        "{:?}",
        hit.field("date")
    );
}
