//! Requests, made once; only the nonce changes.

use std::fmt::Write as _;
use std::time::Duration;

use super::check::{Strictness, Thinking};
use super::expected::Expected;
use super::lateness::Timetable;
use crate::script::text::{NONCE_BYTES, NONCE_MARK};
use crate::script::{Dialect, Script, Shape};

/// What must come of a request for it to count as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole scripted answer.
    Whole,
    /// One of these statuses (an empty list: any error status).
    Status(Vec<u16>),
    /// An answer that says it is broken: cut before its end, or an error event, or an error status; never a clean end.
    Broken,
    /// Either the whole answer or an error status: for upstreams that may be tried again.
    WholeOrStatus,
    /// An error status, or nothing until the client has waited long enough and leaves.
    Stalled,
}

/// A kind of request in a load's mix.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The model asked for.
    pub model: String,
    /// Head and body without nonce.
    bytes: Vec<u8>,
    nonce_at: usize,
    /// The reply that should come.
    pub expected: Expected,
    /// What is right.
    pub outcome: Outcome,
    /// Its share of the mix.
    pub weight: u32,
    /// Upstream events for each visible one.
    pub upstream_share: f64,
    /// When the events of a paced stream are due.
    pub timetable: Option<Timetable>,
    /// The longest time in which a healthy proxy may pass nothing on; `None` when nobody knows the model's pace.
    pub silence: Option<Duration>,
}

/// What all requests of a run have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// The `Host` field.
    pub host: String,
    /// Fields the user added, `Name: value`.
    pub fields: Vec<String>,
    /// The path before the dialect's own.
    pub prefix: String,
    /// How much of each reply is compared.
    pub strictness: Strictness,
    /// What the proxy does to thinking.
    pub thinking: Thinking,
    /// Each connection is for one request.
    pub close: bool,
}

/// What a scenario says of a kind.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The model.
    pub model: String,
    /// A script for the expectation when the model is none.
    pub script: Script,
    /// The protocol.
    pub dialect: Dialect,
    /// Bytes of the request's body.
    pub body_bytes: usize,
    /// What is right.
    pub outcome: Outcome,
    /// Share of the mix.
    pub weight: u32,
}

impl Kind {
    /// Makes the bytes.
    #[must_use]
    pub fn new(wanted: &Wanted, common: &Common) -> Self {
        let stream = wanted.script.shape == Shape::Stream;
        let body = body(&wanted.model, stream, wanted.body_bytes);
        let (path, accept) = match (wanted.dialect, stream) {
            (Dialect::OpenAi, true) => ("/v1/chat/completions", "text/event-stream"),
            (Dialect::OpenAi, false) => ("/v1/chat/completions", "application/json"),
            (Dialect::Ollama, true) => ("/api/chat", "application/x-ndjson"),
            (Dialect::Ollama, false) => ("/api/chat", "application/json"),
        };
        let mut head = format!("POST {}{path} HTTP/1.1\r\nHost: {}\r\n", common.prefix, common.host);
        let _ = write!(
            head,
            "User-Agent: loadtest/{}\r\nAccept: {accept}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            env!("CARGO_PKG_VERSION"),
            body.len()
        );
        for field in &common.fields {
            let _ = write!(head, "{field}\r\n");
        }
        head.push_str(if common.close { "Connection: close\r\n\r\n" } else { "\r\n" });
        let mut bytes = head.into_bytes();
        let from = bytes.len();
        bytes.extend_from_slice(body.as_bytes());
        let nonce_at = memchr::memmem::find(&bytes[from..], NONCE_MARK).map_or(from, |at| from + at + NONCE_MARK.len());
        let script = &wanted.script;
        let expected = Expected::new(script, wanted.dialect, common.strictness, common.thinking);
        let timetable = Timetable::new(script, expected.events(), common.strictness, common.thinking);
        Self {
            model: wanted.model.clone(),
            bytes,
            nonce_at,
            outcome: wanted.outcome.clone(),
            weight: wanted.weight,
            upstream_share: f64::from(script.upstream_events()) / f64::from(expected.events().max(1)),
            expected,
            timetable,
            silence: (common.strictness != Strictness::Framing)
                .then(|| script.silence(common.thinking == Thinking::Stripped)),
        }
    }

    /// A small kind for tests: what a mock model says in the OpenAI dialect.
    #[cfg(test)]
    pub fn of_model(model: &str, outcome: Outcome, strictness: Strictness, thinking: Thinking) -> Self {
        let wanted = Wanted {
            model: model.into(),
            script: Script::parse(model).unwrap(),
            dialect: Dialect::OpenAi,
            body_bytes: 300,
            outcome,
            weight: 1,
        };
        let common =
            Common { host: "h".into(), fields: Vec::new(), prefix: String::new(), strictness, thinking, close: false };
        Self::new(&wanted, &common)
    }

    /// The request with this nonce, into `out`.
    pub fn fill(&self, nonce: [u8; NONCE_BYTES], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        out[self.nonce_at..self.nonce_at + NONCE_BYTES].copy_from_slice(&nonce);
    }
}

/// A chat request of `bytes` bytes, or a little more when it does not fit.
fn body(model: &str, stream: bool, bytes: usize) -> String {
    let before =
        format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"nonce=00000000 "#);
    let after = r#""}]}"#;
    let filler = bytes.saturating_sub(before.len() + after.len());
    let words = "please tell me a long story about nothing in particular ";
    before + &words.repeat(filler / words.len() + 1)[..filler] + after
}

/// The nonce of the request with this number.
#[must_use]
pub fn nonce(number: u64) -> [u8; NONCE_BYTES] {
    std::array::from_fn(|place| {
        let digit = (number >> (4 * (NONCE_BYTES - 1 - place))) & 15;
        b"0123456789abcdef"[digit as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_size_and_nonce() {
        let wanted = Wanted {
            model: "mock-json-b1024".into(),
            script: Script::parse("mock-json-b1024").unwrap(),
            dialect: Dialect::OpenAi,
            body_bytes: 1024,
            outcome: Outcome::Whole,
            weight: 1,
        };
        let common = Common {
            host: "localhost:1".into(),
            fields: vec!["Authorization: Bearer x".into()],
            prefix: "/p".into(),
            strictness: Strictness::Bytes,
            thinking: Thinking::Kept,
            close: true,
        };
        let mut bytes = Vec::new();
        Kind::new(&wanted, &common).fill(nonce(0xbeef), &mut bytes);
        let (head, length) = crate::wire::head::parse_request(&bytes).unwrap().unwrap();
        assert_eq!(head.target, "/p/v1/chat/completions");
        assert!(!head.keep_alive);
        let body = &bytes[length..];
        assert_eq!(body.len(), 1024);
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert!(value["messages"][0]["content"].as_str().unwrap().starts_with("nonce=0000beef please"));
        assert!(String::from_utf8_lossy(&bytes).contains("\r\nAuthorization: Bearer x\r\n"));
    }
}
