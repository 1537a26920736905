//! One entry serves stream and plain, OpenAI and Ollama; text, tool calls and usage are the same in all.

use serde_json::{Value, json};

use crate::both_drivers;
use crate::support::{After, Io, Upstream, chunk, eventually, json_reply, stream_head};

use super::{CHAT, OLLAMA, Told, begin, cached, event, question, told, wait_until_stored};

both_drivers![
    text_is_the_same_in_every_form,
    calls_are_the_same_in_every_form,
    joiners_get_it_in_their_own_form,
    usage_is_sent_to_who_asked,
    counts_are_asked_for_so_that_one_entry_serves_all,
    a_server_that_refuses_counts_is_asked_without,
    a_refusal_for_another_reason_is_passed_on,
    who_wants_usage_joins_who_does_not,
    what_reached_a_limit_is_told_to_all_and_not_kept,
    counts_can_stay_unasked
];

const TEXT: &str = "Grüße, \"Welt\" 🦀\n\ttab \\ slash / \u{7f} and <b>more</b> than one event can hold, so that it is cut into several on its \
way out, never in the middle of a character: ÄÖÜ äöü 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字 end.";

#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    path: &'static str,
    stream: bool,
}

const FORMS: [Form; 4] = [
    Form { path: CHAT, stream: true },
    Form { path: CHAT, stream: false },
    Form { path: OLLAMA, stream: true },
    Form { path: OLLAMA, stream: false },
];

/// The question of this form; OpenAI's streams ask for the usage.
fn ask(form: Form, text: &str) -> String {
    let mut body: Value = serde_json::from_str(&question(text, form.stream)).unwrap();
    if form.stream && form.path == CHAT {
        body["stream_options"] = json!({"include_usage": true});
    }
    body.to_string()
}

/// A model server that speaks both dialects and says the same in both.
fn upstream(calls: bool) -> Upstream {
    Upstream::start(move |conn, request| {
        let openai = request.target() == CHAT;
        let stream = String::from_utf8_lossy(&request.body).contains("\"stream\":true");
        let arguments = json!({"city": "Ulm \"am\" See", "days": [1, 2.5], "deep": {"x": null}});
        let calls = match (calls, openai) {
            (false, _) => json!(null),
            (true, true) => {
                json!([{"index": 0, "id": "call_9", "type": "function", "function": {"name": "weather", "arguments": arguments.to_string()}}])
            }
            (true, false) => json!([{"function": {"name": "weather", "arguments": arguments}}]),
        };
        let reason = if calls.is_null() { "stop" } else { "tool_calls" };
        let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
        match (openai, stream) {
            (true, true) => {
                conn.send(stream_head("text/event-stream"));
                // Cut between characters and between events, as it comes.
                for text in TEXT.split_inclusive(' ') {
                    conn.send(chunk(event(&json!({"content": text}), None)));
                }
                if !calls.is_null() {
                    conn.send(chunk(event(&json!({"tool_calls": calls}), None)));
                }
                conn.send(chunk(event(&json!({}), Some(reason))));
                conn.send(chunk(format!("data: {}\n\n", json!({"choices": [], "usage": usage}))));
                conn.send(chunk("data: [DONE]\n\n"));
                conn.send(b"0\r\n\r\n");
            }
            (true, false) => {
                let mut message = json!({"role": "assistant", "content": TEXT});
                if !calls.is_null() {
                    message["tool_calls"] = calls;
                }
                let choice = json!({"index": 0, "message": message, "finish_reason": reason});
                conn.send(json_reply(200, &json!({"choices": [choice], "usage": usage}).to_string()));
            }
            (false, stream) => {
                let line = |content: &str, calls: &Value| {
                    let mut message = json!({"role": "assistant", "content": content});
                    if !calls.is_null() {
                        message["tool_calls"] = calls.clone();
                    }
                    json!({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false})
                };
                let end = |mut line: Value| {
                    line["done"] = json!(true);
                    line["done_reason"] = json!("stop");
                    line["prompt_eval_count"] = json!(11);
                    line["eval_count"] = json!(7);
                    line.to_string() + "\n"
                };
                if stream {
                    conn.send(stream_head("application/x-ndjson"));
                    for text in TEXT.split_inclusive(' ') {
                        conn.send(chunk(line(text, &Value::Null).to_string() + "\n"));
                    }
                    if !calls.is_null() {
                        conn.send(chunk(line("", &calls).to_string() + "\n"));
                    }
                    conn.send(chunk(end(line("", &Value::Null))));
                    conn.send(b"0\r\n\r\n");
                } else {
                    conn.send(json_reply(200, &end(line(TEXT, &calls))));
                }
            }
        }
        After::Keep
    })
}

fn wanted(calls: bool, form: Form) -> Told {
    let calls = if calls {
        vec![("weather".to_owned(), json!({"city": "Ulm \"am\" See", "days": [1, 2.5], "deep": {"x": null}}))]
    } else {
        Vec::new()
    };
    let reason = if !calls.is_empty() && form.path == CHAT { "tool_calls" } else { "stop" };
    Told { text: TEXT.into(), calls, usage: Some((11, 7)), finish: Some(reason.into()), ended: true }
}

fn check(io: Io, calls: bool) {
    let upstream = upstream(calls);
    let gateway = cached(io, &upstream).arg("--cache-tool-calls").start();
    for (at, first) in FORMS.into_iter().enumerate() {
        let number = u32::try_from(at).unwrap() + 1;
        let topic = format!("topic {at}");
        assert_eq!(told(&gateway.post(first.path, &ask(first, &topic))), wanted(calls, first), "{first:?}");
        wait_until_stored(&gateway, number);
        for second in FORMS {
            let hit = gateway.post(second.path, &ask(second, &topic));
            assert!(hit.field("age").is_some(), "{first:?} then {second:?}: {:?}", hit.fields);
            assert_eq!(told(&hit), wanted(calls, second), "{first:?} then {second:?}");
        }
        assert_eq!(upstream.requests().len(), at + 1);
    }
}

fn text_is_the_same_in_every_form(io: Io) {
    check(io, false);
}

fn calls_are_the_same_in_every_form(io: Io) {
    check(io, true);
}

fn joiners_get_it_in_their_own_form(io: Io) {
    let slow = Upstream::start(|conn, _| {
        std::thread::sleep(std::time::Duration::from_millis(150));
        conn.send(stream_head("text/event-stream"));
        for text in TEXT.split_inclusive(' ') {
            conn.send(chunk(event(&json!({"content": text}), None)));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        conn.send(chunk(event(&json!({}), Some("stop"))));
        let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
        conn.send(chunk(format!("data: {}\n\n", json!({"choices": [], "usage": usage}))));
        conn.send(chunk("data: [DONE]\n\n"));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &slow).start();
    let mut clients: Vec<_> = FORMS
        .into_iter()
        .map(|form| {
            let client = begin(&gateway, form.path, &ask(form, "q"));
            slow.wait_for_requests(1);
            (form, client)
        })
        .collect();
    for (form, client) in &mut clients {
        assert_eq!(told(&client.reply()), wanted(false, *form), "{form:?}");
    }
    assert_eq!(slow.requests().len(), 1);
}

fn usage_is_sent_to_who_asked(io: Io) {
    let upstream = upstream(false);
    let gateway = cached(io, &upstream).start();
    let with = ask(FORMS[0], "q");
    let without = question("q", true);
    // Recorded with the counts: who did not ask for them is not shown them.
    gateway.post(CHAT, &with);
    wait_until_stored(&gateway, 1);
    assert_eq!(told(&gateway.post(CHAT, &with)).usage, Some((11, 7)));
    let hit = gateway.post(CHAT, &without);
    assert!(hit.field("age").is_some() && !hit.text().contains("usage"), "{}", hit.text());
    assert_eq!(upstream.requests().len(), 1);
}

/// Streams one text, and the counts if they are asked for; `refuses` those that ask.
fn on_request(refuses: fn(&str) -> bool) -> Upstream {
    Upstream::start(move |conn, request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if refuses(&body) {
            conn.send(json_reply(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#));
            return After::Keep;
        }
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(event(&json!({"content": "x"}), None)));
        conn.send(chunk(event(&json!({}), Some("stop"))));
        if body.contains("include_usage") {
            let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
            conn.send(chunk(format!("data: {}\n\n", json!({"choices": [], "usage": usage}))));
        }
        conn.send(chunk("data: [DONE]\n\n"));
        conn.send(b"0\r\n\r\n");
        After::Keep
    })
}

fn counts_are_asked_for_so_that_one_entry_serves_all(io: Io) {
    let upstream = on_request(|_| false);
    let gateway = cached(io, &upstream).start();
    let first = gateway.post(CHAT, &question("q", true));
    assert!(told(&first).ended && !first.text().contains("usage"), "{}", first.text());
    wait_until_stored(&gateway, 1);
    for body in [ask(FORMS[0], "q"), question("q", false)] {
        let hit = gateway.post(CHAT, &body);
        assert_eq!((hit.field("age").is_some(), told(&hit).usage), (true, Some((11, 7))));
    }
    let sent = upstream.requests();
    assert_eq!(sent.len(), 1);
    let body: Value = serde_json::from_slice(&sent[0].body).unwrap();
    let mut original: Value = serde_json::from_str(&question("q", true)).unwrap();
    original["stream_options"] = json!({"include_usage": true});
    assert_eq!(body, original, "nothing else was changed");
    // Whoever has said something about it is not overruled.
    let mut decided: Value = serde_json::from_str(&question("other", true)).unwrap();
    decided["stream_options"] = json!({"include_usage": false});
    gateway.post(CHAT, &decided.to_string());
    assert_eq!(upstream.requests()[1].body, decided.to_string().as_bytes());
}

fn a_server_that_refuses_counts_is_asked_without(io: Io) {
    let upstream = on_request(|body| body.contains("stream_options"));
    let gateway = cached(io, &upstream).workers(1).start();
    for number in 0..3 {
        let body = question(&format!("q{number}"), true);
        let reply = gateway.post(CHAT, &body);
        assert_eq!((reply.status, told(&reply).text.as_str()), (200, "x"));
        wait_until_stored(&gateway, number + 1);
        assert!(gateway.post(CHAT, &body).field("age").is_some());
    }
    let sent = upstream.requests();
    // Learned at the first.
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[1].body, question("q0", true).as_bytes());
    assert_eq!(sent[3].body, question("q2", true).as_bytes());
    // What was kept says nothing of tokens, so who wants to know asks; a refusal of what a client asked is its own.
    assert_eq!(gateway.post(CHAT, &ask(FORMS[0], "q0")).status, 400);
}

fn a_refusal_for_another_reason_is_passed_on(io: Io) {
    let upstream = on_request(|_| true);
    let gateway = cached(io, &upstream).workers(1).start();
    for number in 1..=2 {
        let reply = gateway.post(CHAT, &question(&format!("q{number}"), true));
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("\"no\""), "{}", reply.text());
        // Nothing was learned from it.
        assert_eq!(upstream.requests().len(), 2 * number);
    }
}

/// Streams `text`, and once the gate is open the end, with token counts.
fn ending_later(text: &'static str, finish: &'static str) -> (Upstream, super::joins::Gate) {
    let gate = super::joins::Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(event(&json!({"content": text}), None)));
        open.wait(1);
        conn.send(chunk(event(&json!({}), Some(finish))));
        conn.send(chunk(
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n",
        ));
        conn.send(chunk("data: [DONE]\n\n"));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    (upstream, gate)
}

fn who_wants_usage_joins_who_does_not(io: Io) {
    let (upstream, gate) = ending_later("half", "stop");
    let gateway = cached(io, &upstream).start();
    let mut first = begin(&gateway, CHAT, &question("q", true));
    upstream.wait_for_requests(1);
    let mut second = begin(&gateway, CHAT, &ask(FORMS[0], "q"));
    eventually("the second has joined", || super::lookups(&gateway, "joined") == 1.0);
    gate.open(1);
    assert_eq!(told(&second.reply()).usage, Some((11, 7)));
    let first = first.reply();
    assert!(told(&first).ended && !first.text().contains("usage"), "{}", first.text());
    assert_eq!(upstream.requests().len(), 1);
}

fn what_reached_a_limit_is_told_to_all_and_not_kept(io: Io) {
    let (upstream, gate) = ending_later("as far as it", "length");
    let gateway = cached(io, &upstream).start();
    let mut clients: Vec<_> = FORMS
        .into_iter()
        .map(|form| {
            let client = begin(&gateway, form.path, &ask(form, "q"));
            upstream.wait_for_requests(1);
            (form, client)
        })
        .collect();
    eventually("all have joined", || super::lookups(&gateway, "joined") == 3.0);
    gate.open(1);
    for (form, client) in &mut clients {
        let told = told(&client.reply());
        let seen = (told.text.as_str(), told.finish.as_deref(), told.usage);
        assert_eq!(seen, ("as far as it", Some("length"), Some((11, 7))), "{form:?}");
    }
    assert_eq!(upstream.requests().len(), 1);
    super::wait_until_quiet(&gateway);
    assert_eq!(super::stored(&gateway), 0.0);
}

fn counts_can_stay_unasked(io: Io) {
    let upstream = on_request(|_| false);
    let gateway = cached(io, &upstream).config("cache: {ask_counts: false}\n").start();
    let body = question("q", true);
    gateway.post(CHAT, &body);
    assert_eq!(upstream.requests()[0].body, body.as_bytes());
}
