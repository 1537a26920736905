//! The places of a written answer that differ from reply to reply: its id and its time.

use memchr::memmem::Finder;

use super::json::rfc3339;

/// Where they stand; filled in anew, the same bytes serve the next reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    id: Vec<u32>,
    /// Seconds since 1970, in ten digits.
    created: Vec<u32>,
    /// RFC 3339 with microseconds.
    created_at: Vec<u32>,
}

const CREATED: &[u8] = b"\"created\":";
const CREATED_AT: &[u8] = b"\"created_at\":\"";

impl Holes {
    /// Finds them in an answer that was written with this id at this time, in OpenAI's words or Ollama's. Inside a string
    /// they are spelled otherwise, because its quotes are escaped. Arguments of calls are no strings with Ollama: what
    /// they say in microseconds can't be foreseen, what they say in seconds might be, so that only OpenAI's is looked for.
    #[must_use]
    pub fn find(body: &[u8], id: &str, unix_micros: u64, openai: bool) -> Self {
        let all = |name: &[u8], value: &[u8]| {
            let needle = [name, value].concat();
            Finder::new(&needle).find_iter(body).map(|at| (at + name.len()) as u32).collect()
        };
        let mut at = Vec::new();
        rfc3339(&mut at, unix_micros);
        Self {
            id: if id.is_empty() { Vec::new() } else { all(b"", id.as_bytes()) },
            created: if openai { all(CREATED, (unix_micros / 1_000_000).to_string().as_bytes()) } else { Vec::new() },
            created_at: if openai { Vec::new() } else { all(CREATED_AT, &at) },
        }
    }

    /// Writes the id, of the same length, and the time of another reply.
    pub fn fill(&self, body: &mut [u8], id: &str, unix_micros: u64) {
        put(body, &self.id, id.as_bytes());
        if !self.created.is_empty() {
            let mut digits = *b"0000000000";
            let mut rest = unix_micros / 1_000_000;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            put(body, &self.created, &digits);
        }
        if !self.created_at.is_empty() {
            let mut at = Vec::with_capacity(32);
            rfc3339(&mut at, unix_micros);
            put(body, &self.created_at, &at);
        }
    }
}

fn put(body: &mut [u8], places: &[u32], value: &[u8]) {
    for at in places {
        if let Some(place) = body.get_mut(*at as usize..*at as usize + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::{Answer, Call, Context, Finish, Kind, Piece, Replay};
    use crate::wire::think::ReasoningFields;

    const THEN: u64 = 1_795_216_504_123_456;
    const NOW: u64 = 1_795_300_000_000_001;

    fn written(kind: Kind, stream: bool, id: &str, unix_micros: u64) -> Vec<u8> {
        let mut answer = Answer::new(kind);
        let mut at = Vec::new();
        rfc3339(&mut at, THEN);
        let at = String::from_utf8_lossy(&at).into_owned();
        // What looks like a hole and is none.
        let tricky = format!(r#"{{"created":{},"created_at":"{at}","id":"x"}}"#, THEN / 1_000_000);
        answer.pieces = vec![
            Piece::Text(tricky.clone().into()),
            Piece::Call(Call {
                id: "".into(),
                name: "f".into(),
                arguments: format!(r#"{{"created":{},"created_at":"y"}}"#, THEN / 1_000_000).into(),
            }),
        ];
        answer.finish = Finish::ToolCalls;
        let context = Context {
            kind,
            stream,
            model: &tricky,
            id,
            now_unix_micros: unix_micros,
            elapsed_nanos: 1000,
            include_usage: true,
            base64: false,
            words: false,
            reasoning_fields: ReasoningFields::default(),
        };
        let mut out = Vec::new();
        if let Some(mut replay) = Replay::new(&answer, context) {
            while replay.next_event(&mut out) {}
        }
        out
    }

    #[test]
    fn a_filled_answer_is_one_written_anew() {
        for kind in [Kind::OpenAiChat, Kind::OllamaChat, Kind::OllamaGenerate, Kind::OpenAiCompletions] {
            for stream in [true, false] {
                let id = |hex: &str| format!("chatcmpl-{hex}");
                let (old, new) = ("0123456789abcdef", "fedcba9876543210");
                let mut body = written(kind, stream, &id(old), THEN);
                Holes::find(&body, old, THEN, kind.is_openai()).fill(&mut body, new, NOW);
                let (body, wanted) =
                    (String::from_utf8_lossy(&body).into_owned(), written(kind, stream, &id(new), NOW));
                assert_eq!(body, String::from_utf8_lossy(&wanted), "{kind:?} {stream}");
            }
        }
    }
}
