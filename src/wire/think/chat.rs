//! Reads events of the chat-like formats: OpenAI chat and completions, Ollama chat and generate. The shape decides, not
//! the path: relays answer on one path in the shape of another.

use super::scratch::{Choice, Head, Name, Reason, Scratch, Text};
use crate::wire::json::edit::Item;
use crate::wire::json::scan::{Bad, Cursor, Kind, Span, Value};
use crate::wire::json::string;

/// A key that may be spelled with escapes, as a plain one.
#[inline]
pub(crate) fn key_of(bytes: &[u8], key: Span) -> &[u8] {
    let raw = &bytes[key.start + 1..key.end - 1];
    if raw.contains(&b'\\') { plain_key(raw) } else { raw }
}

/// The known key that `raw` spells with escapes, else `raw` itself.
#[cold]
fn plain_key(raw: &[u8]) -> &[u8] {
    const KNOWN: &[&str] = &[
        "choices",
        "delta",
        "message",
        "text",
        "index",
        "finish_reason",
        "logprobs",
        "usage",
        "error",
        "id",
        "object",
        "created",
        "model",
        "created_at",
        "content",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "reasoning_text",
        "thinking",
        "thinking_blocks",
        "provider_specific_fields",
        "role",
        "tool_calls",
        "function_call",
        "refusal",
        "type",
        "response",
        "done",
        "done_reason",
        "part",
        "item",
        "output",
        "signature",
        "content_block",
        "output_index",
        "content_index",
        "item_id",
        "sequence_number",
        "summary",
        "n",
        "stream",
        "echo",
        "messages",
        "prompt",
        "stream_options",
        "include_usage",
        "max_tokens",
    ];
    KNOWN.iter().find(|known| string::spells(raw, known)).map_or(raw, |known| known.as_bytes())
}

/// A non-negative integer; `None` for anything else.
pub(crate) fn integer(bytes: &[u8], value: Value) -> Option<u32> {
    std::str::from_utf8(value.span.of(bytes)).ok()?.parse().ok()
}

/// Which of the chat-like formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Ollama,
}

/// Read one JSON text. `scratch` must be clear.
pub(crate) fn read(family: Family, bytes: &[u8], at: usize, scratch: &mut Scratch) -> Result<Head, Bad> {
    let mut cursor = Cursor::new(bytes, at);
    let mut head = Head::default();
    match family {
        Family::OpenAi => openai(&mut cursor, &mut head, scratch)?,
        Family::Ollama => ollama(&mut cursor, &mut head, scratch)?,
    }
    cursor.finish()?;
    Ok(head)
}

fn openai(cursor: &mut Cursor, head: &mut Head, scratch: &mut Scratch) -> Result<(), Bad> {
    cursor.object(|cursor, key| {
        match key_of(cursor.bytes, key) {
            b"choices" if cursor.peek()? == b'[' => {
                cursor.array(|cursor| {
                    if cursor.peek()? == b'{' { choice(cursor, scratch) } else { cursor.value().map(|_| ()) }
                })?;
            }
            b"id" | b"object" | b"created" | b"model" | b"system_fingerprint" => {
                let value = cursor.value()?;
                head.envelope.add(key, value);
            }
            b"service_tier" | b"provider" | b"obfuscation" => {
                cursor.value()?;
            }
            name => {
                let error = name == b"error";
                let said = cursor.value()?.kind != Kind::Null;
                head.keeps |= said;
                head.error |= error && said;
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn choice(cursor: &mut Cursor, scratch: &mut Scratch) -> Result<(), Bad> {
    let mut choice = Choice {
        texts: scratch.texts.len()..scratch.texts.len(),
        reasons: scratch.reasons.len()..scratch.reasons.len(),
        lists: scratch.lists.len()..scratch.lists.len(),
        objects: scratch.objects.len()..scratch.objects.len(),
        ..Choice::default()
    };
    cursor.object(|cursor, key| {
        match key_of(cursor.bytes, key) {
            b"index" => {
                let value = cursor.value()?;
                choice.index = integer(cursor.bytes, value).unwrap_or(0);
            }
            b"delta" | b"message" if cursor.peek()? == b'{' => message(cursor, Family::OpenAi, &mut choice, scratch)?,
            b"text" => {
                let value = cursor.value()?;
                push_text(scratch, key, value, true);
            }
            b"finish_reason" => {
                let value = cursor.value()?;
                choice.ends |= !value.says_nothing(cursor.bytes);
            }
            b"logprobs" => {
                let value = cursor.value()?;
                choice.logprobs = (value.kind != Kind::Null).then_some(value.span);
            }
            _ => choice.keeps |= cursor.value()?.kind != Kind::Null,
        }
        Ok(())
    })?;
    finish_choice(&mut choice, scratch);
    scratch.choices.push(choice);
    Ok(())
}

/// `text` counts only in a choice that has no message.
fn finish_choice(choice: &mut Choice, scratch: &mut Scratch) {
    let start = choice.texts.start;
    if scratch.texts[start..].iter().any(|text| text.legacy) {
        if choice.body.is_empty() {
            choice.legacy = true;
        } else {
            let mut nth = 0;
            scratch.texts.retain(|text| {
                nth += 1;
                nth <= start || !text.legacy
            });
        }
    }
    choice.texts = start..scratch.texts.len();
    choice.reasons.end = scratch.reasons.len();
    choice.lists.end = scratch.lists.len();
    choice.objects.end = scratch.objects.len();
}

fn push_text(scratch: &mut Scratch, key: Span, value: Value, legacy: bool) {
    let (body, null) = match (value.text(), value.kind) {
        (Some(body), _) => (body, false),
        (None, Kind::Null) => (value.span, true),
        _ => return,
    };
    scratch.texts.push(Text { body, null, member: key.start, legacy });
}

/// The object that holds the text: `delta`, `message`, or the root of Ollama's generate.
fn message(cursor: &mut Cursor, family: Family, choice: &mut Choice, scratch: &mut Scratch) -> Result<(), Bad> {
    let first = scratch.members.len();
    choice.body = cursor.object(|cursor, key| {
        let item = scratch.members.len();
        let name = key_of(cursor.bytes, key);
        let end = member(cursor, name, key, item, family, choice, scratch)?;
        scratch.members.push(Item { span: Span::new(key.start, end), remove: false });
        Ok(())
    })?;
    scratch.objects.push(first..scratch.members.len());
    Ok(())
}

/// One member of a message; the answer is where its value ends.
fn member(
    cursor: &mut Cursor,
    name: &[u8],
    key: Span,
    item: usize,
    family: Family,
    choice: &mut Choice,
    scratch: &mut Scratch,
) -> Result<usize, Bad> {
    if name == b"content" && cursor.peek()? == b'[' {
        return parts(cursor, key, choice, scratch);
    }
    let value = cursor.value()?;
    let reason = match name {
        b"content" => {
            push_text(scratch, key, value, false);
            return Ok(value.span.end);
        }
        b"reasoning_content" => Some(Name::ReasoningContent),
        b"reasoning" => Some(Name::Reasoning),
        b"thinking" => Some(Name::Thinking),
        b"reasoning_details" | b"reasoning_text" | b"thinking_blocks" => Some(Name::Copy),
        b"provider_specific_fields" => holds_thinking(value.span.of(cursor.bytes)).then_some(Name::Copy),
        _ => None,
    };
    if let Some(name) = reason {
        scratch.reasons.push(Reason { name, value, item });
        return Ok(value.span.end);
    }
    match name {
        // Ollama names the role in every line.
        b"role" if family == Family::Ollama => {}
        b"tool_calls" | b"function_call" => choice.tools |= !value.says_nothing(cursor.bytes),
        b"refusal" | b"audio" | b"annotations" | b"images" | b"provider_specific_fields" => {
            choice.keeps |= !value.says_nothing(cursor.bytes);
        }
        _ => choice.keeps |= value.kind != Kind::Null,
    }
    Ok(value.span.end)
}

/// Relays repeat a reasoning field in a bag of their own.
fn holds_thinking(value: &[u8]) -> bool {
    memchr::memmem::find(value, b"\"reasoning").is_some() || memchr::memmem::find(value, b"\"thinking").is_some()
}

/// `content` as an array of parts (Mistral, Anthropic).
pub(crate) fn parts(cursor: &mut Cursor, key: Span, choice: &mut Choice, scratch: &mut Scratch) -> Result<usize, Bad> {
    let first = scratch.parts.len();
    let span = cursor.array(|cursor| {
        cursor.peek()?;
        let start = cursor.at;
        if cursor.bytes[start] == b'{' {
            part(cursor, key, choice, scratch)?;
        } else {
            cursor.value()?;
            choice.keeps = true;
        }
        scratch.parts.push(Item { span: Span::new(start, cursor.at), remove: false });
        Ok(())
    })?;
    scratch.lists.push(first..scratch.parts.len());
    Ok(span.end)
}

fn part(cursor: &mut Cursor, key: Span, choice: &mut Choice, scratch: &mut Scratch) -> Result<(), Bad> {
    #[derive(PartialEq)]
    enum Type {
        Text,
        Thinking,
        Other,
    }
    let mut kind = Type::Other;
    let (mut text, mut thinking) = (None, None);
    let span = cursor.object(|cursor, key| {
        let name = key_of(cursor.bytes, key);
        let value = cursor.value()?;
        match name {
            b"type" => {
                let says = |word| value.text().is_some_and(|raw| string::spells(raw.of(cursor.bytes), word));
                kind = match () {
                    () if says("text") || says("output_text") => Type::Text,
                    () if says("thinking") || says("redacted_thinking") || says("reasoning") => Type::Thinking,
                    () => Type::Other,
                };
            }
            b"text" => text = Some(value),
            b"thinking" => thinking = Some(value),
            _ => {}
        }
        Ok(())
    })?;
    match (kind, text) {
        (Type::Text, Some(text)) if text.kind == Kind::String => push_text(scratch, key, text, false),
        (Type::Thinking, _) => {
            let value = thinking.unwrap_or(Value { kind: Kind::Object, span });
            scratch.reasons.push(Reason { name: Name::Part, value, item: scratch.parts.len() });
        }
        _ => choice.keeps = true,
    }
    Ok(())
}

/// Ollama: `message` is the message (chat), or the root itself is it, with `response` as its content (generate).
fn ollama(cursor: &mut Cursor, head: &mut Head, scratch: &mut Scratch) -> Result<(), Bad> {
    let mut choice = Choice::default();
    let root = cursor.object(|cursor, key| {
        let end = root_member(cursor, key, &mut choice, head, scratch)?;
        scratch.roots.push(Item { span: Span::new(key.start, end), remove: false });
        Ok(())
    })?;
    if head.in_message {
        scratch.texts.retain(|text| !text.legacy);
    } else {
        choice.body = root;
        std::mem::swap(&mut scratch.members, &mut scratch.roots);
        scratch.reasons.append(&mut scratch.root_reasons);
        scratch.objects.push(0..scratch.members.len());
    }
    choice.texts = 0..scratch.texts.len();
    choice.reasons = 0..scratch.reasons.len();
    choice.lists = 0..scratch.lists.len();
    choice.objects = 0..scratch.objects.len();
    head.keeps |= choice.ends;
    if head.in_message || !scratch.texts.is_empty() || !scratch.reasons.is_empty() {
        scratch.choices.push(choice);
    }
    Ok(())
}

fn root_member(
    cursor: &mut Cursor,
    key: Span,
    choice: &mut Choice,
    head: &mut Head,
    scratch: &mut Scratch,
) -> Result<usize, Bad> {
    let name = key_of(cursor.bytes, key);
    if name == b"message" && cursor.peek()? == b'{' {
        head.in_message = true;
        message(cursor, Family::Ollama, choice, scratch)?;
        return Ok(cursor.at);
    }
    let value = cursor.value()?;
    match name {
        b"model" | b"created_at" => head.envelope.add(key, value),
        b"response" => push_text(scratch, key, value, true),
        b"thinking" => scratch.root_reasons.push(Reason { name: Name::Thinking, value, item: scratch.roots.len() }),
        b"done" => choice.ends |= value.kind == Kind::True,
        b"logprobs" => choice.logprobs = (value.kind != Kind::Null).then_some(value.span),
        b"remote_model" | b"remote_host" => {}
        b"error" => {
            head.error |= value.kind != Kind::Null;
            head.keeps |= head.error;
        }
        _ => head.keeps |= value.kind != Kind::Null,
    }
    Ok(value.span.end)
}

/// Append the thinking that a part holds: a string, or an array of parts with texts.
pub(crate) fn texts_of(bytes: &[u8], value: Value, to: &mut Vec<u8>) {
    if let Some(body) = value.text() {
        to.extend_from_slice(body.of(bytes));
    } else if value.kind == Kind::Array {
        let mut cursor = Cursor::new(&bytes[..value.span.end], value.span.start);
        let _ = cursor.array(|cursor| {
            if cursor.peek()? != b'{' {
                return cursor.value().map(|_| ());
            }
            cursor.object(|cursor, key| {
                let name = key_of(cursor.bytes, key);
                let value = cursor.value()?;
                if let Some(body) = value.text().filter(|_| name == b"text") {
                    to.extend_from_slice(body.of(cursor.bytes));
                }
                Ok(())
            })?;
            Ok(())
        });
    }
}
