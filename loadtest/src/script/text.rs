//! The words of a scripted answer. Every visible event begins with the request's nonce and its own number, so that a missing,
//! doubled, swapped or foreign event changes the text; thinking is marked with a sign that no visible byte has.

use super::{Dialect, Script, Shape};

/// Bytes of a nonce: lower-case hexadecimal digits.
pub const NONCE_BYTES: usize = 8;
/// Stands where a nonce will be.
pub const NO_NONCE: &[u8; NONCE_BYTES] = b"00000000";
/// What a request's text says before its nonce.
pub const NONCE_MARK: &[u8] = b"nonce=";
/// In every thinking event, in no other byte of an answer.
pub const THINKING_MARK: u8 = b'~';

/// One event as the upstream sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The JSON text.
    pub payload: Vec<u8>,
    /// Where in it the nonce is, if it is visible.
    pub nonce_at: Option<usize>,
    /// Its text, unescaped.
    pub text: Vec<u8>,
    /// It belongs to the thinking.
    pub thinking: bool,
}

/// The JSON text around an event's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Before the content.
    pub before: &'static str,
    /// After it.
    pub after: &'static str,
    /// After the last one's.
    pub after_last: &'static str,
    /// Bytes that the framing of an event adds.
    pub framing_bytes: usize,
}

/// The envelope of a dialect and shape.
#[must_use]
pub fn envelope(dialect: Dialect, shape: Shape) -> Envelope {
    match (dialect, shape) {
        (Dialect::OpenAi, Shape::Stream) => Envelope {
            before: r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"mock","choices":[{"index":0,"delta":{"content":""#,
            after: r#""},"finish_reason":null}]}"#,
            after_last: r#""},"finish_reason":"stop"}]}"#,
            framing_bytes: "data: \n\n".len(),
        },
        (Dialect::OpenAi, Shape::Json) => {
            let after =
                r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}"#;
            Envelope {
                before: r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":""#,
                after,
                after_last: after,
                framing_bytes: 0,
            }
        }
        (Dialect::Ollama, shape) => Envelope {
            before: r#"{"model":"mock","created_at":"2026-01-01T00:00:00.000001Z","message":{"role":"assistant","content":""#,
            after: r#""},"done":false}"#,
            after_last: r#""},"done":true,"done_reason":"stop"}"#,
            framing_bytes: usize::from(shape == Shape::Stream),
        },
    }
}

/// `bytes` letters that differ from one event to the next.
fn filler(number: u32, bytes: usize) -> impl Iterator<Item = u8> {
    (0..bytes).map(move |at| b'a' + ((number as usize * 7 + at) % 26) as u8)
}

/// All events of a script in order; a JSON answer is one event.
#[must_use]
pub fn events(script: &Script, dialect: Dialect) -> Vec<Event> {
    if script.shape == Shape::Json {
        return vec![json_event(script, dialect)];
    }
    let thinking = (0..script.think).map(|number| thinking_event(script, dialect, number));
    let visible = (0..script.events).map(|number| visible_event(script, dialect, number));
    thinking.chain(visible).collect()
}

fn tags(script: &Script) -> (&'static str, &'static str) {
    if script.escaped { (r"\u003cthink\u003e", r"\u003c/think\u003e") } else { ("<think>", "</think>") }
}

fn thinking_event(script: &Script, dialect: Dialect, number: u32) -> Event {
    let around = envelope(dialect, script.shape);
    let (open, close) = tags(script);
    let (open, close) = (if number == 0 { open } else { "" }, if number + 1 == script.think { close } else { "" });
    let fixed = around.before.len() + around.after.len() + around.framing_bytes + open.len() + close.len() + 1;
    let mut inner = vec![THINKING_MARK];
    inner.extend(filler(number, script.bytes.saturating_sub(fixed).max(1)));
    let payload =
        [around.before.as_bytes(), open.as_bytes(), &inner, close.as_bytes(), around.after.as_bytes()].concat();
    let plain = |tag: &str, text: &'static str| if tag.is_empty() { "" } else { text };
    let text = [plain(open, "<think>").as_bytes(), &inner, plain(close, "</think>").as_bytes()].concat();
    Event { payload, nonce_at: None, text, thinking: true }
}

/// Nonce, number, filler to the wanted size.
fn visible_text(number: u32, fixed: usize, bytes: usize) -> Vec<u8> {
    let mut text = NO_NONCE.to_vec();
    text.extend_from_slice(format!(".{number:05} ").as_bytes());
    let left = bytes.saturating_sub(fixed + text.len()).max(1);
    text.extend(filler(number, left));
    text
}

fn visible_event(script: &Script, dialect: Dialect, number: u32) -> Event {
    let around = envelope(dialect, script.shape);
    let after = if number + 1 == script.events { around.after_last } else { around.after };
    let text = visible_text(number, around.before.len() + after.len() + around.framing_bytes, script.bytes);
    let payload = [around.before.as_bytes(), &text, after.as_bytes()].concat();
    Event { payload, nonce_at: Some(around.before.len()), text, thinking: false }
}

fn json_event(script: &Script, dialect: Dialect) -> Event {
    let around = envelope(dialect, script.shape);
    let (open, close) = tags(script);
    let (raw, plain) = if script.think > 0 {
        let body = format!("{}reasons", char::from(THINKING_MARK));
        (format!("{open}{body}{close}"), format!("<think>{body}</think>"))
    } else {
        (String::new(), String::new())
    };
    let visible = visible_text(0, around.before.len() + around.after_last.len() + raw.len(), script.bytes);
    let payload = [around.before.as_bytes(), raw.as_bytes(), &visible, around.after_last.as_bytes()].concat();
    let text = [plain.as_bytes(), &visible].concat();
    Event { payload, nonce_at: Some(around.before.len() + raw.len()), text, thinking: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_asked_size_and_are_json() {
        for model in ["mock-stream-e5-b200-think3", "mock-stream-e5-b300-think3-escaped", "mock-json-b1024-think1"] {
            let script = Script::parse(model).unwrap();
            for dialect in [Dialect::OpenAi, Dialect::Ollama] {
                let around = envelope(dialect, script.shape);
                for event in events(&script, dialect) {
                    assert_eq!(event.payload.len() + around.framing_bytes, script.bytes, "{model}");
                    let value: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
                    let content = match (dialect, script.shape) {
                        (Dialect::OpenAi, Shape::Stream) => &value["choices"][0]["delta"]["content"],
                        (Dialect::OpenAi, Shape::Json) => &value["choices"][0]["message"]["content"],
                        (Dialect::Ollama, _) => &value["message"]["content"],
                    };
                    assert_eq!(content.as_str().unwrap().as_bytes(), event.text, "{model}");
                    if let Some(at) = event.nonce_at {
                        assert_eq!(&event.payload[at..at + NONCE_BYTES], NO_NONCE);
                    }
                    let marked = event.payload.contains(&THINKING_MARK);
                    assert_eq!(marked, event.thinking || script.shape == Shape::Json);
                }
            }
        }
    }

    #[test]
    fn thinking_opens_and_closes_once() {
        let script = Script::parse("mock-stream-e2-b200-think3").unwrap();
        let text: Vec<u8> = events(&script, Dialect::OpenAi).into_iter().flat_map(|event| event.text).collect();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("<think>~"));
        assert_eq!(text.matches("think>").count(), 2);
        assert!(text.contains("</think>00000000.00000 a"));
        assert!(text.contains("00000000.00001 h"));
    }
}
