//! The request target and the host, in the forms that every reader takes alike (RFC 9112 §3.2).

use super::framing::digits;
use super::refusal::Refusal;
use crate::base::bounds::HOST_BYTES_MAX;
use crate::base::error::Kind;

/// A host and an optional port, in characters that every reader takes alike.
pub(super) fn host(value: &[u8]) -> Option<&str> {
    if value.len() > HOST_BYTES_MAX {
        return None;
    }
    let end = match value.first()? {
        b'[' => {
            let close = memchr::memchr(b']', value)?;
            std::str::from_utf8(&value[1..close]).ok()?.parse::<std::net::Ipv6Addr>().ok()?;
            close + 1
        }
        b':' => return None,
        _ => value.iter().position(|byte| !is_host_byte(*byte)).unwrap_or(value.len()),
    };
    let fits = match &value[end..] {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && digits(port).is_some_and(|port| port <= 65535),
        _ => false,
    };
    if fits { std::str::from_utf8(value).ok() } else { None }
}

const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The request target, taken apart.
pub(super) struct Target<'b> {
    pub path: &'b str,
    pub query: Option<&'b str>,
    /// Of an absolute-form target.
    pub authority: Option<&'b str>,
}

impl<'b> Target<'b> {
    pub fn of(method: &str, text: &'b str) -> Result<Self, Refusal> {
        if method == "CONNECT" || method == "TRACE" {
            return Err(Kind::MethodNotAllowed.into());
        }
        // httparse lets visible ASCII pass and, besides, any UTF-8.
        if !text.is_ascii() || memchr::memchr(b'#', text.as_bytes()).is_some() {
            return Err(Refusal::request("The target holds characters other than visible ASCII, or a #."));
        }
        if text == "*" {
            let whole = Self { path: text, query: None, authority: None };
            return if method == "OPTIONS" { Ok(whole) } else { Err(Refusal::request("The target * is for OPTIONS.")) };
        }
        let (authority, rest) = if text.starts_with('/') { (None, text) } else { absolute(text)? };
        let (path, query) = match memchr::memchr(b'?', rest.as_bytes()) {
            Some(mark) => (&rest[..mark], Some(&rest[mark + 1..])),
            None => (rest, None),
        };
        Ok(Self { path: if path.is_empty() { "/" } else { path }, query, authority })
    }
}

/// Authority and remainder of `http://authority/path?query`. CONNECT's authority-form fails here too.
fn absolute(text: &str) -> Result<(Option<&str>, &str), Refusal> {
    const NO_TARGET: Refusal = Refusal::request("The target is neither a path nor an http address.");
    let (scheme, rest) = text.split_once("://").ok_or(NO_TARGET)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(NO_TARGET);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = host(&rest.as_bytes()[..end]).ok_or(NO_TARGET)?;
    Ok((Some(authority), &rest[end..]))
}
