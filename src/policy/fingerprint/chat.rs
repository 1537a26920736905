//! Messages in canonical form, from either dialect: role, parts in order, thinking, tool calls, the call answered.

use std::collections::HashMap;

use super::Uncacheable;
use super::sink::{Sink, sort};
use super::tree::{Node, Value};

/// Ids of tool calls are labels that servers make up: what counts is which call a result belongs to, so an id is its
/// place among the ids of the conversation. The function's name is kept for results that don't say it.
#[derive(Default)]
struct Calls<'t>(HashMap<&'t str, (usize, Option<&'t str>)>);

impl<'t> Calls<'t> {
    fn number(&mut self, id: &'t str, name: Option<&'t str>) -> usize {
        let next = self.0.len();
        let entry = self.0.entry(id).or_insert((next, None));
        if name.is_some() {
            entry.1 = name;
        }
        entry.0
    }

    fn name(&self, id: &str) -> Option<&'t str> {
        self.0.get(id).and_then(|entry| entry.1)
    }
}

pub(super) fn messages(sink: &mut Sink, value: Value<'_>, openai: bool) -> Result<(), Uncacheable> {
    if !value.is_array() {
        return Err(Uncacheable::Unreadable);
    }
    let mut calls = Calls::default();
    sink.tag(b'a');
    for item in value.items() {
        if !item.is_object() {
            return Err(Uncacheable::Unreadable);
        }
        message(sink, item, openai, &mut calls)?;
    }
    sink.tag(b'.');
    Ok(())
}

/// Members for which null is the same as nothing.
const NULLABLE: &[&str] = &[
    "annotations",
    "audio",
    "content",
    "function_call",
    "images",
    "name",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "refusal",
    "role",
    "thinking",
    "tool_call_id",
    "tool_calls",
    "tool_name",
];

/// The members with a meaning of their own; all others count under their names.
#[derive(Default)]
struct Message<'t> {
    role: Option<&'t str>,
    content: Option<Value<'t>>,
    images: Option<Value<'t>>,
    thinking: Option<Value<'t>>,
    tool_calls: Option<Value<'t>>,
    call_id: Option<&'t str>,
    name: Option<&'t str>,
    others: Vec<(&'t str, Value<'t>)>,
}

impl<'t> Message<'t> {
    fn read(message: Value<'t>, openai: bool) -> Result<Self, Uncacheable> {
        let ollama = !openai;
        let mut members: Vec<_> = message.members().collect();
        sort(&mut members);
        let mut this = Self::default();
        for (key, value) in members {
            // A client that sends back the answer it got writes null for what that answer didn't have. In another case
            // it is another name, or for some decoders the same one emptied.
            if value.is_null() && NULLABLE.contains(&key) {
                continue;
            }
            let text = value.text();
            match key {
                "role" if text.is_some() => this.role = text,
                "content" => this.content = Some(value),
                "images" if ollama && value.is_array() => this.images = Some(value),
                "thinking" if ollama && text.is_some() => this.thinking = Some(value),
                // `reasoning_content` counts under its own name: servers read one or the other.
                "reasoning" if openai && text.is_some() => this.thinking = Some(value),
                // The sound of an earlier answer, by its id.
                "audio" => return Err(Uncacheable::RemoteContent),
                "tool_calls" if value.is_array() => this.tool_calls = Some(value),
                "tool_call_id" if text.is_some() => this.call_id = text,
                "tool_name" if ollama && text.is_some() => this.name = text,
                "name" if openai && text.is_some() => this.name = text,
                _ => this.others.push((key, value)),
            }
        }
        Ok(this)
    }
}

fn message<'t>(sink: &mut Sink, message: Value<'t>, openai: bool, calls: &mut Calls<'t>) -> Result<(), Uncacheable> {
    let message = Message::read(message, openai)?;
    sink.tag(b'm');
    match message.role {
        Some(role) if !openai && role.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            sink.text(&role.to_ascii_lowercase());
        }
        role => sink.maybe(role),
    }
    parts(sink, &message)?;
    sink.maybe(message.thinking.and_then(Value::text).filter(|text| !text.is_empty()));
    sink.tag(b'c');
    for call in message.tool_calls.into_iter().flat_map(Value::items) {
        tool_call(sink, call, calls)?;
    }
    sink.tag(b'.');
    let mut name = message.name;
    match message.call_id {
        Some(id) => {
            name = name.or(calls.name(id));
            sink.tag(b'#');
            sink.count(calls.number(id, None));
        }
        None => sink.tag(b'-'),
    }
    sink.maybe(name);
    sink.count(message.others.len());
    for (key, value) in message.others {
        sink.text(key);
        sink.value(value)?;
    }
    Ok(())
}

/// Text and images in order. Ollama's images follow the text; empty text is no part.
fn parts(sink: &mut Sink, message: &Message<'_>) -> Result<(), Uncacheable> {
    sink.tag(b'p');
    // Ollama makes messages of the parts; what stands beside them then belongs to none, or to the last.
    let beside = message.thinking.is_some() || message.call_id.is_some() || message.name.is_some();
    if beside && message.content.is_some_and(Value::is_array) {
        sink.tag(b'A');
    }
    match message.content.map(|content| (content, content.node())) {
        None => {}
        Some((_, Node::Text(text))) => text_part(sink, text),
        Some((content, Node::Array)) => content.items().try_for_each(|item| part(sink, item))?,
        Some((content, _)) => sink.value(content)?,
    }
    for item in message.images.into_iter().flat_map(Value::items) {
        image(sink, item, None)?;
    }
    sink.tag(b'.');
    Ok(())
}

fn text_part(sink: &mut Sink, text: &str) {
    if !text.is_empty() {
        sink.tag(b'T');
        sink.text(text);
    }
}

fn part(sink: &mut Sink, part: Value<'_>) -> Result<(), Uncacheable> {
    let known = |names: &[&str]| part.members().all(|(key, _)| names.contains(&key));
    match part.get("type").and_then(Value::text) {
        // `cache_control` marks where a provider's own cache may cut: price, not content.
        Some("text") if known(&["type", "text", "cache_control"]) => {
            let text = part.get("text").and_then(Value::text).ok_or(Uncacheable::Unreadable)?;
            text_part(sink, text);
            Ok(())
        }
        Some("image_url") if known(&["type", "image_url", "cache_control"]) => {
            let holder = part.get("image_url").ok_or(Uncacheable::Unreadable)?;
            if !holder.is_object() {
                return image(sink, holder, None);
            }
            if !holder.members().all(|(key, _)| matches!(key, "url" | "detail")) {
                return Err(Uncacheable::RemoteContent);
            }
            let detail = holder.get("detail").and_then(Value::text).filter(|detail| *detail != "auto");
            image(sink, holder.get("url").ok_or(Uncacheable::Unreadable)?, detail)
        }
        Some("text" | "refusal" | "thinking") => sink.value(part),
        Some("file") if part.get("file").is_some_and(|file| file.get("file_id").is_some()) => {
            Err(Uncacheable::RemoteContent)
        }
        Some("input_audio" | "file") if !names_a_place(part) => sink.value(part),
        // Whatever else it is, its content may lie somewhere else.
        _ => Err(Uncacheable::RemoteContent),
    }
}

/// A URL in it, at any depth but `data:`.
pub(super) fn names_a_place(value: Value<'_>) -> bool {
    value.text().is_some_and(|text| text.contains("://"))
        || value.items().any(names_a_place)
        || value.members().any(|(_, value)| names_a_place(value))
}

/// An image by its bytes in base64: a `data:` URL and a bare string of the same bytes are the same image.
pub(super) fn image(sink: &mut Sink, value: Value<'_>, detail: Option<&str>) -> Result<(), Uncacheable> {
    let text = value.text().ok_or(Uncacheable::Unreadable)?;
    let (kind, payload) = match text.strip_prefix("data:") {
        Some(rest) => match rest.split_once(',') {
            Some((kind, payload)) if kind.ends_with(";base64") => (kind, payload),
            // Written as text, or not at all.
            _ => return Err(Uncacheable::RemoteContent),
        },
        None if text.contains(':') => return Err(Uncacheable::RemoteContent),
        None => ("image/", text),
    };
    sink.tag(b'I');
    // Which image type it is can be seen in the bytes, and half the clients say it wrong.
    sink.maybe(if kind.is_empty() || kind.starts_with("image/") { None } else { Some(kind) });
    sink.text(payload.trim_end_matches('='));
    sink.maybe(detail);
    Ok(())
}

/// `{id?, type?, function: {name, arguments}}`, the arguments as text (OpenAI) or as an object (Ollama).
fn tool_call<'t>(sink: &mut Sink, call: Value<'t>, calls: &mut Calls<'t>) -> Result<(), Uncacheable> {
    let function = call.get("function").filter(|function| function.is_object());
    let Some(function) = function else {
        return sink.value(call);
    };
    let name = function.get("name").and_then(Value::text);
    sink.tag(b'C');
    match call.get("id").and_then(Value::text).filter(|id| !id.is_empty()) {
        Some(id) => {
            sink.tag(b'#');
            sink.count(calls.number(id, name));
        }
        None => sink.tag(b'-'),
    }
    sink.maybe(name);
    arguments(sink, function.get("arguments"))?;
    sink.object_without(call, |key, value| match key {
        "id" | "function" | "index" => true,
        "type" => value.is_null() || value.text() == Some("function"),
        _ => false,
    })?;
    sink.object_without(function, |key, _| matches!(key, "name" | "arguments" | "index"))
}

/// The value that the text holds, where it holds one.
fn arguments(sink: &mut Sink, arguments: Option<Value<'_>>) -> Result<(), Uncacheable> {
    let text = match arguments.map(Value::node) {
        Some(Node::Text(text)) => text.trim(),
        Some(Node::Null) | None => "",
        Some(_) => return arguments.map_or(Ok(()), |value| sink.value(value)),
    };
    let mut reader = std::mem::take(&mut sink.within);
    let read = reader.read(if text.is_empty() { b"{}" } else { text.as_bytes() }, |value| sink.value(value));
    sink.within = reader;
    match read {
        Ok(written) => written,
        // No JSON, then: text as any.
        Err(Uncacheable::Unreadable) => {
            sink.tag(b'!');
            sink.text(text);
            Ok(())
        }
        Err(refusal) => Err(refusal),
    }
}
