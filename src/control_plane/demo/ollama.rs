//! The Ollama half of the demo server: `/` and `/api/…`.

use std::io;
use std::time::Instant;

use serde_json::{Value, json};

use super::clock::rfc3339;
use super::http::Wire;
use super::model::{self, Ask, Thinking, Token, Turn};
use super::pace::Pace;

/// Routes outside `/v1`. An unknown path gets the plain 404 of Ollama's router.
pub fn serve(method: &str, path: &str, body: &[u8], wire: &mut Wire, pace: Pace) -> io::Result<()> {
    match (method, path) {
        ("GET" | "HEAD", "/") => wire.whole(200, "text/plain; charset=utf-8", "Ollama is running"),
        ("GET" | "HEAD", "/api/version") => wire.json(200, &json!({"version": "0.33.0"})),
        ("GET" | "HEAD", "/api/tags") => {
            let models: Vec<Value> = model::NAMES.iter().map(|name| tag(name)).collect();
            wire.json(200, &json!({"models": models}))
        }
        ("GET", "/api/ps") => wire.json(200, &json!({"models": [loaded()]})),
        ("POST", "/api/show") => with_model(body, wire, |_, thinking, wire| wire.json(200, &details(thinking))),
        ("POST", "/api/chat") => with_model(body, wire, |request, thinking, wire| {
            let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
            answer(&Form::new(true, request), request, thinking, messages, wire, pace)
        }),
        ("POST", "/api/generate") => with_model(body, wire, |request, thinking, wire| {
            let message = json!({"role": "user", "content": request["prompt"]});
            let messages = if request["prompt"].as_str().is_some_and(|prompt| !prompt.is_empty()) {
                std::slice::from_ref(&message)
            } else {
                &[]
            };
            answer(&Form::new(false, request), request, thinking, messages, wire, pace)
        }),
        ("POST", "/api/embed") => with_model(body, wire, |request, _, wire| embed(request, wire)),
        _ => wire.whole(404, "text/plain", "404 page not found"),
    }
}

fn with_model(
    body: &[u8],
    wire: &mut Wire,
    serve: impl FnOnce(&Value, Thinking, &mut Wire) -> io::Result<()>,
) -> io::Result<()> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return wire.json(400, &json!({"error": "the body is not JSON"}));
    };
    let Some(name) = request["model"].as_str().or(request["name"].as_str()) else {
        return wire.json(400, &json!({"error": "model is required"}));
    };
    match Thinking::of_model(name) {
        Some(thinking) => serve(&request, thinking, wire),
        None => wire.json(404, &json!({"error": format!("model '{name}' not found")})),
    }
}

fn tag(name: &str) -> Value {
    let name = format!("{name}:latest");
    json!({
        "name": name, "model": name, "modified_at": rfc3339(), "size": 1, "digest": "0".repeat(64),
        "details": family(), "capabilities": ["completion", "tools", "thinking"],
    })
}

fn family() -> Value {
    json!({"parent_model": "", "format": "gguf", "family": "demo", "families": ["demo"], "parameter_size": "0B",
        "quantization_level": "F32"})
}

fn loaded() -> Value {
    let mut model = tag(model::INLINE);
    model["expires_at"] = json!(rfc3339());
    model["size_vram"] = json!(0);
    model["context_length"] = json!(4096);
    model
}

fn details(thinking: Thinking) -> Value {
    let capabilities: &[&str] =
        if thinking == Thinking::Off { &["completion", "tools"] } else { &["completion", "tools", "thinking"] };
    json!({
        "modelfile": "FROM demo", "template": "{{ .Prompt }}", "details": family(), "capabilities": capabilities,
        "model_info": {"general.architecture": "demo", "demo.context_length": 4096}, "modified_at": rfc3339(),
    })
}

/// `/api/chat` or `/api/generate`: how a line looks.
struct Form {
    chat: bool,
    model: Value,
}

impl Form {
    fn new(chat: bool, request: &Value) -> Self {
        Self { chat, model: request["model"].clone() }
    }

    fn line(&self, text: &str, thought: &str, done: bool) -> Value {
        let mut line = json!({"model": self.model, "created_at": rfc3339(), "done": done});
        let holder = if self.chat {
            line["message"] = json!({"role": "assistant", "content": text});
            &mut line["message"]
        } else {
            line["response"] = json!(text);
            &mut line
        };
        if !thought.is_empty() {
            holder["thinking"] = json!(thought);
        }
        line
    }

    fn of_token(&self, token: &Token) -> Value {
        match token {
            Token::Text(text) => self.line(text, "", false),
            Token::Thought(text) => self.line("", text, false),
        }
    }
}

fn answer(
    form: &Form,
    request: &Value,
    thinking: Thinking,
    messages: &[Value],
    wire: &mut Wire,
    pace: Pace,
) -> io::Result<()> {
    if messages.is_empty() {
        let mut line = form.line("", "", true);
        line["done_reason"] = json!(if request["keep_alive"] == 0 { "unload" } else { "load" });
        return wire.json(200, &line);
    }
    let started = Instant::now();
    let ask = Ask {
        thinking: asked_thinking(&request["think"], thinking),
        messages,
        tool: if form.chat { &request["tools"][0] } else { &Value::Null },
        tokens_max: request["options"]["num_predict"].as_u64(),
    };
    let turn = model::answer(&ask);
    if request["stream"] == false {
        pace.wait_for(turn.tokens.len());
        let mut whole = form.line(&turn.text(), &turn.thought(), true);
        add_tool_call(&mut whole, &turn);
        add_stats(&mut whole, &turn, started);
        return wire.whole(200, "application/json; charset=utf-8", &escaped(&whole));
    }
    wire.begin("application/x-ndjson")?;
    pace.wait_first();
    for token in &turn.tokens {
        wire.event(&format!("{}\n", escaped(&form.of_token(token))))?;
        pace.wait_token();
    }
    if turn.tool_call.is_some() {
        let mut line = form.line("", "", false);
        add_tool_call(&mut line, &turn);
        wire.event(&format!("{}\n", escaped(&line)))?;
    }
    let mut last = form.line("", "", true);
    add_stats(&mut last, &turn, started);
    wire.event(&format!("{}\n", escaped(&last)))?;
    wire.end()
}

/// `think: true` asks a thinking model for fields, `false` for none; without it the model's own way stands.
fn asked_thinking(think: &Value, own: Thinking) -> Thinking {
    match (think, own) {
        (Value::Bool(false), _) | (_, Thinking::Off) => Thinking::Off,
        (Value::Bool(true) | Value::String(_), _) => Thinking::Fields,
        _ => own,
    }
}

fn add_tool_call(line: &mut Value, turn: &Turn) {
    if let Some(call) = &turn.tool_call {
        let function = json!({"index": 0, "name": call.name, "arguments": call.arguments});
        line["message"]["tool_calls"] = json!([{"id": "call_demo0001", "function": function}]);
    }
}

fn add_stats(line: &mut Value, turn: &Turn, started: Instant) {
    let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
    line["done_reason"] = json!(if turn.cut { "length" } else { "stop" });
    line["total_duration"] = json!(nanos);
    line["load_duration"] = json!(1);
    line["prompt_eval_count"] = json!(turn.prompt_tokens);
    line["prompt_eval_duration"] = json!(1);
    line["eval_count"] = json!(turn.tokens.len());
    line["eval_duration"] = json!(nanos);
}

/// As Go's encoder writes it, which hides tags from whoever searches for `<`. In JSON these three stand only in strings.
fn escaped(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn embed(request: &Value, wire: &mut Wire) -> io::Result<()> {
    let texts: Vec<&str> = match &request["input"] {
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => return wire.json(400, &json!({"error": "invalid input type"})),
    };
    let embeddings: Vec<Vec<f32>> = texts.iter().map(|text| model::embedding(text)).collect();
    let tokens: usize = texts.iter().map(|text| model::count(text)).sum();
    wire.json(
        200,
        &json!({"model": request["model"], "embeddings": embeddings, "total_duration": 1,
        "load_duration": 1, "prompt_eval_count": tokens}),
    )
}
