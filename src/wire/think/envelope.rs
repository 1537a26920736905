//! Events of our own: text that was held when its event was already gone, pieces that must not share an event, and
//! signs of life. They repeat the members of an event of the same stream (id, object, created, model).

use super::scratch::Envelope;
use crate::base::bounds::ENVELOPE_BYTES_MAX;

/// The form of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Chat,
    /// Legacy completions.
    Legacy,
    OllamaChat,
    OllamaGenerate,
    Anthropic,
    Responses,
}

impl Shape {
    /// The key of the text in the object that holds it.
    pub(crate) fn text_key(self) -> &'static str {
        match self {
            Self::Chat | Self::OllamaChat => "content",
            Self::Legacy | Self::Anthropic => "text",
            Self::OllamaGenerate => "response",
            Self::Responses => "delta",
        }
    }
}

/// Append the members, each with a comma behind it; those that would make it too long are left out.
pub(crate) fn render(envelope: &Envelope, bytes: &[u8], to: &mut Vec<u8>) {
    let start = to.len();
    for span in envelope.spans() {
        let member = span.of(bytes);
        if to.len() - start + member.len() < ENVELOPE_BYTES_MAX {
            to.extend_from_slice(member);
            to.push(b',');
        }
    }
}

/// What one event of our own says; texts are bodies of JSON strings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Says<'a> {
    pub(crate) index: u32,
    /// Keys of the members for thinking.
    pub(crate) fields: &'a [&'static str],
    pub(crate) thinking: &'a [u8],
    pub(crate) text: &'a [u8],
}

/// Append one event. `members` is what [`render`] wrote.
pub(crate) fn write(shape: Shape, members: &[u8], says: Says, to: &mut Vec<u8>) {
    let index = says.index.to_string();
    let index = index.as_bytes();
    let put = |to: &mut Vec<u8>, parts: &[&[u8]]| parts.iter().for_each(|part| to.extend_from_slice(part));
    let body = |to: &mut Vec<u8>| {
        for field in says.fields.iter().filter(|_| !says.thinking.is_empty()) {
            put(to, &[b"\"", field.as_bytes(), b"\":\"", says.thinking, b"\","]);
        }
        put(to, &[b"\"", shape.text_key().as_bytes(), b"\":\"", says.text, b"\""]);
    };
    match shape {
        Shape::Chat => {
            put(to, &[b"data: {", members, b"\"choices\":[{\"index\":", index, b",\"delta\":{"]);
            body(to);
            put(to, &[b"},\"finish_reason\":null}]}\n\n"]);
        }
        Shape::Legacy => {
            put(to, &[b"data: {", members, b"\"choices\":[{"]);
            body(to);
            put(to, &[b",\"index\":", index, b",\"logprobs\":null,\"finish_reason\":null}]}\n\n"]);
        }
        Shape::OllamaChat => {
            put(to, &[b"{", members, b"\"message\":{\"role\":\"assistant\","]);
            body(to);
            put(to, &[b"},\"done\":false}\n"]);
        }
        Shape::OllamaGenerate => {
            put(to, &[b"{", members]);
            body(to);
            put(to, &[b",\"done\":false}\n"]);
        }
        Shape::Anthropic => {
            const HEAD: &[u8] = b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
            put(to, &[HEAD, index, b",\"delta\":{\"type\":\"text_delta\",\"text\":\"", says.text, b"\"}}\n\n"]);
        }
        Shape::Responses => {
            const HEAD: &[u8] = b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",";
            put(to, &[HEAD, members, b"\"delta\":\"", says.text, b"\"}\n\n"]);
        }
    }
}
