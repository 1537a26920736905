//! Why a message is refused.

use crate::base::error::Kind;

/// What is counted and answered, and the rule that was broken, in a sentence for people; empty where the kind says all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    pub rule: &'static str,
}

impl Refusal {
    pub(super) const fn request(rule: &'static str) -> Self {
        Self { kind: Kind::BadRequest, rule }
    }

    pub(super) const fn answer(rule: &'static str) -> Self {
        Self { kind: Kind::UpstreamInvalid, rule }
    }
}

impl From<Kind> for Refusal {
    fn from(kind: Kind) -> Self {
        Self { kind, rule: "" }
    }
}

/// Method and path of a head that could not be read, where it begins with two words that look like them: anything else
/// may be the inside of somebody's message. No query, which may hold a secret.
#[must_use]
pub fn request_line(head: &[u8]) -> &[u8] {
    const SHOWN_BYTES_MAX: usize = 256;
    let head = head.trim_ascii_start();
    let head = &head[..head.len().min(SHOWN_BYTES_MAX)];
    let method = head.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let [b' ', target @ ..] = &head[method..] else { return b"" };
    if method == 0 || !target.starts_with(b"/") {
        return b"";
    }
    let path = target.iter().take_while(|byte| byte.is_ascii_graphic() && **byte != b'?').count();
    &head[..method + 1 + path]
}

/// A rule that both directions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

impl From<Malformed> for Refusal {
    fn from(Malformed(rule): Malformed) -> Self {
        Self::request(rule)
    }
}

impl Malformed {
    pub(super) const fn in_answer(self) -> Refusal {
        Refusal::answer(self.0)
    }
}

/// What a TLS client begins with.
pub(super) const TLS_HELLO: &[u8] = b"\x16\x03";
pub(super) const IS_TLS: &str = "It looks like TLS; this port speaks plain HTTP.";
pub(super) const LINE_ENDS: &str = "A line does not end in CR LF.";

/// What httparse found, in words.
pub(super) const fn syntax(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => {
            "A field's name holds a character that is not allowed, a blank stands before its colon, or a line is folded."
        }
        httparse::Error::HeaderValue => "A field's value holds a control character.",
        httparse::Error::NewLine => LINE_ENDS,
        httparse::Error::Token => "The first line holds a character that is not allowed, or too many blanks.",
        httparse::Error::Version => "The first line does not name a version of HTTP.",
        httparse::Error::Status => "The status is not a number of three digits.",
        httparse::Error::TooManyHeaders => "There are too many fields.",
    }
}
