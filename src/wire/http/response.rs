//! An upstream's answer head: status, where its body ends, and the few fields that decide what is done with it.

use super::field::{Field, Fields, Known, elements};
use super::framing::{Framing, FramingFields, digits};
use super::refusal::{LINE_ENDS, Malformed, Refusal, syntax};
use super::request::{Method, crlf_lines};
use super::{Slots, Version};
use crate::base::bounds::HEAD_BYTES_MAX;

/// What the body is, as far as the path cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    /// `text/event-stream`.
    EventStream,
    /// `application/x-ndjson` and its spellings.
    Ndjson,
    /// `application/json`, `text/json` and `…+json`.
    Json,
    Other,
    /// No content type was given.
    Absent,
}

impl Media {
    /// The class of a `Content-Type` value; parameters are ignored.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let essence = value[..end].trim_ascii();
        let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
        if is(b"application/json") || is(b"text/json") || ends_with_json(essence) {
            Self::Json
        } else if is(b"text/event-stream") {
            Self::EventStream
        } else if is(b"application/x-ndjson") || is(b"application/ndjson") || is(b"application/jsonl") {
            Self::Ndjson
        } else if essence.is_empty() {
            Self::Absent
        } else {
            Self::Other
        }
    }

    /// Comes in pieces that are passed on one by one.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::EventStream | Self::Ndjson)
    }
}

fn ends_with_json(essence: &[u8]) -> bool {
    essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json")
}

/// A whole answer head. Everything borrows from the read buffer and the slots.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b> {
    /// 100 to 599, never 101.
    pub status: u16,
    /// May be empty.
    pub reason: &'b str,
    pub version: Version,
    pub fields: Fields<'b>,
    /// The body that follows on this connection (RFC 9112 §6.3).
    pub framing: Framing,
    /// What `Content-Length` said, also where no body follows (`HEAD`, 304).
    pub content_length: Option<u64>,
    /// May the connection be used again once the body is read?
    pub keep_alive: bool,
    /// `Keep-Alive: timeout=…`, seconds: the upstream closes an idle connection after so long.
    pub keep_alive_timeout: Option<u32>,
    pub media: Media,
    pub content_type: Option<&'b [u8]>,
    /// The body is coded (gzip …): its bytes cannot be looked into.
    pub is_encoded: bool,
    /// Seconds or a date, as it came.
    pub retry_after: Option<&'b [u8]>,
    pub has_connection_fields: bool,
    /// Bytes of the head in the buffer; the body starts here.
    pub len: usize,
}

impl ResponseHead<'_> {
    /// 1xx: another head follows on the same connection.
    #[must_use]
    pub const fn is_informational(&self) -> bool {
        self.status < 200
    }

    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// `Retry-After` where it is a number of seconds; a date needs a clock.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        digits(self.retry_after?)
    }
}

/// Reads an answer head from the start of `buf`; `request` is the method it answers. `Ok(None)`: not whole yet.
///
/// # Errors
/// `UpstreamInvalid`, with the rule that was broken: the connection is to be closed.
pub fn parse<'s, 'b: 's>(
    buf: &'b [u8],
    request: Method,
    slots: &'s mut Slots<'b>,
) -> Result<Option<ResponseHead<'s>>, Refusal> {
    if matches!(buf.first(), Some(b'\r' | b'\n')) {
        return Err(Refusal::answer("It begins with an empty line."));
    }
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, buf, slots) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => complete(response, buf, request, len).map(Some),
        Ok(httparse::Status::Partial) if buf.len() < HEAD_BYTES_MAX => Ok(None),
        Ok(_) => Err(Refusal::answer("Its head is too large.")),
        Err(error) => Err(Refusal::answer(syntax(error))),
    }
}

fn complete<'s, 'b: 's>(
    response: httparse::Response<'s, 'b>,
    buf: &'b [u8],
    request: Method,
    len: usize,
) -> Result<ResponseHead<'s>, Refusal> {
    let fields: &'s [Field<'s>] = response.headers;
    crlf_lines(&buf[..len], fields).ok_or(Refusal::answer(LINE_ENDS))?;
    let status = response.code.filter(|code| (100..600).contains(code) && *code != 101);
    let status = status.ok_or(Refusal::answer("Its status is none that could have been expected."))?;
    let mut head = ResponseHead {
        status,
        reason: response.reason.unwrap_or_default(),
        version: Version::of(response.version),
        fields: Fields(fields),
        framing: Framing::None,
        content_length: None,
        keep_alive: false,
        keep_alive_timeout: None,
        media: Media::Absent,
        content_type: None,
        is_encoded: false,
        retry_after: None,
        has_connection_fields: false,
        len,
    };
    walk(&mut head, fields, request)?;
    Ok(head)
}

/// The one pass over the fields.
fn walk<'b>(head: &mut ResponseHead<'b>, fields: &'b [Field<'b>], request: Method) -> Result<(), Refusal> {
    let mut framing = FramingFields::default();
    let (mut close, mut keep_alive) = (false, false);
    for field in fields {
        let value = field.value;
        match Known::of(field.name) {
            Known::ContentLength => framing.content_length(value).map_err(Malformed::in_answer)?,
            Known::TransferEncoding => framing.transfer_encoding(value).map_err(Malformed::in_answer)?,
            Known::Connection => {
                for element in elements(value) {
                    let is = |name: &[u8]| element.eq_ignore_ascii_case(name);
                    close |= is(b"close");
                    keep_alive |= is(b"keep-alive");
                    head.has_connection_fields |= !is(b"close") && !is(b"keep-alive");
                }
            }
            Known::KeepAlive => head.keep_alive_timeout = elements(value).find_map(timeout),
            Known::ContentType => {
                head.content_type = Some(value);
                head.media = Media::of(value);
            }
            Known::ContentEncoding => head.is_encoded |= !value.eq_ignore_ascii_case(b"identity"),
            Known::RetryAfter => head.retry_after = Some(value),
            _ => {}
        }
    }
    head.content_length = framing.length;
    head.keep_alive = !close && (head.version == Version::Http11 || keep_alive);
    settle_framing(head, framing, request)
}

/// RFC 9112 §6.3. A body where none may be is not read, and since the upstream may send one all the same, such a
/// connection is not used again.
fn settle_framing(head: &mut ResponseHead<'_>, fields: FramingFields, request: Method) -> Result<(), Refusal> {
    let framing = fields.of_response(head.version)?;
    let bodiless = head.status < 200 || head.status == 204;
    if bodiless && (fields.has_coding() || fields.length.is_some_and(|length| length > 0)) {
        head.keep_alive = false;
    }
    head.framing = if bodiless || head.status == 304 || request == Method::Head { Framing::None } else { framing };
    head.keep_alive &= head.framing != Framing::UntilClose;
    Ok(())
}

fn timeout(element: &[u8]) -> Option<u32> {
    let mark = memchr::memchr(b'=', element)?;
    let (name, value) = (element[..mark].trim_ascii(), element[mark + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"timeout") {
        digits(value).and_then(|seconds| u32::try_from(seconds).ok())
    } else {
        None
    }
}
