//! Where a body ends, and the two fields that say so.

use super::Version;
use super::refusal::{Malformed, Refusal};
use crate::base::error::Kind;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is none, and no field speaks of one.
    None,
    /// Exactly so many bytes; 0 where `Content-Length: 0` was said.
    Length(u64),
    Chunked,
    /// Until the sender closes: answers only.
    UntilClose,
}

impl Framing {
    /// Is there no byte to wait for?
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// The framing fields of a head while its fields are walked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FramingFields {
    pub length: Option<u64>,
    coding: Option<Coding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// A coding that we do not know, in a list that is otherwise sound.
    Unknown,
}

const BOTH: &str = "There are both Content-Length and Transfer-Encoding.";
const NOT_IN_1_0: &str = "HTTP/1.0 has no Transfer-Encoding.";

impl FramingFields {
    pub fn content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.length.is_some() {
            return Err(Malformed("Content-Length stands twice."));
        }
        self.length = Some(digits(value).ok_or(Malformed("Content-Length is not a plain number."))?);
        Ok(())
    }

    pub fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.coding.is_some() {
            return Err(Malformed("Transfer-Encoding stands twice."));
        }
        let broken = Malformed("Transfer-Encoding is no list of codings, or chunked is not the last of it.");
        self.coding = Some(coding(value).ok_or(broken)?);
        Ok(())
    }

    /// A request's body. Without either field it has none (RFC 9112 §6.3, rule 7).
    pub fn of_request(self, version: Version) -> Result<Framing, Refusal> {
        match (self.coding, self.length) {
            (Some(_), Some(_)) => Err(Refusal::request(BOTH)),
            (Some(_), None) if version == Version::Http10 => Err(Refusal::request(NOT_IN_1_0)),
            (Some(Coding::Unknown), None) => {
                Err(Refusal { kind: Kind::NotImplemented, rule: "The only transfer coding served is chunked." })
            }
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::None),
        }
    }

    /// An answer's body, where the status and the request allow one.
    pub fn of_response(self, version: Version) -> Result<Framing, Refusal> {
        match (self.coding, self.length) {
            (Some(Coding::Chunked), None) if version == Version::Http11 => Ok(Framing::Chunked),
            (Some(_), Some(_)) => Err(Refusal::answer(BOTH)),
            (Some(Coding::Unknown), None) => Err(Refusal::answer("Transfer-Encoding is not chunked.")),
            (Some(Coding::Chunked), None) => Err(Refusal::answer(NOT_IN_1_0)),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::UntilClose),
        }
    }

    pub const fn has_coding(self) -> bool {
        self.coding.is_some()
    }
}

/// `1*DIGIT` that fits 64 bits. Nothing else: `str::parse` would take a sign.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// `None` where the text is no list of codings or `chunked` is not its last element alone: shapes that readers are known
/// to take differently.
fn coding(value: &[u8]) -> Option<Coding> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Some(Coding::Chunked);
    }
    let mut rest = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).peekable();
    while let Some(element) = rest.next() {
        if element.is_empty() || !element.iter().all(|byte| is_token(*byte)) {
            return None;
        }
        if element.eq_ignore_ascii_case(b"chunked") && rest.peek().is_some() {
            return None;
        }
    }
    Some(Coding::Unknown)
}

/// `tchar` of RFC 9110 §5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}
