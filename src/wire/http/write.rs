//! Heads written in one pass. Nothing is allocated but what the output buffer needs to grow.

use super::allow::AllowList;
use super::field::Known;
use super::framing::Framing;
use super::request::RequestHead;
use super::response::ResponseHead;
use super::{Field, Version};

/// Whose credential goes upstream.
#[derive(Clone, Copy, Debug, Default)]
pub enum Credential<'a> {
    /// The client's own, as it came.
    #[default]
    Keep,
    /// None: the client's is meant for the gateway.
    Remove,
    /// This value of `Authorization` in place of whatever the client sent, in any of the places keys are sent in.
    Replace(&'a [u8]),
}

/// What an upstream request says instead of what the client said.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamLine<'a> {
    /// `Host`: the upstream's own, never the client's. Comes from the configuration, never from a request.
    pub authority: &'a str,
    /// Of the upstream's URL, without a slash at its end; often empty.
    pub path_prefix: &'a str,
    /// In place of the request's own path; the two are written one after the other.
    pub path_override: Option<[&'a str; 2]>,
    /// In place of the request's own method.
    pub method_override: Option<&'a str>,
    pub credential: Credential<'a>,
    /// `x-request-id`, kept or made by the caller.
    pub request_id: &'a str,
    /// Of the body that will be sent.
    pub framing: Framing,
    /// More fields; a client's field of the same name is left out.
    pub extra: &'a [(&'a str, &'a [u8])],
}

/// Writes the request as it goes upstream, always HTTP/1.1 and always to be kept alive.
pub fn upstream_request(out: &mut Vec<u8>, head: &RequestHead<'_>, line: &UpstreamLine<'_>) {
    request_line(out, head, line);
    field(out, "Host", line.authority.as_bytes());
    for entry in head.fields {
        if goes_upstream(entry, head, line) {
            field(out, entry.name, entry.value);
        }
    }
    if let Credential::Replace(value) = line.credential {
        field(out, "Authorization", value);
    }
    field(out, "Accept-Encoding", b"identity");
    field(out, "X-Request-Id", line.request_id.as_bytes());
    for (name, value) in line.extra {
        field(out, name, value);
    }
    framing_fields(out, line.framing);
    out.extend_from_slice(b"\r\n");
}

fn request_line(out: &mut Vec<u8>, head: &RequestHead<'_>, line: &UpstreamLine<'_>) {
    let [path, id] = line.path_override.unwrap_or([head.path, ""]);
    out.extend_from_slice(line.method_override.unwrap_or(head.method_text).as_bytes());
    out.push(b' ');
    if path != "*" {
        out.extend_from_slice(line.path_prefix.as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(id.as_bytes());
    if let Some(query) = head.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

fn goes_upstream(entry: &Field<'_>, head: &RequestHead<'_>, line: &UpstreamLine<'_>) -> bool {
    let known = Known::of(entry.name);
    match known {
        // Written anew, or spoken to the gateway alone.
        Known::Host
        | Known::ContentLength
        | Known::Expect
        | Known::AcceptEncoding
        | Known::XRequestId
        | Known::XThink => return false,
        _ if known.is_hop_by_hop() => return false,
        _ if known.is_credential() && !matches!(line.credential, Credential::Keep) => return false,
        Known::Other if is_disguised(entry.name) => return false,
        _ => {}
    }
    let replaced = line.extra.iter().any(|(name, _)| name.eq_ignore_ascii_case(entry.name));
    let of_connection = head.has_connection_fields && head.fields.connection_names(entry.name);
    !replaced && !of_connection
}

/// `Content_Length`, `X_Api_Key`: gateways to CGI and WSGI read an underscore as a hyphen, so that a field which no rule
/// here has looked at would count there. Other names with underscores pass: clients use some.
fn is_disguised(name: &str) -> bool {
    const LONGEST: usize = 32;
    if !name.contains('_') || name.len() > LONGEST {
        return false;
    }
    let mut plain = [0; LONGEST];
    for (to, from) in plain.iter_mut().zip(name.bytes()) {
        *to = if from == b'_' { b'-' } else { from };
    }
    std::str::from_utf8(&plain[..name.len()]).is_ok_and(|plain| Known::of(plain) != Known::Other)
}

/// What the client's answer says beside what the upstream's head said.
#[derive(Clone, Copy, Debug)]
pub struct DownstreamLine<'a> {
    /// Of the body as it will be sent, edits considered. For `HEAD`, that of the body which is not sent.
    pub framing: Framing,
    /// The body is passed on piece by piece: no cache or buffer between here and the client may hold it.
    pub stream: bool,
    pub allow: &'a AllowList,
    /// More fields; an upstream's field of the same name is left out.
    pub extra: &'a [(&'a str, &'a [u8])],
    pub keep_alive: bool,
    /// Of the client's request.
    pub version: Version,
}

/// What was written, which may be less than what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How the body is to be sent: an HTTP/1.0 client gets no chunks.
    pub framing: Framing,
    pub keep_alive: bool,
}

/// Writes the answer as it goes to the client. The status line says HTTP/1.1 whatever the client said (RFC 9110 §2.5).
pub fn downstream_response(out: &mut Vec<u8>, head: &ResponseHead<'_>, line: &DownstreamLine<'_>) -> Written {
    status_line(out, head.status);
    for entry in head.fields {
        if reaches_client(entry, head, line) {
            field(out, entry.name, entry.value);
        }
    }
    if line.stream {
        out.extend_from_slice(STREAM_FIELDS);
    }
    for (name, value) in line.extra {
        field(out, name, value);
    }
    // These have no body, and a length may not be named in them (RFC 9110 §8.6).
    let framing = if head.status < 200 || head.status == 204 { Framing::None } else { line.framing };
    finish_answer(out, framing, line.keep_alive, line.version)
}

/// Writes the head of an answer that was kept: there is no upstream's head to copy from.
pub fn stored_response(out: &mut Vec<u8>, content_type: &str, line: &DownstreamLine<'_>) -> Written {
    status_line(out, 200);
    field(out, "Content-Type", content_type.as_bytes());
    if line.stream {
        out.extend_from_slice(STREAM_FIELDS);
    }
    for (name, value) in line.extra {
        field(out, name, value);
    }
    finish_answer(out, line.framing, line.keep_alive, line.version)
}

/// Nothing between here and the client may hold a stream back.
const STREAM_FIELDS: &[u8] = b"Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n";

fn reaches_client(entry: &Field<'_>, head: &ResponseHead<'_>, line: &DownstreamLine<'_>) -> bool {
    if !line.allow.allows(entry.name) || (line.stream && entry.name.eq_ignore_ascii_case("cache-control")) {
        return false;
    }
    let replaced = line.extra.iter().any(|(name, _)| name.eq_ignore_ascii_case(entry.name));
    let of_connection = head.has_connection_fields && head.fields.connection_names(entry.name);
    !replaced && !of_connection
}

/// Writes framing, connection and the empty line.
fn finish_answer(out: &mut Vec<u8>, wanted: Framing, keep_alive: bool, version: Version) -> Written {
    let framing = match wanted {
        Framing::Chunked if version == Version::Http10 => Framing::UntilClose,
        other => other,
    };
    let keep_alive = keep_alive && framing != Framing::UntilClose;
    framing_fields(out, framing);
    match (keep_alive, version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
    Written { framing, keep_alive }
}

/// An answer of the gateway's own.
#[derive(Clone, Copy, Debug)]
pub struct LocalResponse<'a> {
    pub status: u16,
    /// Empty: none is written.
    pub content_type: &'a str,
    /// The value of `Date` (RFC 9110 §5.6.7), from whoever has a clock; empty: none is written.
    pub date: &'a str,
    pub extra: &'a [(&'a str, &'a [u8])],
    pub body: &'a [u8],
    pub keep_alive: bool,
    /// Answer to `HEAD`: the fields of the body without the body.
    pub head_only: bool,
    pub version: Version,
}

/// Writes a whole answer, head and body.
pub fn local_response(out: &mut Vec<u8>, answer: &LocalResponse<'_>) -> Written {
    status_line(out, answer.status);
    if !answer.content_type.is_empty() {
        field(out, "Content-Type", answer.content_type.as_bytes());
    }
    if !answer.date.is_empty() {
        field(out, "Date", answer.date.as_bytes());
    }
    for (name, value) in answer.extra {
        field(out, name, value);
    }
    let bodiless = answer.status < 200 || matches!(answer.status, 204 | 304);
    let framing = if bodiless { Framing::None } else { Framing::Length(answer.body.len() as u64) };
    let written = finish_answer(out, framing, answer.keep_alive, answer.version);
    if !bodiless && !answer.head_only {
        out.extend_from_slice(answer.body);
    }
    written
}

/// `100 Continue`, whole.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The chunk that ends a body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What follows the bytes of every chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The size line of a chunk. A chunk of no bytes would end the body, so `len` must not be 0.
pub fn chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk ends the body");
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut rest = len;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// One whole chunk; nothing for no bytes.
pub fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        chunk_head(out, bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(CHUNK_END);
    }
}

fn framing_fields(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a value would end its line");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase of a status; an upstream's own is not passed on.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        529 => "Overloaded",
        _ => "",
    }
}
