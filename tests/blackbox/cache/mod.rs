//! The answer cache and the sharing of running answers, over real sockets.

mod dirs;
mod embeddings;
mod endings;
mod forms;
mod hits;
mod joins;
mod killed;
mod leaving;
mod never;
mod tenants;

use serde_json::{Value, json};

use crate::support::deltas::sse_events;
use crate::support::{Builder, Client, Gateway, Io, Reply, Upstream, chunk, eventually, post, stream_head};

/// A gateway of two cores with a cache.
fn cached(io: Io, upstream: &Upstream) -> Builder {
    Gateway::build(io).upstream(&upstream.url()).workers(2).arg("--enable-cache")
}

const CHAT: &str = "/v1/chat/completions";
const OLLAMA: &str = "/api/chat";

/// The same question in both dialects.
fn question(text: &str, stream: bool) -> String {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}).to_string()
}

/// What a client understands of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    text: String,
    /// Name and arguments, the arguments as a value.
    calls: Vec<(String, Value)>,
    /// Prompt and completion tokens.
    usage: Option<(u64, u64)>,
    finish: Option<String>,
    /// The stream's own end mark was there.
    ended: bool,
}

/// One chat answer, whoever wrote it: OpenAI or Ollama, stream or not.
fn told(reply: &Reply) -> Told {
    let kind = reply.field("content-type").unwrap_or_default().to_owned();
    let mut told = Told::default();
    if kind.starts_with("text/event-stream") {
        for (_, data) in sse_events(&reply.body) {
            if data == "[DONE]" {
                told.ended = true;
            } else {
                openai(&serde_json::from_str(&data).expect("JSON in every event"), "delta", &mut told);
            }
        }
        return told;
    }
    for line in reply.text().lines().filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if value.get("choices").is_some() {
            openai(&value, "message", &mut told);
            told.ended = true;
        } else {
            ollama(&value, &mut told);
        }
    }
    told
}

fn openai(event: &Value, member: &str, told: &mut Told) {
    if let Some(usage) = event.get("usage").filter(|usage| !usage.is_null()) {
        told.usage = Some((usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap()));
    }
    for choice in event["choices"].as_array().unwrap() {
        let delta = &choice[member];
        told.text.push_str(delta["content"].as_str().unwrap_or_default());
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let arguments = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
            told.calls.push((function["name"].as_str().unwrap().to_owned(), arguments));
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            told.finish = Some(reason.to_owned());
        }
    }
}

fn ollama(line: &Value, told: &mut Told) {
    told.text.push_str(line["message"]["content"].as_str().unwrap_or_default());
    for call in line["message"]["tool_calls"].as_array().into_iter().flatten() {
        let function = &call["function"];
        told.calls.push((function["name"].as_str().unwrap().to_owned(), function["arguments"].clone()));
    }
    if line["done"] == json!(true) {
        told.ended = true;
        told.finish = line["done_reason"].as_str().map(str::to_owned);
        let count = |name: &str| line[name].as_u64();
        told.usage = count("prompt_eval_count").zip(count("eval_count"));
    }
}

/// One event of an OpenAI stream.
fn event(delta: &Value, finish: Option<&str>) -> String {
    let event = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {event}\n\n")
}

/// What follows the last text of an OpenAI stream.
fn stream_end() -> String {
    event(&json!({}), Some("stop")) + "data: [DONE]\n\n"
}

/// A whole OpenAI stream with this text, head and framing included.
fn whole_stream(text: &str) -> Vec<u8> {
    let mut bytes = stream_head("text/event-stream");
    bytes.extend(chunk(event(&json!({"content": text}), None)));
    bytes.extend(chunk(stream_end()));
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// A whole plain OpenAI answer.
fn whole_json(text: &str) -> Vec<u8> {
    let body = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
    crate::support::json_reply(200, &body.to_string())
}

/// Begins a request on a connection of its own.
fn begin(gateway: &Gateway, path: &str, body: &str) -> Client {
    let mut client = gateway.connect();
    client.send(post(path, "", body));
    client
}

fn stored(gateway: &Gateway) -> f64 {
    gateway.metric("thinkgate_cache_stored_total", &[])
}

fn lookups(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric("thinkgate_cache_lookups_total", &[&format!("\"{result}\"")])
}

#[track_caller]
fn wait_until_stored(gateway: &Gateway, count: u32) {
    eventually(&format!("{count} answers kept"), || stored(gateway) >= f64::from(count));
}

/// Nothing is under way any more, upstream or down.
#[track_caller]
fn wait_until_quiet(gateway: &Gateway) {
    eventually("no flight is left", || {
        gateway.metric("thinkgate_cache_flights", &[]) == 0.0
            && gateway.metric("thinkgate_cache_followers", &[]) == 0.0
            && gateway.metric("thinkgate_requests_active", &[]) == 0.0
    });
}

fn cache_status(reply: &Reply) -> &str {
    reply.field("cache-status").unwrap_or("none")
}
