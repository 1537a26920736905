//! Reads back what a client would understand of an answer: text and reasoning per choice, and everything else in order.
//! Written against the dialects' own descriptions, with a document parser, and shares nothing with the filter.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a delta is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Content,
    Reasoning,
    ToolCalls,
    Finish,
    Error,
    End,
}

/// One piece of an answer. Errors and end marks belong to no choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    pub choice: Option<i64>,
    pub kind: Kind,
    pub text: String,
}

/// All deltas of kind `kind`, joined per choice (as a string, like in the corpus); empty texts are left out.
pub fn joined(deltas: &[Delta], kind: Kind) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for delta in deltas.iter().filter(|delta| delta.kind == kind) {
        if let Some(choice) = delta.choice {
            texts.entry(choice.to_string()).or_default().push_str(&delta.text);
        }
    }
    texts.retain(|_, text| !text.is_empty());
    texts.into_iter().map(|(choice, text)| (choice, join_surrogates(&text))).collect()
}

/// The deltas of an answer in one of the corpus' formats.
pub fn read(raw: &[u8], format: &str) -> Vec<Delta> {
    let mut deltas = Vec::new();
    match format {
        "openai_sse" | "openai_completions_sse" => {
            for (_, data) in sse_events(raw) {
                if data.trim() == "[DONE]" {
                    deltas.push(Delta { choice: None, kind: Kind::End, text: "[DONE]".into() });
                } else if let Some(event) = json(data.as_bytes()) {
                    openai(&event, &mut deltas);
                }
            }
        }
        "openai_json" | "openai_completions_json" => openai(&json(raw).expect("a JSON body"), &mut deltas),
        "ollama_chat" | "ollama_generate" | "ollama_chat_json" | "ollama_generate_json" => {
            raw.split(|byte| *byte == b'\n').filter_map(json).for_each(|line| ollama(&line, &mut deltas));
        }
        "anthropic_sse" => {
            for (_, data) in sse_events(raw) {
                anthropic(&json(data.as_bytes()).expect("JSON in every event"), &mut deltas);
            }
        }
        "anthropic_json" => anthropic_whole(&json(raw).expect("a JSON body"), &mut deltas),
        _ => panic!("no reader for {format}"),
    }
    deltas
}

/// The WHATWG event stream: (type, data); comments ignored, an event without its blank line discarded.
pub fn sse_events(raw: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw)).into_owned();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut kind, mut data) = (Vec::new(), String::new(), Vec::new());
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                events.push((std::mem::take(&mut kind), data.join("\n")));
            }
            kind.clear();
            data.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.push(value.to_owned()),
            "event" => value.clone_into(&mut kind),
            _ => {}
        }
    }
    events
}

const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

fn openai(event: &Value, deltas: &mut Vec<Delta>) {
    let choices = event["choices"].as_array().map_or(&[][..], Vec::as_slice);
    if event.get("error").is_some() && choices.is_empty() {
        deltas.push(Delta { choice: None, kind: Kind::Error, text: event["error"].to_string() });
        return;
    }
    for choice in choices {
        let index = Some(choice["index"].as_i64().unwrap_or(0));
        let mut push = |kind, text: &str| {
            if !text.is_empty() {
                deltas.push(Delta { choice: index, kind, text: text.to_owned() });
            }
        };
        let message = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        if message.is_object() {
            if let Some(text) = REASONING.iter().find_map(|key| message[*key].as_str().filter(|text| !text.is_empty()))
            {
                push(Kind::Reasoning, text);
            }
            match &message["content"] {
                Value::String(text) => push(Kind::Content, text),
                Value::Array(parts) => parts.iter().for_each(|part| content_part(part, &mut push)),
                _ => {}
            }
            if message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty()) {
                push(Kind::ToolCalls, &message["tool_calls"].to_string());
            }
        } else if let Some(text) = choice["text"].as_str() {
            push(Kind::Content, text);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            push(Kind::Finish, reason);
        }
    }
}

fn content_part(part: &Value, push: &mut impl FnMut(Kind, &str)) {
    match part["type"].as_str() {
        Some("text" | "output_text") => push(Kind::Content, part["text"].as_str().unwrap_or("")),
        Some("thinking") => match &part["thinking"] {
            Value::Array(inner) => {
                inner.iter().for_each(|text| push(Kind::Reasoning, text["text"].as_str().unwrap_or("")));
            }
            text => push(Kind::Reasoning, text.as_str().unwrap_or("")),
        },
        _ => {}
    }
}

fn ollama(line: &Value, deltas: &mut Vec<Delta>) {
    if line.get("error").is_some() {
        deltas.push(Delta { choice: None, kind: Kind::Error, text: line["error"].to_string() });
        return;
    }
    let (holder, text) = if line["message"].is_object() { (&line["message"], "content") } else { (line, "response") };
    let mut push = |kind, text: &str| {
        if !text.is_empty() {
            deltas.push(Delta { choice: Some(0), kind, text: text.to_owned() });
        }
    };
    push(Kind::Reasoning, holder["thinking"].as_str().unwrap_or(""));
    push(Kind::Content, holder[text].as_str().unwrap_or(""));
    if holder["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty()) {
        push(Kind::ToolCalls, &holder["tool_calls"].to_string());
    }
    if line["done"] == true {
        push(Kind::Finish, line["done_reason"].as_str().unwrap_or("stop"));
    }
}

fn anthropic(event: &Value, deltas: &mut Vec<Delta>) {
    let delta = &event["delta"];
    let (kind, text) = match event["type"].as_str() {
        Some("content_block_delta") => match delta["type"].as_str() {
            Some("text_delta") => (Kind::Content, delta["text"].as_str().unwrap_or("")),
            Some("thinking_delta") => (Kind::Reasoning, delta["thinking"].as_str().unwrap_or("")),
            Some("input_json_delta") => (Kind::ToolCalls, delta["partial_json"].as_str().unwrap_or("")),
            _ => return,
        },
        Some("message_delta") => (Kind::Finish, delta["stop_reason"].as_str().unwrap_or("")),
        Some("error") => {
            deltas.push(Delta { choice: None, kind: Kind::Error, text: event["error"].to_string() });
            return;
        }
        Some("message_stop") => {
            deltas.push(Delta { choice: None, kind: Kind::End, text: "message_stop".into() });
            return;
        }
        _ => return,
    };
    deltas.push(Delta { choice: Some(0), kind, text: text.to_owned() });
}

fn anthropic_whole(message: &Value, deltas: &mut Vec<Delta>) {
    for block in message["content"].as_array().map_or(&[][..], Vec::as_slice) {
        let (kind, text) = match block["type"].as_str() {
            Some("text") => (Kind::Content, &block["text"]),
            Some("thinking") => (Kind::Reasoning, &block["thinking"]),
            _ => continue,
        };
        deltas.push(Delta { choice: Some(0), kind, text: text.as_str().unwrap_or("").to_owned() });
    }
}

/// Halves of surrogate pairs arrive in different events, and no string type of Rust can hold one. They are moved to the
/// last plane of private characters while they wait for each other.
const HALVES: u32 = 0x10_0000;

/// Parses JSON that may hold halves of surrogate pairs; `None` if it is not JSON.
pub fn json(raw: &[u8]) -> Option<Value> {
    serde_json::from_str(&with_halves_moved(&String::from_utf8_lossy(raw))).ok()
}

fn with_halves_moved(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let half = |text: &str| {
            let digits = text.strip_prefix("\\u")?.get(..4)?;
            u32::from_str_radix(digits, 16).ok().filter(|code| (0xd800..0xe000).contains(code))
        };
        let taken = match half(rest) {
            Some(high) if high < 0xdc00 && half(&rest[6..]).is_some_and(|low| low >= 0xdc00) => {
                out.push_str(&rest[..12]);
                12
            }
            Some(code) => {
                out.extend(char::from_u32(HALVES + code - 0xd800));
                6
            }
            None => {
                let second = rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..1 + second]);
                1 + second
            }
        };
        rest = &rest[taken..];
    }
    out + rest
}

fn join_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut high: Option<u32> = None;
    let half = |c: char| -> Option<u32> { (c as u32).checked_sub(HALVES).filter(|half| *half < 0x800) };
    for c in text.chars() {
        match (high.take(), half(c)) {
            (Some(first), Some(second)) if second >= 0x400 => {
                let code: u32 = 0x1_0000 + (first << 10) + (second - 0x400);
                out.extend(char::from_u32(code));
                continue;
            }
            (Some(_), _) => out.push('\u{fffd}'),
            (None, _) => {}
        }
        match half(c) {
            Some(first) if first < 0x400 => high = Some(first),
            Some(_) => out.push('\u{fffd}'),
            None => out.push(c),
        }
    }
    if high.is_some() {
        out.push('\u{fffd}');
    }
    out
}
