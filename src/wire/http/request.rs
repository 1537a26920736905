//! A request head: httparse finds the pieces, everything that it lets through and that could be read in two ways is
//! refused here. The rules are listed in the module above.

use super::field::{Field, Fields, Known, elements};
use super::framing::{Framing, FramingFields};
use super::refusal::{IS_TLS, LINE_ENDS, Refusal, TLS_HELLO, syntax};
use super::target::{Target, host};
use super::{LEADING_CRLF_MAX, Slots, Version};
use crate::base::bounds::{HEAD_BYTES_MAX, REQUEST_ID_BYTES_MAX, REQUEST_LINE_BYTES_MAX};
use crate::base::error::Kind;

/// The methods that rules speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

impl Method {
    fn of(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// Changes nothing at the server (RFC 9110 §9.2.1), so that repeating it is always allowed.
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

/// A whole request head. Everything borrows from the read buffer and the slots.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'b> {
    pub method: Method,
    /// The method as it was written.
    pub method_text: &'b str,
    /// Starts with `/`, or is `*` for `OPTIONS *`. Not decoded.
    pub path: &'b str,
    /// Without its `?`.
    pub query: Option<&'b str>,
    /// From the target if it was in absolute-form, else from `Host`; empty only in HTTP/1.0.
    pub authority: &'b str,
    pub version: Version,
    pub fields: Fields<'b>,
    /// Never [`Framing::UntilClose`].
    pub framing: Framing,
    pub keep_alive: bool,
    /// `Expect: 100-continue` in HTTP/1.1: the client may wait for a word before it sends the body.
    pub expects_continue: bool,
    /// `Connection` names fields besides `close` and `keep-alive`; see [`Fields::connection_tokens`].
    pub has_connection_fields: bool,
    pub authorization: Option<&'b [u8]>,
    /// `x-api-key`, else `api-key`, else `x-goog-api-key`.
    pub api_key: Option<&'b [u8]>,
    pub content_type: Option<&'b [u8]>,
    /// The request body's own coding; `identity` counts as none.
    pub content_encoding: Option<&'b [u8]>,
    pub accept: Option<&'b [u8]>,
    pub accept_encoding: Option<&'b [u8]>,
    pub x_think: Option<&'b [u8]>,
    /// Only if it is safe to log and to repeat: up to 128 of letters, digits and `-_.:/+=@`.
    pub x_request_id: Option<&'b str>,
    pub idempotency_key: Option<&'b [u8]>,
    pub origin: Option<&'b [u8]>,
    pub x_forwarded_for: Option<&'b [u8]>,
    pub upgrade: bool,
    /// `Cache-Control` (or `Pragma`) says `no-cache`.
    pub no_cache: bool,
    /// `Cache-Control` says `no-store`.
    pub no_store: bool,
    /// `Cache-Control: max-age`, seconds; the smallest, if there are several.
    pub max_age: Option<u64>,
    /// Bytes of the head in the buffer, skipped empty lines included; the body starts here.
    pub len: usize,
}

/// What earlier calls for the same head have seen, so that a head which comes in drops is not read again from its start
/// each time. Start with the default for every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    parsed: usize,
    searched: usize,
}

/// Reads a request head from the start of `buf`. `Ok(None)`: not whole yet, read more and ask again.
///
/// # Errors
/// The kind whose status is the answer; the connection is closed after it, since nobody knows where the next request
/// would start. Limits are applied to a head that is not whole as well.
pub fn parse<'s, 'b: 's>(buf: &'b [u8], slots: &'s mut Slots<'b>) -> Result<Option<RequestHead<'s>>, Refusal> {
    let Some(start) = skip_empty_lines(buf)? else { return Ok(None) };
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(&buf[start..], slots) {
        Ok(httparse::Status::Complete(len)) => complete(request, buf, start, len).map(Some),
        Ok(httparse::Status::Partial) => within_limits(&buf[start..]).map(|()| None),
        Err(error) => Err(refusal(error, &buf[start..])),
    }
}

/// [`parse`] for a buffer that grows: linear in all bytes of the head however small the pieces are.
///
/// # Errors
/// As [`parse`]; a bad line may be noticed somewhat later, but never accepted.
pub fn parse_growing<'s, 'b: 's>(
    buf: &'b [u8],
    progress: &mut Progress,
    slots: &'s mut Slots<'b>,
) -> Result<Option<RequestHead<'s>>, Refusal> {
    let ended = head_may_have_ended(buf, progress.searched);
    progress.searched = buf.len();
    if !ended && buf.len() < progress.parsed.saturating_mul(2) {
        return within_limits(&buf[skip_empty_lines(buf)?.unwrap_or(0)..]).map(|()| None);
    }
    progress.parsed = buf.len();
    parse(buf, slots)
}

/// Does an empty line end in `buf[searched..]`? Bare LF counts, since the parser has to see and refuse it.
fn head_may_have_ended(buf: &[u8], searched: usize) -> bool {
    let fresh = buf.get(searched..).unwrap_or_default();
    memchr::memchr_iter(b'\n', fresh).any(|at| {
        let at = searched + at;
        buf[..at].ends_with(b"\n") || buf[..at].ends_with(b"\n\r")
    })
}

/// Where the request line starts; `None` while only empty lines (or nothing) came.
fn skip_empty_lines(buf: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut start = 0;
    loop {
        match &buf[start..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if start < 2 * LEADING_CRLF_MAX => start += 2,
            [b'\r', b'\n', ..] => return Err(Refusal::request("There are too many empty lines before the request.")),
            [b'\r' | b'\n', ..] => return Err(Refusal::request(LINE_ENDS)),
            _ => return Ok(Some(start)),
        }
    }
}

/// Limits on a head that is not whole.
fn within_limits(head: &[u8]) -> Result<(), Refusal> {
    let line = &head[..head.len().min(REQUEST_LINE_BYTES_MAX + 2)];
    if line.len() > REQUEST_LINE_BYTES_MAX + 1 && memchr::memchr(b'\n', line).is_none() {
        return Err(Kind::TargetTooLong.into());
    }
    if head.len() >= HEAD_BYTES_MAX { Err(Kind::HeadTooLarge.into()) } else { Ok(()) }
}

fn refusal(error: httparse::Error, head: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal { kind: Kind::HeadTooLarge, rule: syntax(error) },
        httparse::Error::Version if names_other_version(head) => Kind::VersionNotSupported.into(),
        _ if head.starts_with(TLS_HELLO) => Refusal::request(IS_TLS),
        _ => Refusal::request(syntax(error)),
    }
}

/// The third word of the line is `HTTP/` and a digit: a version, if not one of ours. The preface of HTTP/2 is one.
fn names_other_version(head: &[u8]) -> bool {
    let word = head.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
    word.starts_with(b"HTTP/") && word.get(5).is_some_and(u8::is_ascii_digit)
}

#[inline]
fn complete<'s, 'b: 's>(
    request: httparse::Request<'s, 'b>,
    buf: &'b [u8],
    start: usize,
    len: usize,
) -> Result<RequestHead<'s>, Refusal> {
    let fields: &'s [Field<'s>] = request.headers;
    let head = &buf[start..start + len];
    let line = crlf_lines(head, fields).ok_or(Refusal::request(LINE_ENDS))?;
    if line > REQUEST_LINE_BYTES_MAX {
        return Err(Kind::TargetTooLong.into());
    }
    if len > HEAD_BYTES_MAX {
        return Err(Kind::HeadTooLarge.into());
    }
    let method_text = request.method.ok_or(Kind::BadRequest)?;
    let method = Method::of(method_text);
    let target = Target::of(method_text, request.path.ok_or(Kind::BadRequest)?)?;
    let version = Version::of(request.version);
    let mut head = RequestHead {
        method,
        method_text,
        path: target.path,
        query: target.query,
        authority: "",
        version,
        fields: Fields(fields),
        framing: Framing::None,
        keep_alive: false,
        expects_continue: false,
        has_connection_fields: false,
        authorization: None,
        api_key: None,
        content_type: None,
        content_encoding: None,
        accept: None,
        accept_encoding: None,
        x_think: None,
        x_request_id: None,
        idempotency_key: None,
        origin: None,
        x_forwarded_for: None,
        upgrade: false,
        no_cache: false,
        no_store: false,
        max_age: None,
        len: start + len,
    };
    walk(&mut head, fields)?;
    if let Some(authority) = target.authority {
        head.authority = authority;
    }
    Ok(head)
}

/// Checks that every line of the head ends in CRLF and gives the length of the first. httparse takes a bare LF, but
/// guarantees that no other control character than HTAB stands inside a line, so the two bytes before each line's
/// successor say all.
pub(super) fn crlf_lines(head: &[u8], fields: &[Field<'_>]) -> Option<usize> {
    if !head.ends_with(b"\r\n\r\n") {
        return None;
    }
    let Some((first, others)) = fields.split_first() else { return Some(head.len() - 4) };
    let offset = |field: &Field<'_>| (field.name.as_ptr() as usize).checked_sub(head.as_ptr() as usize);
    let ends = |at: usize| head.get(at.checked_sub(2)?..at).filter(|end| *end == b"\r\n").map(|_| at - 2);
    let line = ends(offset(first)?)?;
    for field in others {
        ends(offset(field)?)?;
    }
    Some(line)
}

/// Fields whose meaning is settled only when all have been seen.
#[derive(Default)]
struct Seen<'b> {
    framing: FramingFields,
    host: Option<&'b str>,
    close: bool,
    keep_alive: bool,
    keys: [Option<&'b [u8]>; 3],
}

const NO_HOST: Refusal = Refusal::request("Host is not a name or an address with an optional port.");

/// The one pass over the fields.
fn walk<'b>(head: &mut RequestHead<'b>, fields: &'b [Field<'b>]) -> Result<(), Refusal> {
    let mut seen = Seen::default();
    for field in fields {
        let value = field.value;
        match Known::of(field.name) {
            Known::Other => {}
            Known::Host => once(&mut seen.host, host(value).ok_or(NO_HOST)?, "Host stands twice.")?,
            Known::ContentLength => seen.framing.content_length(value)?,
            Known::TransferEncoding => seen.framing.transfer_encoding(value)?,
            Known::Connection => head.has_connection_fields |= seen.connection(value),
            Known::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Kind::ExpectationFailed.into());
            }
            Known::Expect => head.expects_continue = head.version == Version::Http11,
            Known::Authorization => once(&mut head.authorization, value, "Authorization stands twice.")?,
            Known::XApiKey => once(&mut seen.keys[0], value, "X-Api-Key stands twice.")?,
            Known::ApiKey => once(&mut seen.keys[1], value, "Api-Key stands twice.")?,
            Known::XGoogApiKey => once(&mut seen.keys[2], value, "X-Goog-Api-Key stands twice.")?,
            known => note(head, known, value),
        }
    }
    if seen.host.is_none() && head.version == Version::Http11 {
        return Err(Refusal::request("Host is missing."));
    }
    head.authority = seen.host.unwrap_or_default();
    head.framing = seen.framing.of_request(head.version)?;
    head.keep_alive = !seen.close && (head.version == Version::Http11 || seen.keep_alive);
    head.api_key = seen.keys.into_iter().flatten().next();
    Ok(())
}

impl Seen<'_> {
    /// Is there an element that names a field?
    fn connection(&mut self, value: &[u8]) -> bool {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
            return false;
        }
        let mut names = false;
        for element in elements(value) {
            if element.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if element.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                names = true;
            }
        }
        names
    }
}

/// Fields of which the first counts, as with every server.
fn note<'b>(head: &mut RequestHead<'b>, known: Known, value: &'b [u8]) {
    let place = match known {
        Known::ContentType => &mut head.content_type,
        Known::ContentEncoding if value.eq_ignore_ascii_case(b"identity") => return,
        Known::ContentEncoding => &mut head.content_encoding,
        Known::Accept => &mut head.accept,
        Known::AcceptEncoding => &mut head.accept_encoding,
        Known::XThink => &mut head.x_think,
        Known::IdempotencyKey => &mut head.idempotency_key,
        Known::Origin => &mut head.origin,
        Known::XForwardedFor => &mut head.x_forwarded_for,
        Known::XRequestId => {
            head.x_request_id = head.x_request_id.or(request_id(value));
            return;
        }
        Known::CacheControl | Known::Pragma => {
            head.no_cache |= elements(value).any(|element| element.eq_ignore_ascii_case(b"no-cache"));
            head.no_store |= elements(value).any(|element| element.eq_ignore_ascii_case(b"no-store"));
            for age in elements(value).filter_map(max_age) {
                head.max_age = Some(head.max_age.map_or(age, |other| other.min(age)));
            }
            return;
        }
        Known::Upgrade => {
            head.upgrade = true;
            return;
        }
        _ => return,
    };
    place.get_or_insert(value);
}

/// The seconds of a `max-age`. Beyond what fits in 64 bits any age will do; what is no number is no directive.
fn max_age(element: &[u8]) -> Option<u64> {
    let (name, value) = element.split_at_checked(b"max-age=".len())?;
    let digits = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    if !name.eq_ignore_ascii_case(b"max-age=") || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
}

/// A field that must not come twice.
fn once<T>(place: &mut Option<T>, value: T, rule: &'static str) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::request(rule)),
    }
}

fn request_id(value: &[u8]) -> Option<&str> {
    let fits = (1..=REQUEST_ID_BYTES_MAX).contains(&value.len());
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    if fits && value.iter().all(plain) { std::str::from_utf8(value).ok() } else { None }
}
