//! The reading of one reply, from its first byte to the verdict. Bytes in, verdict out; no socket, no clock.

use super::check::{Check, Fault};
use super::request::{Kind, Outcome};
use crate::script::text::NONCE_BYTES;
use crate::script::{Dialect, Shape};
use crate::wire::body::Decoder;
use crate::wire::events::{Delimiting, Splitter};
use crate::wire::head::{Framing, ReplyHead, parse_reply};

/// A JSON or error body longer than this is refused.
const BODY_BYTES_MAX: usize = 16 << 20;

/// How far the reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    More,
    /// It has ended; ask for the verdict.
    Whole,
}

/// A reply in the course of arriving.
#[derive(Debug)]
pub struct Reply {
    head_bytes: Vec<u8>,
    head: Option<ReplyHead>,
    decoder: Decoder,
    splitter: Splitter,
    body: Vec<u8>,
    check: Check,
    /// The first thing that was wrong in an otherwise readable stream.
    wrong: Option<Fault>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            head_bytes: Vec::new(),
            head: None,
            decoder: Decoder::Done,
            splitter: Splitter::new(Delimiting::ServerSent),
            body: Vec::new(),
            check: Check::default(),
            wrong: None,
        }
    }
}

impl Reply {
    /// Ready for the reply to a request of this kind.
    pub fn begin(&mut self, kind: &Kind, nonce: [u8; NONCE_BYTES]) {
        self.head_bytes.clear();
        self.head = None;
        self.body.clear();
        self.wrong = None;
        self.splitter.reset(match kind.expected.dialect() {
            Dialect::OpenAi => Delimiting::ServerSent,
            Dialect::Ollama => Delimiting::Lines,
        });
        self.check.begin(&kind.expected, nonce);
    }

    /// Nothing has come yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.head.is_none() && self.head_bytes.is_empty()
    }

    /// Events with text so far.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.check.events
    }

    /// The connection may be used again.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.keep_alive) && self.decoder.is_done()
    }

    /// The head's status, 0 before it.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.status)
    }

    /// What came last, for the description of an error.
    #[must_use]
    pub fn excerpt(&self) -> String {
        let bytes = if self.body.is_empty() { &self.head_bytes } else { &self.body };
        format!("status {}, {} events, {}", self.status(), self.events(), bytes[..bytes.len().min(120)].escape_ascii())
    }

    /// Takes what was read.
    ///
    /// # Errors
    /// When the connection is of no more use: bytes that break HTTP's or the stream's rules, or text that is wrong.
    pub fn feed(&mut self, mut input: &[u8], kind: &Kind) -> Result<Progress, Fault> {
        if self.head.is_none() {
            let before = self.head_bytes.len();
            self.head_bytes.extend_from_slice(input);
            let Some((head, length)) = self.take_head()? else { return Ok(Progress::More) };
            input = &input[length - before..];
            self.head_bytes.truncate(length);
            self.decoder = Decoder::new(head.framing);
            self.head = Some(head);
        }
        while !input.is_empty() && !self.decoder.is_done() {
            let step = self.decoder.step(input).map_err(|_| Fault::Framing)?;
            input = &input[step.used..];
            self.take_body(step.data, kind)?;
        }
        match (self.decoder.is_done(), input.is_empty()) {
            (true, true) => Ok(Progress::Whole),
            (true, false) => Err(Fault::Framing),
            (false, _) => Ok(Progress::More),
        }
    }

    /// The head, interim replies skipped. The length counts from the start of `head_bytes`.
    fn take_head(&mut self) -> Result<Option<(ReplyHead, usize)>, Fault> {
        let mut skipped = 0;
        loop {
            match parse_reply(&self.head_bytes[skipped..]).map_err(|_| Fault::Framing)? {
                Some((head, length)) if head.status < 200 => skipped += length,
                Some((head, length)) => return Ok(Some((head, skipped + length))),
                None => return Ok(None),
            }
        }
    }

    fn take_body(&mut self, data: &[u8], kind: &Kind) -> Result<(), Fault> {
        if self.status() == 200 && kind.expected.shape() == Shape::Stream {
            let (check, expected) = (&mut self.check, &kind.expected);
            return self.splitter.feed(data, |payload| check.event(payload, expected).map(|_| ()));
        }
        if self.body.len() + data.len() > BODY_BYTES_MAX {
            return Err(Fault::Framing);
        }
        self.body.extend_from_slice(data);
        Ok(())
    }

    /// The verdict on a reply that has ended as HTTP says.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verdict(&mut self, kind: &Kind) -> Result<(), Fault> {
        let status = self.status();
        match &kind.outcome {
            Outcome::Whole => self.whole(kind),
            Outcome::Status(list) => {
                let known = if list.is_empty() { status >= 400 } else { list.contains(&status) };
                let told_when = status != 429 || self.head.as_ref().is_some_and(|head| head.retry_after);
                if known && told_when { Ok(()) } else { Err(Fault::Status) }
            }
            Outcome::Broken if status >= 400 => Ok(()),
            Outcome::Broken => match self.whole(kind) {
                Ok(()) => Err(Fault::HiddenFailure),
                Err(_) => Ok(()),
            },
            Outcome::WholeOrStatus if status >= 400 => Ok(()),
            Outcome::WholeOrStatus => self.whole(kind),
            Outcome::Stalled => {
                if status >= 400 {
                    Ok(())
                } else {
                    Err(Fault::Status)
                }
            }
        }
    }

    fn whole(&mut self, kind: &Kind) -> Result<(), Fault> {
        if self.status() != 200 {
            return Err(Fault::Status);
        }
        if let Some(fault) = self.wrong {
            return Err(fault);
        }
        if kind.expected.shape() == Shape::Json {
            self.check.event(&self.body, &kind.expected)?;
        }
        if self.splitter.leftover() > 0 { Err(Fault::Framing) } else { self.check.end(&kind.expected) }
    }

    /// The verdict when the connection ended before the reply did.
    ///
    /// # Errors
    /// [`Fault::Truncated`] unless the end of the connection was the end of the body, or a broken answer was expected.
    pub fn closed(&mut self, kind: &Kind) -> Result<(), Fault> {
        let until_close = self.head.as_ref().is_some_and(|head| head.framing == Framing::UntilClose);
        match kind.outcome {
            _ if until_close => self.verdict(kind),
            Outcome::Broken => Ok(()),
            _ => Err(Fault::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::check::{Strictness, Thinking};
    use crate::client::request::{Common, Wanted, nonce};
    use crate::script::Script;
    use crate::script::answer::Answer;

    fn kind(model: &str, outcome: Outcome) -> Kind {
        let wanted = Wanted {
            model: model.into(),
            script: Script::parse(model).unwrap(),
            dialect: Dialect::OpenAi,
            body_bytes: 300,
            outcome,
            weight: 1,
        };
        let common = Common {
            host: "h".into(),
            fields: Vec::new(),
            prefix: String::new(),
            strictness: Strictness::Bytes,
            thinking: Thinking::Kept,
            close: false,
        };
        Kind::new(&wanted, &common)
    }

    fn answer(model: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        Answer::new(&Script::parse(model).unwrap(), Dialect::OpenAi).fill(nonce(7), &mut bytes);
        bytes
    }

    fn judge(kind: &Kind, parts: &[&[u8]]) -> Result<(), Fault> {
        let mut reply = Reply::default();
        reply.begin(kind, nonce(7));
        for part in parts {
            if reply.feed(part, kind)? == Progress::Whole {
                return reply.verdict(kind);
            }
        }
        reply.closed(kind)
    }

    #[test]
    fn replies_are_right_at_every_cut() {
        for model in ["mock-json", "mock-stream-e3-think2", "mock-stream-e3-random", "mock-stream-e2-bytewise"] {
            let (kind, bytes) = (kind(model, Outcome::Whole), answer(model));
            for cut in 0..bytes.len() {
                assert_eq!(judge(&kind, &[&bytes[..cut], &bytes[cut..]]), Ok(()), "{model} cut at {cut}");
            }
        }
    }

    #[test]
    fn every_lost_tail_is_seen() {
        for model in ["mock-json", "mock-stream-e3"] {
            let (kind, bytes) = (kind(model, Outcome::Whole), answer(model));
            for cut in 0..bytes.len() {
                assert_eq!(judge(&kind, &[&bytes[..cut]]), Err(Fault::Truncated), "{model} cut at {cut}");
            }
        }
    }

    #[test]
    fn every_changed_body_byte_is_seen() {
        let (kind, bytes) = (kind("mock-stream-e3", Outcome::Whole), answer("mock-stream-e3"));
        let body = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap() + 4;
        // The last two bytes of the body are the blank line behind the end, where `feed` is stricter than any text check.
        for at in body..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(judge(&kind, &[&changed]).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_broken_answer_must_look_broken() {
        let broken = kind("mock-stream-e3", Outcome::Broken);
        let whole = answer("mock-stream-e3");
        assert_eq!(judge(&broken, &[&whole]), Err(Fault::HiddenFailure));
        assert_eq!(judge(&broken, &[&answer("mock-stream-e3-cut2")]), Ok(()));
        assert_eq!(judge(&broken, &[&answer("mock-json-status503")]), Ok(()));
    }

    #[test]
    fn statuses_are_what_was_expected() {
        let limited = kind("mock-json", Outcome::Status(vec![429]));
        assert_eq!(judge(&limited, &[&answer("mock-json-status429")]), Ok(()));
        assert_eq!(judge(&limited, &[b"HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n"]), Err(Fault::Status));
        assert_eq!(judge(&limited, &[&answer("mock-json")]), Err(Fault::Status));
        assert_eq!(judge(&kind("mock-json", Outcome::Whole), &[&answer("mock-json-status500")]), Err(Fault::Status));
        assert_eq!(judge(&kind("mock-json", Outcome::Whole), &[&answer("mock-json-garbage")]), Err(Fault::Framing));
        assert_eq!(judge(&kind("mock-json", Outcome::WholeOrStatus), &[&answer("mock-json-status500")]), Ok(()));
    }

    #[test]
    fn interim_replies_are_skipped_and_surplus_is_not() {
        let (kind, bytes) = (kind("mock-json", Outcome::Whole), answer("mock-json"));
        assert_eq!(judge(&kind, &[b"HTTP/1.1 100 Continue\r\n\r\n", &bytes]), Ok(()));
        assert_eq!(judge(&kind, &[&[bytes.as_slice(), b"x"].concat()]), Err(Fault::Framing));
    }
}
