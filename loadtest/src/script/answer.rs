//! The bytes of a scripted answer, made once and copied for each request.

use super::text::{self, NONCE_BYTES};
use super::{Cut, Dialect, Fault, Script, Shape};

/// An answer without its nonce.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Head and body as they go over the wire.
    bytes: Vec<u8>,
    /// Where the nonce belongs.
    nonces: Vec<usize>,
    /// The end of each write.
    pub writes: Vec<usize>,
    /// Events that the writes before and with this one have sent.
    pub events: Vec<u32>,
    /// The connection ends behind it.
    pub closes: bool,
    /// Every byte is a chunk of its own.
    scattered: bool,
}

impl Answer {
    /// The bytes for a request with this nonce, into `out`.
    pub fn fill(&self, nonce: [u8; NONCE_BYTES], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        for &at in &self.nonces {
            for (place, digit) in nonce.iter().enumerate() {
                // With a chunk a byte, the digits are not neighbours.
                out[at + place * self.stride()] = *digit;
            }
        }
    }

    fn stride(&self) -> usize {
        if self.scattered { BYTE_CHUNK } else { 1 }
    }

    /// Makes the answer.
    #[must_use]
    pub fn new(script: &Script, dialect: Dialect) -> Self {
        match (script.fault, script.shape) {
            (Some(Fault::Status(status)), _) => Self::error(status, dialect),
            (Some(Fault::Garbage), _) => {
                Self::single(b"\x16\x03\x01garbage \x00\xff that is no HTTP\r\n\r\n".to_vec(), true)
            }
            (_, Shape::Json) => Self::json(script, dialect),
            (_, Shape::Stream) => Self::stream(script, dialect),
        }
    }

    fn single(bytes: Vec<u8>, closes: bool) -> Self {
        let writes = vec![bytes.len()];
        Self { bytes, nonces: Vec::new(), writes, events: vec![0], closes, scattered: false }
    }

    /// An error in the words of the dialect.
    #[must_use]
    pub fn error(status: u16, dialect: Dialect) -> Self {
        let body = match dialect {
            Dialect::OpenAi => {
                format!(r#"{{"error":{{"message":"scripted {status}","type":"mock","param":null,"code":null}}}}"#)
            }
            Dialect::Ollama => format!(r#"{{"error":"scripted {status}"}}"#),
        };
        let retry = if matches!(status, 429 | 503) { "Retry-After: 1\r\n" } else { "" };
        Self::plain(&format!("{status} Scripted"), retry, "application/json", &body)
    }

    /// A small whole reply, for the routes around the chat.
    #[must_use]
    pub fn plain(status: &str, fields: &str, content_type: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\n{fields}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        Self::single(text.into_bytes(), false)
    }

    fn json(script: &Script, dialect: Dialect) -> Self {
        let mut events = text::events(script, dialect);
        let Some(event) = events.pop() else { return Self::error(500, dialect) };
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            event.payload.len()
        )
        .into_bytes();
        let nonces = event.nonce_at.iter().map(|at| bytes.len() + at).collect();
        bytes.extend_from_slice(&event.payload);
        let mut answer = Self { nonces, events: vec![1], ..Self::single(bytes, false) };
        if let Some(Fault::CutAfter { .. }) = script.fault {
            answer.bytes.truncate(answer.bytes.len() - script.bytes / 2);
            answer.nonces.retain(|at| at + NONCE_BYTES <= answer.bytes.len());
            answer.writes = vec![answer.bytes.len()];
            answer.closes = true;
        }
        answer
    }

    fn stream(script: &Script, dialect: Dialect) -> Self {
        let body = Body::new(script, dialect);
        let content_type = if dialect == Dialect::OpenAi { "text/event-stream" } else { "application/x-ndjson" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let mut answer = Self { scattered: script.cut == Cut::Bytes, ..Self::single(head.into_bytes(), false) };
        (answer.writes, answer.events) = (Vec::new(), Vec::new());
        match script.cut {
            Cut::Events { per_write } => answer.by_events(&body, per_write),
            Cut::Bytes => answer.by_bytes(&body),
            Cut::Random => answer.at_random(&body),
        }
        if let Some(Fault::CutAfter { events }) = script.fault {
            answer.cut_after(events);
        } else {
            // The end of the body goes with the last event, as servers that know their last token do.
            answer.bytes.extend_from_slice(b"0\r\n\r\n");
            if let Some(last) = answer.writes.last_mut() {
                *last = answer.bytes.len();
            }
        }
        answer
    }

    fn chunk(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn by_events(&mut self, body: &Body, per_write: u32) {
        let mut start = 0;
        for (index, (&end, &nonce)) in body.ends.iter().zip(&body.nonces).enumerate() {
            if let Some(nonce) = nonce {
                let size_line = format!("{:x}\r\n", end - start).len();
                self.nonces.push(self.bytes.len() + size_line + (nonce - start));
            }
            self.chunk(&body.bytes[start..end]);
            start = end;
            let sent = index as u32 + 1;
            if sent.is_multiple_of(per_write) || index + 1 == body.ends.len() {
                self.writes.push(self.bytes.len());
                self.events.push(sent);
            }
        }
        if start < body.bytes.len() {
            self.chunk(&body.bytes[start..]);
        }
    }

    fn by_bytes(&mut self, body: &Body) {
        let base = self.bytes.len();
        for byte in &body.bytes {
            self.chunk(std::slice::from_ref(byte));
        }
        // "1\r\n" stands before each byte.
        self.nonces = body.nonces.iter().flatten().map(|at| base + at * BYTE_CHUNK + 3).collect();
        self.writes = body.ends.iter().map(|end| base + end * BYTE_CHUNK).collect();
        self.events = (1..=body.ends.len() as u32).collect();
    }

    fn at_random(&mut self, body: &Body) {
        // The nonce stays in one piece: what is cut anywhere is everything else.
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut start, mut event) = (0, 0);
        while start < body.bytes.len() {
            let mut end = (start + 1 + random.below(60)).min(body.bytes.len());
            if let Some(at) = body.nonces.iter().flatten().find(|&&at| at < end && end < at + NONCE_BYTES) {
                end = at + NONCE_BYTES;
            }
            let size_line = format!("{:x}\r\n", end - start).len();
            let here = body.nonces.iter().flatten().filter(|&&at| at >= start && at + NONCE_BYTES <= end);
            self.nonces.extend(here.map(|at| self.bytes.len() + size_line + at - start));
            self.chunk(&body.bytes[start..end]);
            start = end;
        }
        let mut at = 0;
        while at < self.bytes.len() {
            at = (at + 1 + random.below(200)).min(self.bytes.len());
            self.writes.push(at);
            event = (event + 1).min(body.ends.len() as u32);
            self.events.push(event);
        }
        if let Some(last) = self.events.last_mut() {
            *last = body.ends.len() as u32;
        }
    }

    fn cut_after(&mut self, events: u32) {
        let keep = self.events.iter().position(|&sent| sent >= events).map_or(self.writes.len(), |at| at + 1);
        self.writes.truncate(keep);
        self.events.truncate(keep);
        let end = self.writes.last().copied().unwrap_or(0);
        self.bytes.truncate(end);
        let stride = self.stride();
        self.nonces.retain(|at| at + NONCE_BYTES * stride <= end);
        self.closes = true;
    }
}

/// "1", CR LF, the byte, CR LF.
const BYTE_CHUNK: usize = 6;

/// A stream's body before it is cut into chunks.
struct Body {
    bytes: Vec<u8>,
    /// The end of each event.
    ends: Vec<usize>,
    /// Where each event's nonce is.
    nonces: Vec<Option<usize>>,
}

impl Body {
    fn new(script: &Script, dialect: Dialect) -> Self {
        let mut body = Self { bytes: Vec::new(), ends: Vec::new(), nonces: Vec::new() };
        let (before, after) = if dialect == Dialect::OpenAi { ("data: ", "\n\n") } else { ("", "\n") };
        for event in text::events(script, dialect) {
            body.bytes.extend_from_slice(before.as_bytes());
            body.nonces.push(event.nonce_at.map(|at| body.bytes.len() + at));
            body.bytes.extend_from_slice(&event.payload);
            body.bytes.extend_from_slice(after.as_bytes());
            body.ends.push(body.bytes.len());
        }
        if dialect == Dialect::OpenAi {
            body.bytes.extend_from_slice(b"data: [DONE]\n\n");
        }
        body
    }
}

/// A small generator of random numbers: the same answer for the same script, always.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::body::Decoder;
    use crate::wire::events::{Delimiting, EventTooLong, Splitter};
    use crate::wire::head::parse_reply;

    fn payloads(model: &str, dialect: Dialect) -> Vec<Vec<u8>> {
        let answer = Answer::new(&Script::parse(model).unwrap(), dialect);
        let mut bytes = Vec::new();
        answer.fill(*b"deadbeef", &mut bytes);
        assert_eq!(answer.writes.last(), Some(&bytes.len()));
        assert!(answer.writes.is_sorted());
        assert_eq!(answer.writes.len(), answer.events.len());
        let (head, length) = parse_reply(&bytes).unwrap().unwrap();
        let mut decoder = Decoder::new(head.framing);
        let mut splitter = Splitter::new(match dialect {
            Dialect::OpenAi => Delimiting::ServerSent,
            Dialect::Ollama => Delimiting::Lines,
        });
        let (mut got, mut rest) = (Vec::new(), &bytes[length..]);
        while !rest.is_empty() && !decoder.is_done() {
            let step = decoder.step(rest).unwrap();
            splitter
                .feed::<EventTooLong>(step.data, |payload| {
                    got.push(payload.to_vec());
                    Ok(())
                })
                .unwrap();
            rest = &rest[step.used..];
        }
        assert!(decoder.is_done() && rest.is_empty(), "{model}");
        got
    }

    #[test]
    fn every_chunking_carries_the_same_events_with_the_nonce() {
        for dialect in [Dialect::OpenAi, Dialect::Ollama] {
            let base = "mock-stream-e9-b200-think3";
            let plain = payloads(base, dialect);
            assert_eq!(plain.len(), 12 + usize::from(dialect == Dialect::OpenAi));
            for event in &plain[3..12] {
                assert!(memchr::memmem::find(event, b"deadbeef.0000").is_some());
            }
            for cut in ["burst4", "bytewise", "random"] {
                assert_eq!(payloads(&format!("{base}-{cut}"), dialect), plain, "{cut}");
            }
        }
    }

    #[test]
    fn one_write_an_event_unless_asked_otherwise() {
        let writes = |model| Answer::new(&Script::parse(model).unwrap(), Dialect::OpenAi).writes.len();
        assert_eq!(writes("mock-stream-e200-b200"), 200);
        assert_eq!(writes("mock-stream-e200-b200-burst8"), 25);
        assert_eq!(writes("mock-json"), 1);
    }

    #[test]
    fn cut_answers_have_no_end() {
        let answer = Answer::new(&Script::parse("mock-stream-e9-cut4").unwrap(), Dialect::OpenAi);
        assert!(answer.closes);
        assert_eq!(answer.events, [1, 2, 3, 4]);
        let mut bytes = Vec::new();
        answer.fill(*b"deadbeef", &mut bytes);
        assert!(!bytes.ends_with(b"0\r\n\r\n"));
        let json = Answer::new(&Script::parse("mock-json-cut1").unwrap(), Dialect::OpenAi);
        json.fill(*b"deadbeef", &mut bytes);
        assert!(json.closes && bytes.len() < 1024);
    }
}
