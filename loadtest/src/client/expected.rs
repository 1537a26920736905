//! The reply that a script should give.

use super::check::{Strictness, Thinking};
use crate::script::text::{self, THINKING_MARK};
use crate::script::{Dialect, Script, Shape};

/// The reply that a script should give, without a nonce.
#[derive(Clone, Debug)]
pub struct Expected {
    shape: Shape,
    dialect: Dialect,
    pub(super) strictness: Strictness,
    pub(super) thinking: Thinking,
    /// The visible text, or all text.
    pub(super) text: Vec<u8>,
    pub(super) nonces: Vec<usize>,
    /// Where in the text each event that the client should see ends: a proxy may split and merge events, so they are counted by text.
    pub(super) ends: Vec<usize>,
    pub(super) envelope: text::Envelope,
    /// The upstream writes parts of its text as escapes.
    pub(super) escaped: bool,
}

impl Expected {
    /// What `script` should give in `dialect` through a proxy that treats thinking so.
    #[must_use]
    pub fn new(script: &Script, dialect: Dialect, strictness: Strictness, thinking: Thinking) -> Self {
        let (mut text, mut nonces, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for event in text::events(script, dialect) {
            if event.thinking && thinking == Thinking::Stripped {
                continue;
            }
            let visible_from = match event.nonce_at {
                Some(_) => memchr::memmem::find(&event.text, text::NO_NONCE).unwrap_or(0),
                None => 0,
            };
            let from = if thinking == Thinking::Stripped { visible_from } else { 0 };
            if event.nonce_at.is_some() {
                nonces.push(text.len() + visible_from - from);
            }
            text.extend_from_slice(&event.text[from..]);
            ends.push(text.len());
        }
        let envelope = text::envelope(dialect, script.shape);
        Self {
            shape: script.shape,
            dialect,
            strictness,
            thinking,
            text,
            nonces,
            ends,
            envelope,
            escaped: script.escaped,
        }
    }

    /// JSON or stream.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The protocol of the reply.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Events that the client should see.
    #[must_use]
    pub fn events(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The media type of the mock server's answer; `None` when nobody can know it.
    #[must_use]
    pub fn media_type(&self) -> Option<&'static str> {
        match (self.strictness, self.shape, self.dialect) {
            (Strictness::Framing, ..) => None,
            (_, Shape::Json, _) => Some("application/json"),
            (_, Shape::Stream, Dialect::OpenAi) => Some("text/event-stream"),
            (_, Shape::Stream, Dialect::Ollama) => Some("application/x-ndjson"),
        }
    }

    /// Whether bytes carry thinking that should not be there. A real model may use the sign in its words.
    #[must_use]
    pub fn is_leak(&self, bytes: &[u8]) -> bool {
        self.strictness != Strictness::Framing
            && self.thinking == Thinking::Stripped
            && memchr::memchr(THINKING_MARK, bytes).is_some()
    }
}
