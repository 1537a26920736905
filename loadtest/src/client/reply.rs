//! The reading of one reply, from its first byte to the verdict. Bytes in, verdict out; no socket, no clock.

use super::check::Check;
use super::fault::Fault;
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
        }
    }
}

impl Reply {
    /// Ready for the reply to a request of this kind.
    pub fn begin(&mut self, kind: &Kind, nonce: [u8; NONCE_BYTES]) {
        self.head_bytes.clear();
        self.head = None;
        self.body.clear();
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

    /// Events of the script whose text is there.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.check.events
    }

    /// Text came.
    #[must_use]
    pub fn has_text(&self) -> bool {
        self.check.begun
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
            self.judge_media_type(kind)?;
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

    /// Clients choose their parser by the media type. Parameters do not matter.
    fn judge_media_type(&self, kind: &Kind) -> Result<(), Fault> {
        let answer = matches!(kind.outcome, Outcome::Whole | Outcome::Broken | Outcome::WholeOrStatus);
        let Some(wanted) = kind.expected.media_type().filter(|_| answer && self.status() == 200) else { return Ok(()) };
        if media_type(&self.head_bytes).eq_ignore_ascii_case(wanted.as_bytes()) { Ok(()) } else { Err(Fault::Envelope) }
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
                if known && told_when { self.error_body(kind) } else { Err(Fault::Status) }
            }
            Outcome::Broken | Outcome::WholeOrStatus | Outcome::Stalled if status >= 400 => self.error_body(kind),
            Outcome::Broken if status == 200 => self.broken(kind),
            Outcome::WholeOrStatus => self.whole(kind),
            Outcome::Broken | Outcome::Stalled => Err(Fault::Status),
        }
    }

    fn whole(&mut self, kind: &Kind) -> Result<(), Fault> {
        if self.status() != 200 {
            return Err(Fault::Status);
        }
        if kind.expected.shape() == Shape::Json {
            self.check.event(&self.body, &kind.expected)?;
        }
        if self.splitter.leftover() > 0 { Err(Fault::Framing) } else { self.check.end(&kind.expected) }
    }

    /// The upstream broke off. A clean end without an error event hides it, whatever is missing from the text; only where the body ends
    /// with the connection does a cut look the same on the wire, and a client misses the end mark.
    fn broken(&mut self, kind: &Kind) -> Result<(), Fault> {
        if kind.expected.shape() == Shape::Json
            && let Err(fault) = self.check.event(&self.body, &kind.expected)
            && !is_of_a_cut(fault)
        {
            return Err(fault);
        }
        let until_close = self.head.as_ref().is_some_and(|head| head.framing == Framing::UntilClose);
        let hidden = !self.check.error_event && (!until_close || self.check.looks_whole());
        if hidden { Err(Fault::HiddenFailure) } else { Ok(()) }
    }

    /// The body of an error that is right must not show thinking either.
    fn error_body(&self, kind: &Kind) -> Result<(), Fault> {
        if kind.expected.is_leak(&self.body) { Err(Fault::Leak) } else { Ok(()) }
    }

    /// Whether a fault in the middle of the reply is what a broken one was expected to have.
    ///
    /// # Errors
    /// The fault, if it is still one.
    pub fn excuse(&self, fault: Fault, kind: &Kind) -> Result<(), Fault> {
        let ended = self.head.is_some() && self.decoder.is_done();
        if kind.outcome == Outcome::Broken && is_of_a_cut(fault) && !ended { Ok(()) } else { Err(fault) }
    }

    /// The verdict when the connection ended before the reply did.
    ///
    /// # Errors
    /// [`Fault::Truncated`] unless the end of the connection was the end of the body, or a broken answer was expected.
    pub fn closed(&mut self, kind: &Kind) -> Result<(), Fault> {
        let until_close = self.head.as_ref().is_some_and(|head| head.framing == Framing::UntilClose);
        match kind.outcome {
            _ if until_close => self.verdict(kind),
            // The part of a JSON answer that came, or of an error's body.
            Outcome::Broken => self.error_body(kind),
            _ => Err(Fault::Truncated),
        }
    }
}

/// What a cut upstream does to a reply that is passed on; other faults are the proxy's own.
fn is_of_a_cut(fault: Fault) -> bool {
    matches!(fault, Fault::Framing | Fault::End | Fault::Truncated)
}

/// The media type in a head, without its parameters.
fn media_type(head: &[u8]) -> &[u8] {
    head.split(|&b| b == b'\n')
        .filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            line[..colon].eq_ignore_ascii_case(b"content-type").then(|| &line[colon + 1..])
        })
        .next()
        .and_then(|value| value.split(|&b| b == b';').next())
        .unwrap_or_default()
        .trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::check::{Strictness, Thinking};
    use crate::client::request::nonce;
    use crate::script::Script;
    use crate::script::answer::Answer;

    fn kind(model: &str, outcome: Outcome) -> Kind {
        Kind::of_model(model, outcome, Strictness::Bytes, Thinking::Kept)
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
            match reply.feed(part, kind) {
                Ok(Progress::More) => {}
                Ok(Progress::Whole) => return reply.verdict(kind),
                Err(fault) => return reply.excuse(fault, kind),
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

    /// The cut answer, changed, with the end of a chunked body behind it.
    fn cut_and_ended(model: &str, change: impl Fn(String) -> String) -> Vec<u8> {
        let text = change(String::from_utf8(answer(model)).unwrap());
        (text + "0\r\n\r\n").into_bytes()
    }

    #[test]
    fn a_clean_end_hides_a_failure_whatever_is_missing() {
        let broken = kind("mock-stream-e3", Outcome::Broken);
        let bare = cut_and_ended("mock-stream-e3-cut2", |text| text);
        assert_eq!(judge(&broken, &[&bare]), Err(Fault::HiddenFailure), "no end mark");
        let done = "e\r\ndata: [DONE]\n\n\r\n";
        let marked = cut_and_ended("mock-stream-e3-cut2", |text| text + done);
        assert_eq!(judge(&broken, &[&marked]), Err(Fault::HiddenFailure), "an end mark of the proxy's");
        let text = Kind::of_model("mock-stream-e3", Outcome::Broken, Strictness::Text, Thinking::Kept);
        let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
        let finished =
            cut_and_ended("mock-stream-e3-cut2", |text| text + &format!("{:x}\r\n{finish}\r\n", finish.len()) + done);
        assert_eq!(judge(&text, &[&finished]), Err(Fault::HiddenFailure), "a reason of the proxy's");
        let error = "data: {\"error\":{\"message\":\"upstream\"}}\n\n";
        let told =
            cut_and_ended("mock-stream-e3-cut2", |text| text + &format!("{:x}\r\n{error}\r\n", error.len()) + done);
        assert_eq!(judge(&broken, &[&told]), Ok(()), "an error event says it");
        let json = kind("mock-json", Outcome::Broken);
        let shorter = String::from_utf8(answer("mock-json-cut1")).unwrap().replace("Length: 1024", "Length: 512");
        assert_eq!(judge(&json, &[shorter.as_bytes()]), Err(Fault::HiddenFailure), "a length of the proxy's");
        let surplus = [bare.as_slice(), b"x"].concat();
        assert!(judge(&broken, &[&surplus]).is_err(), "surplus is no cut");
    }

    #[test]
    fn a_broken_answer_until_close_is_hidden_only_with_its_end_mark() {
        let kind = kind("mock-stream-e3", Outcome::Broken);
        let events = String::from_utf8(answer("mock-stream-e3")).unwrap();
        let body: String = events.split("\r\n").filter(|line| line.starts_with("data")).collect();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        assert_eq!(judge(&kind, &[(head.to_owned() + &body[..410]).as_bytes()]), Ok(()));
        assert_eq!(judge(&kind, &[(head.to_owned() + &body).as_bytes()]), Err(Fault::HiddenFailure));
    }

    #[test]
    fn what_no_cut_explains_stays_wrong_in_a_broken_answer() {
        let broken = kind("mock-stream-e3", Outcome::Broken);
        let change = |from: &str, to: &str| String::from_utf8(answer("mock-stream-e3-cut2")).unwrap().replace(from, to);
        assert_eq!(judge(&broken, &[change(".00001 h", ".00001 x").as_bytes()]), Err(Fault::Text));
        assert_eq!(judge(&broken, &[change("00000007.", "ffff0007.").as_bytes()]), Err(Fault::Foreign));
        assert_eq!(judge(&broken, &[change("chatcmpl-1", "chatcmpl-2").as_bytes()]), Err(Fault::Envelope));
        let stripped = Kind::of_model("mock-stream-e3-think1", Outcome::Broken, Strictness::Text, Thinking::Stripped);
        assert_eq!(judge(&stripped, &[&answer("mock-stream-e3-think1-cut2")]), Err(Fault::Leak));
        assert_eq!(judge(&broken, &[b"HTTP/1.1 204 No\r\n\r\n"]), Err(Fault::Status));
    }

    #[test]
    fn errors_do_not_show_thinking() {
        let body = "HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\n~x";
        for outcome in [Outcome::Status(vec![503]), Outcome::Broken, Outcome::WholeOrStatus, Outcome::Stalled] {
            let kind = |thinking| Kind::of_model("mock-json", outcome.clone(), Strictness::Text, thinking);
            assert_eq!(judge(&kind(Thinking::Stripped), &[body.as_bytes()]), Err(Fault::Leak), "{outcome:?}");
            assert_eq!(judge(&kind(Thinking::Kept), &[body.as_bytes()]), Ok(()), "{outcome:?}");
        }
    }

    #[test]
    fn the_media_type_is_the_mock_servers() {
        for (model, own) in [("mock-json", "application/json"), ("mock-stream-e3", "text/event-stream")] {
            let with = |kind: &str| String::from_utf8(answer(model)).unwrap().replace(own, kind);
            for strictness in [Strictness::Framing, Strictness::Text, Strictness::Bytes] {
                let judge = |kind: &str| {
                    judge(&Kind::of_model(model, Outcome::Whole, strictness, Thinking::Kept), &[with(kind).as_bytes()])
                };
                let wrong = if strictness == Strictness::Framing { Ok(()) } else { Err(Fault::Envelope) };
                assert_eq!(judge(&format!("{}; charset=utf-8", own.to_uppercase())), Ok(()));
                assert_eq!(judge("text/html"), wrong, "{model}");
                assert_eq!(judge("application/x-ndjson"), wrong, "{model}");
            }
        }
    }
}
