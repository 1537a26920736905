//! Whether what came is what the mock server said. A wrong byte is an error, not a latency.

use crate::script::text::{self, NONCE_BYTES, THINKING_MARK};
use crate::script::{Dialect, Script, Shape};
use crate::wire::events::EventTooLong;
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

/// Why a reply is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// No connection.
    Connect,
    /// The connection broke before the reply was whole.
    Truncated,
    /// The reply took too long.
    Timeout,
    /// Not HTTP, or chunks or events that break the rules.
    Framing,
    /// Another status than expected.
    Status,
    /// Text that was not sent: missing, doubled, out of order, changed.
    Text,
    /// Another request's text.
    Foreign,
    /// Thinking that should have been removed.
    Leak,
    /// The text is right, the JSON around it is not.
    Envelope,
    /// No end mark, text missing before it, or something behind it.
    End,
    /// A failure of the upstream was passed on as if it were a whole answer.
    HiddenFailure,
}

impl Fault {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::Connect => "connect",
            Fault::Truncated => "truncated",
            Fault::Timeout => "timeout",
            Fault::Framing => "framing",
            Fault::Status => "status",
            Fault::Text => "text",
            Fault::Foreign => "foreign",
            Fault::Leak => "leak",
            Fault::Envelope => "envelope",
            Fault::End => "end",
            Fault::HiddenFailure => "hidden_failure",
        }
    }
}

impl From<EventTooLong> for Fault {
    fn from(_: EventTooLong) -> Self {
        Fault::Framing
    }
}

/// The reply that a script should give, without a nonce.
#[derive(Clone, Debug)]
pub struct Expected {
    shape: Shape,
    dialect: Dialect,
    strictness: Strictness,
    thinking: Thinking,
    /// The visible text, or all text.
    text: Vec<u8>,
    nonces: Vec<usize>,
    envelope: text::Envelope,
}

impl Expected {
    /// What `script` should give in `dialect` through a proxy that treats thinking so.
    #[must_use]
    pub fn new(script: &Script, dialect: Dialect, strictness: Strictness, thinking: Thinking) -> Self {
        let (mut text, mut nonces) = (Vec::new(), Vec::new());
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
        }
        let envelope = text::envelope(dialect, script.shape);
        Self { shape: script.shape, dialect, strictness, thinking, text, nonces, envelope }
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
}

/// The check of one reply.
#[derive(Debug, Default)]
pub struct Check {
    nonce: [u8; NONCE_BYTES],
    /// The text this reply must have.
    text: Vec<u8>,
    at: usize,
    /// Events that carried text.
    pub events: u32,
    finished: bool,
    end_mark: bool,
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

    /// One event of a stream, or the whole of a JSON reply. Says whether it carried text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn event(&mut self, payload: &[u8], expected: &Expected) -> Result<bool, Fault> {
        if self.end_mark {
            return Err(Fault::End);
        }
        if payload == b"[DONE]" && expected.dialect == Dialect::OpenAi {
            self.end_mark = true;
            return Ok(false);
        }
        if expected.thinking == Thinking::Stripped && memchr::memchr(THINKING_MARK, payload).is_some() {
            return Err(Fault::Leak);
        }
        let Some(span) = json::string_span(payload, "content") else {
            return self.without_text(payload, expected);
        };
        let content = json::unescape(&payload[span.clone()]).ok_or(Fault::Framing)?;
        self.compare(&content, expected)?;
        let last = self.note_end(&payload[span.end..], expected);
        if expected.strictness == Strictness::Bytes {
            let after = if last { expected.envelope.after_last } else { expected.envelope.after };
            if &payload[..span.start] != expected.envelope.before.as_bytes() || &payload[span.end..] != after.as_bytes()
            {
                return Err(Fault::Envelope);
            }
        }
        let carried = !content.is_empty();
        self.events += u32::from(carried);
        Ok(carried)
    }

    fn compare(&mut self, content: &[u8], expected: &Expected) -> Result<(), Fault> {
        if expected.strictness == Strictness::Framing {
            return Ok(());
        }
        let wanted = self.text.get(self.at..self.at + content.len());
        if wanted == Some(content) {
            self.at += content.len();
            return Ok(());
        }
        let foreign = self.text.get(self.at..self.at + NONCE_BYTES) == Some(&self.nonce)
            && content.len() > NONCE_BYTES + 6
            && content[..NONCE_BYTES] != self.nonce
            && content[..NONCE_BYTES].iter().all(u8::is_ascii_hexdigit)
            && content[NONCE_BYTES] == b'.';
        Err(if foreign { Fault::Foreign } else { Fault::Text })
    }

    fn note_end(&mut self, behind_text: &[u8], expected: &Expected) -> bool {
        let last = match expected.dialect {
            Dialect::OpenAi => json::string_span(behind_text, "finish_reason").is_some(),
            Dialect::Ollama => [b"\"done\":true".as_slice(), b"\"done\": true"]
                .iter()
                .any(|mark| memchr::memmem::find(behind_text, mark).is_some()),
        };
        self.finished |= last;
        if expected.dialect == Dialect::Ollama || expected.shape == Shape::Json {
            self.end_mark |= last;
        }
        last
    }

    fn without_text(&mut self, payload: &[u8], expected: &Expected) -> Result<bool, Fault> {
        if serde_json::from_slice::<serde_json::Value>(payload).is_err() {
            return Err(Fault::Framing);
        }
        if memchr::memmem::find(payload, b"\"error\"").is_some() {
            self.error_event = true;
        }
        self.note_end(payload, expected);
        Ok(false)
    }

    /// The body has ended as HTTP says: was everything there?
    ///
    /// # Errors
    /// [`Fault::End`] when not.
    pub fn end(&self, expected: &Expected) -> Result<(), Fault> {
        let all_text = expected.strictness == Strictness::Framing || self.at == self.text.len();
        if all_text && self.finished && self.end_mark && !self.error_event { Ok(()) } else { Err(Fault::End) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::text::Event;

    fn script() -> Script {
        Script::parse("mock-stream-e4-b200-think2").unwrap()
    }

    fn sent(nonce: &[u8; NONCE_BYTES]) -> Vec<Vec<u8>> {
        let with_nonce = |event: Event| {
            let mut payload = event.payload;
            if let Some(at) = event.nonce_at {
                payload[at..at + NONCE_BYTES].copy_from_slice(nonce);
            }
            payload
        };
        let mut all: Vec<_> = text::events(&script(), Dialect::OpenAi).into_iter().map(with_nonce).collect();
        all.push(b"[DONE]".to_vec());
        all
    }

    fn judge(payloads: &[Vec<u8>], strictness: Strictness, thinking: Thinking) -> Result<u32, Fault> {
        let expected = Expected::new(&script(), Dialect::OpenAi, strictness, thinking);
        let mut check = Check::default();
        check.begin(&expected, *b"0000beef");
        for payload in payloads {
            check.event(payload, &expected)?;
        }
        check.end(&expected).map(|()| check.events)
    }

    #[test]
    fn what_was_sent_is_right_kept_or_stripped() {
        let all = sent(b"0000beef");
        assert_eq!(judge(&all, Strictness::Bytes, Thinking::Kept), Ok(6));
        assert_eq!(judge(&all[2..], Strictness::Bytes, Thinking::Stripped), Ok(4));
        assert_eq!(judge(&all, Strictness::Bytes, Thinking::Stripped), Err(Fault::Leak));
        assert_eq!(judge(&all[2..], Strictness::Bytes, Thinking::Kept), Err(Fault::Text));
    }

    #[test]
    fn every_missing_doubled_or_swapped_event_is_seen() {
        let all = sent(b"0000beef")[2..].to_vec();
        let judge = |events: &[Vec<u8>]| judge(events, Strictness::Text, Thinking::Stripped);
        for at in 0..all.len() {
            let mut missing = all.clone();
            missing.remove(at);
            assert!(judge(&missing).is_err(), "without {at}");
            let mut doubled = all.clone();
            doubled.insert(at, all[at].clone());
            assert!(judge(&doubled).is_err(), "twice {at}");
            if at > 0 {
                let mut swapped = all.clone();
                swapped.swap(at, at - 1);
                assert!(judge(&swapped).is_err(), "swapped {at}");
            }
        }
    }

    #[test]
    fn every_changed_byte_is_seen_when_bytes_count() {
        let all = sent(b"0000beef")[2..].to_vec();
        for event in 0..all.len() {
            for at in 0..all[event].len() {
                let mut changed = all.clone();
                changed[event][at] ^= 1;
                let verdict = judge(&changed, Strictness::Bytes, Thinking::Stripped);
                assert!(verdict.is_err(), "event {event} byte {at}");
            }
        }
    }

    #[test]
    fn foreign_text_has_a_name() {
        let all = sent(b"0000f00d")[2..].to_vec();
        assert_eq!(judge(&all, Strictness::Text, Thinking::Stripped), Err(Fault::Foreign));
    }

    #[test]
    fn text_may_come_in_other_pieces_and_escapes() {
        let whole = {
            let expected = Expected::new(&script(), Dialect::OpenAi, Strictness::Text, Thinking::Stripped);
            let mut check = Check::default();
            check.begin(&expected, *b"0000beef");
            String::from_utf8(check.text).unwrap()
        };
        let escaped: String = whole.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
        for text in [whole, escaped] {
            let one = format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#).into_bytes();
            let finish = br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_vec();
            let got = judge(&[one, finish, b"[DONE]".to_vec()], Strictness::Text, Thinking::Stripped);
            assert_eq!(got, Ok(1));
        }
    }

    #[test]
    fn an_error_event_is_no_whole_answer() {
        let mut all = sent(b"0000beef")[2..].to_vec();
        all.insert(4, br#"{"error":{"message":"x"}}"#.to_vec());
        assert_eq!(judge(&all, Strictness::Framing, Thinking::Stripped), Err(Fault::End));
    }

    #[test]
    fn a_json_reply_is_one_event() {
        let script = Script::parse("mock-json-b1024-think1").unwrap();
        let payload = text::events(&script, Dialect::Ollama).remove(0).payload;
        for (thinking, want) in [(Thinking::Kept, Ok(true)), (Thinking::Stripped, Err(Fault::Leak))] {
            let expected = Expected::new(&script, Dialect::Ollama, Strictness::Bytes, thinking);
            let mut check = Check::default();
            check.begin(&expected, *text::NO_NONCE);
            assert_eq!(check.event(&payload, &expected), want);
            assert_eq!(check.end(&expected).is_ok(), want.is_ok());
        }
    }
}
