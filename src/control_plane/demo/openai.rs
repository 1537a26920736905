//! The OpenAI half of the demo server: `/v1/…`.

use std::io;

use serde_json::{Value, json};

use super::clock::unix_seconds;
use super::http::Wire;
use super::model::{self, Ask, Thinking, Token, Turn};
use super::pace::Pace;

/// Routes below `/v1`; an unknown one is a 404 in the dialect.
pub fn serve(method: &str, path: &str, body: &[u8], wire: &mut Wire, pace: Pace) -> io::Result<()> {
    match (method, path) {
        ("GET" | "HEAD", "/v1/models") => {
            let data: Vec<Value> = model::NAMES.iter().map(|name| listed(name)).collect();
            wire.json(200, &json!({"object": "list", "data": data}))
        }
        ("GET" | "HEAD", _) if path.starts_with("/v1/models/") => retrieve(&path["/v1/models/".len()..], wire),
        ("POST", "/v1/chat/completions") => with_model(body, wire, |request, thinking, wire| {
            let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
            if messages.is_empty() {
                return error(wire, 400, "messages must not be empty", "messages", None);
            }
            let turn = model::answer(&ask(request, thinking, messages));
            reply(&Form::chat(request), request, &turn, wire, pace)
        }),
        ("POST", "/v1/completions") => with_model(body, wire, |request, thinking, wire| {
            let messages = [json!({"role": "user", "content": request["prompt"]})];
            // Legacy completions have no field to think in.
            let thinking = if thinking == Thinking::Fields { Thinking::Off } else { thinking };
            let turn = model::answer(&ask(request, thinking, &messages));
            reply(&Form::text(request), request, &turn, wire, pace)
        }),
        ("POST", "/v1/embeddings") => with_model(body, wire, |request, _, wire| embeddings(request, wire)),
        _ => error(wire, 404, &format!("there is nothing at {method} {path}"), "", Some("unknown_url")),
    }
}

fn listed(name: &str) -> Value {
    json!({"id": name, "object": "model", "created": 1_760_000_000, "owned_by": "thinkgate"})
}

fn retrieve(name: &str, wire: &mut Wire) -> io::Result<()> {
    match Thinking::of_model(name) {
        Some(_) => wire.json(200, &listed(name)),
        None => unknown_model(name, wire),
    }
}

fn with_model(
    body: &[u8],
    wire: &mut Wire,
    serve: impl FnOnce(&Value, Thinking, &mut Wire) -> io::Result<()>,
) -> io::Result<()> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return error(wire, 400, "the body is not JSON", "", None);
    };
    let Some(name) = request["model"].as_str() else {
        return error(wire, 400, "you must provide a model parameter", "model", None);
    };
    match Thinking::of_model(name) {
        Some(thinking) => serve(&request, thinking, wire),
        None => unknown_model(name, wire),
    }
}

fn unknown_model(name: &str, wire: &mut Wire) -> io::Result<()> {
    error(wire, 404, &format!("The model '{name}' does not exist"), "model", Some("model_not_found"))
}

fn error(wire: &mut Wire, status: u16, message: &str, param: &str, code: Option<&str>) -> io::Result<()> {
    let param = (!param.is_empty()).then_some(param);
    let error = json!({"message": message, "type": "invalid_request_error", "param": param, "code": code});
    wire.json(status, &json!({"error": error}))
}

fn ask<'a>(request: &'a Value, thinking: Thinking, messages: &'a [Value]) -> Ask<'a> {
    let tokens_max = request["max_completion_tokens"].as_u64().or(request["max_tokens"].as_u64());
    let thinking = if request["reasoning_effort"] == "none" { Thinking::Off } else { thinking };
    Ask { thinking, messages, tool: &request["tools"][0], tokens_max }
}

fn finish_reason(turn: &Turn) -> &'static str {
    match (turn.cut, &turn.tool_call) {
        (true, _) => "length",
        (false, Some(_)) => "tool_calls",
        (false, None) => "stop",
    }
}

fn usage(turn: &Turn) -> Value {
    let (prompt, completion) = (turn.prompt_tokens, turn.tokens.len());
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// Chat or legacy completion: how a choice looks, and the members that all chunks of one answer share.
struct Form {
    chat: bool,
    created: u64,
    model: String,
}

impl Form {
    fn chat(request: &Value) -> Self {
        Self { chat: true, created: unix_seconds(), model: request["model"].as_str().unwrap_or_default().to_owned() }
    }

    fn text(request: &Value) -> Self {
        Self { chat: false, ..Self::chat(request) }
    }

    /// A whole object or chunk around `choices`.
    fn object(&self, chunk: bool, choices: Value) -> Value {
        let (id, object) = match (self.chat, chunk) {
            (true, true) => ("chatcmpl-demo", "chat.completion.chunk"),
            (true, false) => ("chatcmpl-demo", "chat.completion"),
            (false, _) => ("cmpl-demo", "text_completion"),
        };
        json!({"id": id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }

    fn delta(&self, token: &Token) -> Value {
        match (token, self.chat) {
            (Token::Text(text), true) => json!({"delta": {"content": text}}),
            (Token::Thought(text), true) => json!({"delta": {"reasoning_content": text}}),
            (Token::Text(text) | Token::Thought(text), false) => json!({"text": text}),
        }
    }

    fn chunk(&self, mut choice: Value, finish: Option<&str>) -> String {
        choice["index"] = json!(0);
        choice["logprobs"] = Value::Null;
        choice["finish_reason"] = json!(finish);
        format!("data: {}\n\n", self.object(true, json!([choice])))
    }
}

fn reply(form: &Form, request: &Value, turn: &Turn, wire: &mut Wire, pace: Pace) -> io::Result<()> {
    if request["stream"] == true {
        return stream(form, request, turn, wire, pace);
    }
    pace.wait_for(turn.tokens.len());
    let mut choice = if form.chat { json!({"message": message(turn)}) } else { json!({"text": turn.text()}) };
    choice["index"] = json!(0);
    choice["logprobs"] = Value::Null;
    choice["finish_reason"] = json!(finish_reason(turn));
    let mut whole = form.object(false, json!([choice]));
    whole["usage"] = usage(turn);
    wire.json(200, &whole)
}

fn message(turn: &Turn) -> Value {
    let mut message = json!({"role": "assistant", "content": turn.text(), "refusal": null});
    let thought = turn.thought();
    if !thought.is_empty() {
        message["reasoning_content"] = json!(thought);
    }
    if let Some(call) = &turn.tool_call {
        let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
        message["tool_calls"] = json!([{"id": "call_demo0001", "type": "function", "function": function}]);
    }
    message
}

fn stream(form: &Form, request: &Value, turn: &Turn, wire: &mut Wire, pace: Pace) -> io::Result<()> {
    wire.begin("text/event-stream")?;
    pace.wait_first();
    if form.chat {
        wire.event(&form.chunk(json!({"delta": {"role": "assistant", "content": ""}}), None))?;
    }
    for token in &turn.tokens {
        wire.event(&form.chunk(form.delta(token), None))?;
        pace.wait_token();
    }
    if let Some(call) = &turn.tool_call {
        let opening = json!({"index": 0, "id": "call_demo0001", "type": "function",
            "function": {"name": call.name, "arguments": ""}});
        wire.event(&form.chunk(json!({"delta": {"tool_calls": [opening]}}), None))?;
        let arguments = json!({"index": 0, "function": {"arguments": call.arguments.to_string()}});
        wire.event(&form.chunk(json!({"delta": {"tool_calls": [arguments]}}), None))?;
    }
    let last = if form.chat { json!({"delta": {}}) } else { json!({"text": ""}) };
    wire.event(&form.chunk(last, Some(finish_reason(turn))))?;
    if request["stream_options"]["include_usage"] == true {
        let mut chunk = form.object(true, json!([]));
        chunk["usage"] = usage(turn);
        wire.event(&format!("data: {chunk}\n\n"))?;
    }
    wire.event("data: [DONE]\n\n")?;
    wire.end()
}

fn embeddings(request: &Value, wire: &mut Wire) -> io::Result<()> {
    let texts: Vec<&str> = match &request["input"] {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => return error(wire, 400, "input must be a string or a list of strings", "input", None),
    };
    let vector = |text: &&str| {
        let numbers = model::embedding(text);
        if request["encoding_format"] == "base64" { json!(base64(&numbers)) } else { json!(numbers) }
    };
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}))
        .collect();
    let tokens: usize = texts.iter().map(|text| model::count(text)).sum();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    wire.json(200, &json!({"object": "list", "data": data, "model": request["model"], "usage": usage}))
}

/// Little-endian floats in base64: the official SDKs ask for it by default.
fn base64(numbers: &[f32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
