//! Whether what came is what the mock server said. A wrong byte is an error, not a latency.

use serde::de::IgnoredAny;

use super::expected::Expected;
use super::fault::Fault;
use crate::script::text::NONCE_BYTES;
use crate::script::{Dialect, Shape};
use crate::wire::json;

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Only that the reply is well formed and ends as it should: for real model servers, whose words nobody knows.
    Framing,
    /// The visible text, to the byte.
    Text,
    /// The JSON around the text too: for proxies that promise to pass bytes as they came.
    Bytes,
}

/// What the proxy does to thinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Removes it.
    Stripped,
    /// Passes it on.
    Kept,
}

/// The check of one reply.
#[derive(Debug, Default)]
pub struct Check {
    nonce: [u8; NONCE_BYTES],
    /// The text this reply must have.
    text: Vec<u8>,
    at: usize,
    /// The script's events whose text is there; with framing only, events that carried text.
    pub events: u32,
    /// Any text came.
    pub begun: bool,
    finished: bool,
    end_mark: bool,
    /// The end was announced too early or for another reason, or something came behind it.
    disorder: bool,
    /// An error event came: the proxy says that the answer is broken.
    pub error_event: bool,
}

impl Check {
    /// Ready for the reply to the request with this nonce.
    pub fn begin(&mut self, expected: &Expected, nonce: [u8; NONCE_BYTES]) {
        self.text.clear();
        self.text.extend_from_slice(&expected.text);
        for &at in &expected.nonces {
            self.text[at..at + NONCE_BYTES].copy_from_slice(&nonce);
        }
        *self = Self { nonce, text: std::mem::take(&mut self.text), ..Self::default() };
    }

    /// One event of a stream, or the whole of a JSON reply. What is wrong about the end is said by [`Check::end`]: an end mark that comes
    /// too early must not excuse an answer that was expected to be broken.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn event(&mut self, payload: &[u8], expected: &Expected) -> Result<(), Fault> {
        if expected.is_leak(payload) {
            return Err(Fault::Leak);
        }
        if self.end_mark {
            self.disorder = true;
            return Ok(());
        }
        if payload == b"[DONE]" && expected.dialect() == Dialect::OpenAi {
            self.end_mark = true;
            return Ok(());
        }
        let Some(span) = json::string_span(payload, "content") else {
            return self.without_text(payload, expected);
        };
        let content = json::unescape(&payload[span.clone()]).ok_or(Fault::Framing)?;
        let (before, after) = (&payload[..span.start], &payload[span.end..]);
        let around = &expected.envelope;
        let ours = before == around.before.as_bytes()
            && (after == around.after.as_bytes() || after == around.after_last.as_bytes());
        // What has the mock server's JSON around the right text is JSON; the rest may be another one, but must be one.
        let known = ours && expected.strictness != Strictness::Framing;
        if !known && !is_json(payload) {
            return Err(Fault::Framing);
        }
        let counted = self.events;
        if !content.is_empty() {
            if self.finished {
                self.disorder = true;
                return Ok(());
            }
            self.begun = true;
            self.compare(&content, expected)?;
        }
        let last = self.note_end(before, after, expected);
        if expected.strictness == Strictness::Bytes {
            let end = if last { around.after_last } else { around.after };
            let one = self.events == counted + 1 && self.at == expected.ends[counted as usize];
            let rewritten = !expected.escaped && memchr::memchr(b'\\', &payload[span]).is_some();
            if !ours || !one || after != end.as_bytes() || rewritten {
                return Err(Fault::Envelope);
            }
        }
        Ok(())
    }

    fn compare(&mut self, content: &[u8], expected: &Expected) -> Result<(), Fault> {
        if expected.strictness == Strictness::Framing {
            self.events += 1;
            return Ok(());
        }
        let wanted = self.text.get(self.at..self.at + content.len());
        if wanted == Some(content) {
            self.at += content.len();
            while expected.ends.get(self.events as usize).is_some_and(|end| *end <= self.at) {
                self.events += 1;
            }
            return Ok(());
        }
        Err(if self.is_foreign(content, expected) { Fault::Foreign } else { Fault::Text })
    }

    /// Text that is right up to a nonce, where another request's stands.
    fn is_foreign(&self, content: &[u8], expected: &Expected) -> bool {
        let from = expected.nonces.partition_point(|nonce| *nonce < self.at);
        expected.nonces[from..].iter().map(|nonce| nonce - self.at).any(|at| {
            let Some(found) = content.get(at..at + NONCE_BYTES) else { return false };
            found != self.nonce
                && found.iter().all(u8::is_ascii_hexdigit)
                && content.get(at + NONCE_BYTES) == Some(&b'.')
                && self.text.get(self.at..self.at + at) == Some(&content[..at])
        })
    }

    /// Looks for the announcement of the end in the JSON around the text.
    fn note_end(&mut self, before: &[u8], after: &[u8], expected: &Expected) -> bool {
        let reason = |key: &str| {
            [before, after].into_iter().find_map(|part| json::string_span(part, key).map(|span| &part[span]))
        };
        let (last, why) = match expected.dialect() {
            Dialect::OpenAi => {
                // Some servers write an empty reason where others write null.
                let why = reason("finish_reason").filter(|why| !why.is_empty());
                (why.is_some(), why)
            }
            Dialect::Ollama => {
                let done = |part: &[u8]| {
                    [b"\"done\":true".as_slice(), b"\"done\": true"]
                        .iter()
                        .any(|mark| memchr::memmem::find(part, mark).is_some())
                };
                let last = done(before) || done(after);
                (last, if last { reason("done_reason") } else { None })
            }
        };
        if last && expected.strictness != Strictness::Framing {
            self.disorder |= self.at != self.text.len() || why.is_some_and(|why| why != b"stop");
        }
        self.finished |= last;
        if expected.dialect() == Dialect::Ollama || expected.shape() == Shape::Json {
            self.end_mark |= last;
        }
        last
    }

    fn without_text(&mut self, payload: &[u8], expected: &Expected) -> Result<(), Fault> {
        if !is_json(payload) {
            return Err(Fault::Framing);
        }
        if memchr::memmem::find(payload, b"\"error\"").is_some() && !has_no_error(payload) {
            self.error_event = true;
            return Ok(());
        }
        if expected.strictness == Strictness::Bytes {
            // The mock server sends no event without text.
            return Err(Fault::Envelope);
        }
        self.note_end(payload, b"", expected);
        Ok(())
    }

    /// The end was announced, in whatever order, and no error: a client takes the answer for a whole one.
    #[must_use]
    pub fn looks_whole(&self) -> bool {
        self.finished && self.end_mark && !self.error_event
    }

    /// The body has ended as HTTP says: was everything there?
    ///
    /// # Errors
    /// [`Fault::End`] when not.
    pub fn end(&self, expected: &Expected) -> Result<(), Fault> {
        let all_text = expected.strictness == Strictness::Framing || self.at == self.text.len();
        if all_text && self.looks_whole() && !self.disorder { Ok(()) } else { Err(Fault::End) }
    }
}

fn is_json(payload: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(payload).is_ok()
}

/// It has a place for an error, and there is none.
fn has_no_error(payload: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(payload)
        .is_ok_and(|value| value.get("error").is_some_and(serde_json::Value::is_null))
}

#[cfg(test)]
mod tests;
