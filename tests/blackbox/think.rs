//! The think filter as its users meet it: who chooses the policy, signs of life, limits. The corpus has the rest.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::both_drivers;
use crate::support::deltas::{self, Kind, joined};
use crate::support::{After, Gateway, Io, LAST_CHUNK, Upstream, chat_event, chunk, json_reply, post, stream_head};

both_drivers![
    thinking_is_stripped_unless_told_otherwise,
    options_choose_the_policy,
    the_header_chooses_for_one_request,
    the_header_can_be_switched_off,
    models_have_their_own_rules,
    ollama_streams_unless_told_otherwise,
    a_whole_body_gets_its_new_length,
    wrong_paths_are_filtered_too,
    a_prefilled_assistant_turn_starts_outside,
    echoed_prompts_are_not_searched,
    silence_is_broken_by_comments,
    silence_after_an_id_is_broken_by_one_line,
    silence_on_ollama_paths_is_broken_by_whole_objects,
    heartbeats_do_not_hold_off_the_idle_limit,
    nothing_is_held_back_once_the_answer_has_begun,
    an_unfinished_thought_never_leaks,
    a_huge_event_passes,
    a_huge_body_passes_unfiltered_and_counted,
    other_paths_are_left_alone,
];

const THOUGHT: &str = "<think>\nsecret thought\n</think>\n\nthe answer";

/// A stream of `pieces` on OpenAI paths, of lines on Ollama's; a whole body where no stream is asked for.
fn model(pieces: &'static [&'static str]) -> Upstream {
    Upstream::start(move |conn, request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let ollama = request.target().starts_with("/api");
        let text = pieces.concat();
        if asked["stream"].as_bool().unwrap_or(ollama) {
            conn.send(stream_head(if ollama { "application/x-ndjson" } else { "text/event-stream" }));
            for piece in pieces {
                conn.send(chunk(if ollama { ollama_line(piece) } else { chat_event(piece) }));
            }
            conn.send(LAST_CHUNK);
        } else if ollama {
            let whole = json!({"model": "m", "message": {"role": "assistant", "content": text}, "done": true});
            conn.send(json_reply(200, &whole.to_string()));
        } else {
            let whole = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]});
            conn.send(json_reply(200, &whole.to_string()));
        }
        After::Keep
    })
}

fn ollama_line(text: &str) -> String {
    format!("{}\n", json!({"model": "m", "message": {"role": "assistant", "content": text}, "done": false}))
}

/// Visible text and reasoning of the first choice.
fn read(body: &[u8], format: &str) -> (String, String) {
    let read = deltas::read(body, format);
    let of = |kind| joined(&read, kind).remove("0").unwrap_or_default();
    (of(Kind::Content), of(Kind::Reasoning))
}

fn ask(gateway: &Gateway, fields: &str) -> (String, String) {
    let reply = gateway.post_with("/v1/chat/completions", fields, r#"{"model":"m","stream":true}"#);
    read(&reply.body, "openai_sse")
}

fn both(visible: &str, reasoning: &str) -> (String, String) {
    (visible.to_owned(), reasoning.to_owned())
}

fn thinking_is_stripped_unless_told_otherwise(io: Io) {
    let upstream = model(&[THOUGHT]);
    let gateway = Gateway::before(&upstream, io);
    assert_eq!(ask(&gateway, ""), both("the answer", ""));
}

fn options_choose_the_policy(io: Io) {
    let upstream = model(&[THOUGHT]);
    for (args, wanted) in [
        (&["--disable-think-filter"][..], both(THOUGHT, "")),
        (&["--think-policy", "keep"], both(THOUGHT, "")),
        (&["--think-policy", "strip"], both("the answer", "")),
        (&["--think-policy", "separate"], both("the answer", "secret thought\n")),
    ] {
        let builder = args.iter().fold(Gateway::build(io).upstream(&upstream.url()), |builder, arg| builder.arg(*arg));
        assert_eq!(ask(&builder.start(), ""), wanted, "{args:?}");
    }
}

fn the_header_chooses_for_one_request(io: Io) {
    let upstream = model(&[THOUGHT]);
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(["--think-policy", "separate"]).start();
    assert_eq!(ask(&gateway, "X-Think: strip\r\n"), both("the answer", ""));
    assert_eq!(ask(&gateway, "x-think: KEEP\r\n"), both(THOUGHT, ""), "in any case");
    assert_eq!(ask(&gateway, ""), both("the answer", "secret thought\n"), "the next one is as configured");
}

fn the_header_can_be_switched_off(io: Io) {
    let upstream = model(&[THOUGHT]);
    let yaml = format!("upstream: {{url: '{}'}}\nthink: {{header: false}}\n", upstream.url());
    let gateway = Gateway::build(io).config(yaml).start();
    assert_eq!(ask(&gateway, "X-Think: keep\r\n"), both("the answer", ""));
}

fn models_have_their_own_rules(io: Io) {
    let upstream = model(&["[[mine]]secret[[/mine]]", "<think>x</think>", "text"]);
    let yaml = format!(
        "upstream: {{url: '{}'}}\nthink:\n  profiles:\n    mine: {{pairs: [['[[mine]]', '[[/mine]]']]}}\n  models:\n    \
         - {{match: 'brackets*', profile: mine}}\n    - {{match: 'open-*', profile: think, policy: keep}}\n",
        upstream.url()
    );
    let gateway = Gateway::build(io).config(yaml).start();
    let of = |model: &str| {
        let body = json!({"model": model, "stream": true}).to_string();
        read(&gateway.post("/v1/chat/completions", &body).body, "openai_sse").0
    };
    assert_eq!(of("brackets-7b"), "<think>x</think>text");
    assert_eq!(of("open-1"), "[[mine]]secret[[/mine]]<think>x</think>text");
}

fn ollama_streams_unless_told_otherwise(io: Io) {
    let upstream = model(&["<think>se", "cret</th", "ink>the ", "answer"]);
    let gateway = Gateway::before(&upstream, io);
    let streamed = gateway.post("/api/chat", r#"{"model":"m"}"#);
    assert_eq!(read(&streamed.body, "ollama_chat"), both("the answer", ""));
    let whole = gateway.post("/api/chat", r#"{"model":"m","stream":false}"#);
    assert_eq!(read(&whole.body, "ollama_chat_json"), both("the answer", ""));
}

fn a_whole_body_gets_its_new_length(io: Io) {
    let upstream = model(&[THOUGHT]);
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send(post("/v1/chat/completions", "", r#"{"model":"m"}"#));
        let reply = client.reply(); // the reader is strict about lengths
        assert_eq!(reply.json()["choices"][0]["message"]["content"], "the answer");
    }
}

fn wrong_paths_are_filtered_too(io: Io) {
    let upstream = model(&[THOUGHT]);
    let gateway = Gateway::before(&upstream, io);
    for path in [
        "/chat/completions",
        "/v1/v1/chat/completions",
        "//v1/chat/completions/",
        "/v1/chat/completions/chat/completions",
    ] {
        let reply = gateway.post(path, r#"{"model":"m","stream":true}"#);
        assert_eq!(read(&reply.body, "openai_sse"), both("the answer", ""), "{path}");
    }
}

fn a_prefilled_assistant_turn_starts_outside(io: Io) {
    let upstream = model(&["rest of the ", "answer"]);
    let yaml = format!(
        "upstream: {{url: '{}'}}\nthink:\n  profiles:\n    inside: {{pairs: [['<think>', '</think>']], start: inside}}\n  models:\n    \
         - {{match: '*', profile: inside}}\n",
        upstream.url()
    );
    let gateway = Gateway::build(io).config(yaml).start();
    let of = |last: &str| {
        let messages = json!([{"role": "user", "content": "hi"}, {"role": last, "content": "The begin"}]);
        let body = json!({"model": "m", "stream": true, "messages": messages}).to_string();
        read(&gateway.post("/v1/chat/completions", &body).body, "openai_sse").0
    };
    assert_eq!(of("assistant"), "rest of the answer", "the model continues its answer");
    assert_eq!(of("user"), "", "the model begins with a thought, and never ends it");
}

fn echoed_prompts_are_not_searched(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        let whole = json!({"choices": [{"index": 0, "text": "<think>my prompt</think> and the rest", "finish_reason": "stop"}]});
        conn.send(json_reply(200, &whole.to_string()));
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let of = |echo: bool| {
        let body = json!({"model": "m", "prompt": "<think>my prompt</think>", "echo": echo}).to_string();
        read(&gateway.post("/v1/completions", &body).body, "openai_completions_json").0
    };
    assert_eq!(of(true), "<think>my prompt</think> and the rest");
    assert_eq!(of(false), "and the rest");
}

/// Thinks in silence for a while, then answers. `first` comes before it.
fn brooding(kind: &'static str, first: String, last: String) -> Upstream {
    Upstream::start(move |conn, _| {
        conn.send(stream_head(kind));
        conn.send(chunk(&first));
        std::thread::sleep(Duration::from_millis(3500));
        conn.send(chunk(&last));
        conn.send(LAST_CHUNK);
        After::Keep
    })
}

fn with_heartbeat(io: Io, upstream: &Upstream) -> Gateway {
    Gateway::build(io).upstream(&upstream.url()).args(["--heartbeat", "1s"]).start()
}

fn silence_is_broken_by_comments(io: Io) {
    let upstream =
        brooding("text/event-stream", chat_event("<think>hm"), chat_event("</think>the answer") + "data: [DONE]\n\n");
    let gateway = with_heartbeat(io, &upstream);
    let started = Instant::now();
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", r#"{"model":"m","stream":true}"#));
    assert_eq!(client.head().status, 200, "the head does not wait for the answer");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let mut body = client.chunk().unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "the first sign of life after {:?}", started.elapsed());
    assert!(body.starts_with(b": ") && body.ends_with(b"\n\n"), "{:?}", String::from_utf8_lossy(&body));
    while let Some(chunk) = client.chunk() {
        body.extend(chunk);
    }
    assert_eq!(read(&body, "openai_sse"), both("the answer", ""));
    let comments = String::from_utf8_lossy(&body).lines().filter(|line| line.starts_with(':')).count();
    assert!((2..=4).contains(&comments), "{comments} in 3.5 s");
    // Nobody needs a sign of life in a stream that is not filtered.
    let kept = gateway.post_with("/v1/chat/completions", "X-Think: keep\r\n", r#"{"model":"m","stream":true}"#);
    assert!(!kept.text().lines().any(|line| line.starts_with(':')));
}

fn silence_after_an_id_is_broken_by_one_line(io: Io) {
    // openai-python takes a blank line after an `id:` for an event without data, and fails.
    let first = format!("id: 7\n{}{}", chat_event(""), chat_event("<think>hm"));
    let upstream = brooding("text/event-stream", first, chat_event("</think>the answer"));
    let gateway = with_heartbeat(io, &upstream);
    let text = gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#).text();
    assert!(text.contains("\n: ") || text.starts_with(": "), "there are comments: {text}");
    for (comment, next) in text.lines().zip(text.lines().skip(1)).filter(|(line, _)| line.starts_with(':')) {
        assert!(!next.is_empty(), "a blank line after {comment:?}: {text}");
    }
    assert_eq!(read(text.as_bytes(), "openai_sse"), both("the answer", ""));
}

fn silence_on_ollama_paths_is_broken_by_whole_objects(io: Io) {
    let upstream = brooding("application/x-ndjson", ollama_line("<think>hm"), ollama_line("</think>the answer"));
    let gateway = with_heartbeat(io, &upstream);
    let started = Instant::now();
    let mut client = gateway.connect();
    client.send(post("/api/chat", "", r#"{"model":"m"}"#));
    client.head();
    let mut body = client.chunk().unwrap();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    while let Some(chunk) = client.chunk() {
        body.extend(chunk);
    }
    let text = String::from_utf8(body).unwrap();
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("no blank line, no comment")).collect();
    assert!(lines.len() >= 3, "{text}");
    assert!(lines.iter().all(|line| line["message"]["content"].is_string() && line["done"] == false), "{text}");
    assert_eq!(read(text.as_bytes(), "ollama_chat"), both("the answer", ""));
}

fn heartbeats_do_not_hold_off_the_idle_limit(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(chat_event("<think>hm")));
        conn.wait_closed();
        After::Close
    });
    let args = ["--heartbeat", "1s", "--idle-timeout", "3s"];
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(args).start();
    let started = Instant::now();
    let text = gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#).text();
    let took = started.elapsed();
    assert!(took > Duration::from_millis(2700) && took < Duration::from_secs(10), "{took:?}");
    assert!(text.contains("data: {\"error\":"), "{text}");
}

fn nothing_is_held_back_once_the_answer_has_begun(io: Io) {
    let (hand, pieces) = std::sync::mpsc::channel::<&'static str>();
    let pieces = std::sync::Mutex::new(pieces);
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        for piece in pieces.lock().unwrap().iter() {
            conn.send(chunk(chat_event(piece)));
        }
        conn.send(LAST_CHUNK);
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", r#"{"model":"m","stream":true}"#));
    for piece in ["<think>", "hm", "</think>", "\n\n"] {
        hand.send(piece).unwrap();
    }
    // Even what looks like a tag: the answer has begun.
    for piece in ["A", " <", "think>", " 3 < 4", "</th", "ink>", "<"] {
        hand.send(piece).unwrap();
        if piece == "A" {
            client.head();
        }
        let event = client.chunks_until("\n\n");
        assert_eq!(read(event.as_bytes(), "openai_sse").0, piece);
    }
    drop(hand);
    assert_eq!(client.chunk(), None);
}

fn an_unfinished_thought_never_leaks(io: Io) {
    for path in ["/v1/chat/completions", "/api/chat"] {
        for after in [After::Close, After::Keep] {
            let upstream = Upstream::start(move |conn, request| {
                let ollama = request.target().starts_with("/api");
                conn.send(stream_head(if ollama { "application/x-ndjson" } else { "text/event-stream" }));
                for text in ["<think>", "secret ", "thou", "ght </thi"] {
                    conn.send(chunk(if ollama { ollama_line(text) } else { chat_event(text) }));
                }
                // Cut in the middle of an event, or ended as if all were well.
                conn.send(chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"secret"));
                if after == After::Keep {
                    conn.send(LAST_CHUNK);
                }
                after
            });
            let gateway = Gateway::before(&upstream, io);
            let mut client = gateway.connect();
            client.send(post(path, "", r#"{"model":"m","stream":true}"#));
            let said = if after == After::Keep { client.reply().body } else { client.drain() };
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(!said.contains("secret") && !said.contains("ght"), "{path}, {after:?}: {said}");
        }
    }
}

fn a_huge_event_passes(io: Io) {
    const LENGTH: usize = 3 << 20;
    let upstream = Upstream::start(|conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(chat_event("<think>hm</think>before ")));
        conn.send(chunk(chat_event(&"x".repeat(LENGTH))));
        conn.send(chunk(chat_event(" after")));
        conn.send(LAST_CHUNK);
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#);
    let (visible, _) = read(&reply.body, "openai_sse");
    assert!(visible.starts_with("before x") && visible.ends_with("x after"), "{} characters", visible.len());
    assert_eq!(visible.len(), LENGTH + "before  after".len());
}

fn a_huge_body_passes_unfiltered_and_counted(io: Io) {
    // Larger than what is ever collected, so it is passed on as it comes.
    let filler = "x".repeat(17 << 20);
    let whole = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": format!("<think>a</think>{filler}")}}]}).to_string();
    let upstream = Upstream::answering(json_reply(200, &whole));
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.post("/v1/chat/completions", r#"{"model":"m"}"#);
    assert!(reply.text() == whole, "{} bytes of {}", reply.body.len(), whole.len());
    assert_eq!(gateway.metric("thinkgate_think_unfiltered_total", &[]), 1.0);
}

fn other_paths_are_left_alone(io: Io) {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"<think>a</think>b"}}],"embedding":"<think>"}"#;
    let upstream = Upstream::answering(json_reply(200, body));
    let gateway = Gateway::before(&upstream, io);
    for path in ["/v1/embeddings", "/v1/models", "/api/tags", "/api/show", "/files/x", "/tokenize"] {
        assert_eq!(gateway.post(path, "{}").text(), body, "{path}");
    }
}
