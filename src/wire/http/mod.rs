//! HTTP/1 without a socket: heads and bodies read strictly, heads written in one pass.
//!
//! **The rule behind every rule.** Two readers on one path that disagree where a message ends are a smuggling hole. So a
//! shape is accepted only if RFC 9112 gives it exactly one reading and every server in the field (nginx among them) takes
//! the same one; everything else is refused, never repaired. What that means in detail:
//!
//! - Lines end in CRLF. A bare LF, a bare CR, NUL, a folded line or a blank before the colon is refused.
//! - At most [`LEADING_CRLF_MAX`] empty lines before a request line are skipped (RFC 9112 §2.2), none before a status line.
//! - `Content-Length`: one field, digits only, no sign, list, blank inside or overflow. A second one is refused even when
//!   it says the same. Next to `Transfer-Encoding` it is refused whatever either says.
//! - `Transfer-Encoding`: one field, exactly `chunked` (any case), HTTP/1.1 only. Another valid coding is 501, any other
//!   text 400.
//! - `Host`: exactly one in HTTP/1.1, at most one in HTTP/1.0; letters, digits, `-._~` or a bracketed IPv6 literal, and a
//!   port. No user information, no list.
//! - A second `Authorization`, `X-Api-Key` or other credential is refused: two readers may take different ones.
//! - Targets are visible ASCII without `#`: origin-form, absolute-form with http or https, and `*` for `OPTIONS`.
//! - Answers are read by the same rules; whatever breaks one is `UpstreamInvalid` and the connection is not used again.
//! - Chunk sizes are 1 to 16 hex digits; an extension holds no control character; the sum of sizes must fit 64 bits.

pub mod allow;
pub mod body;
pub mod field;
mod framing;
mod refusal;
pub mod request;
pub mod response;
mod target;
pub mod write;

use crate::base::bounds::HEAD_FIELDS_MAX;
use std::mem::MaybeUninit;

pub use allow::AllowList;
pub use body::{BodyDecoder, Decoded};
pub use field::{Field, Fields, Known};
pub use framing::Framing;
pub use refusal::{Refusal, request_line};
pub use request::{Method, Progress, RequestHead};
pub use response::{Media, ResponseHead};

/// Empty lines skipped before a request line.
pub const LEADING_CRLF_MAX: usize = 4;

/// Space for the fields of one head: 3.2 KB that nothing initialises. Keep it in a plain function or in the core, not in
/// a value that lives across waits, where every connection would pay for it.
pub type Slots<'b> = [MaybeUninit<Field<'b>>; HEAD_FIELDS_MAX];

/// Fresh [`Slots`]; costs nothing.
#[must_use]
pub const fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX]
}

/// The two versions served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    Http10,
    Http11,
}

impl Version {
    const fn of(minor: Option<u8>) -> Self {
        match minor {
            Some(1) => Self::Http11,
            _ => Self::Http10,
        }
    }
}

#[cfg(test)]
mod tests;
