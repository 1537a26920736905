//! Heads of requests and replies.

/// A head longer than this is refused; servers in the field stop at 8 to 32 KiB.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// What matters of a reply's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    /// 100 to 999.
    pub status: u16,
    /// How the body ends.
    pub framing: Framing,
    /// The connection may be used again.
    pub keep_alive: bool,
    /// A `Retry-After` field was there.
    pub retry_after: bool,
}

/// What matters of a request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET`, `POST`, …
    pub method: String,
    /// The target as it was sent.
    pub target: String,
    /// How the body ends; a request without either field has none.
    pub framing: Framing,
    /// The connection may be used again.
    pub keep_alive: bool,
    /// The value of `X-Mock`, which overrides the model's name.
    pub mock: Option<String>,
}

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// Not HTTP/1.
    StartLine,
    /// A field without a colon, or a length that is no number, or two that differ.
    Field,
    /// Longer than [`HEAD_BYTES_MAX`].
    TooLong,
}

/// Where the head ends (the length with its blank line), if it is all there.
fn head_length(bytes: &[u8]) -> Result<Option<usize>, HeadError> {
    match memchr::memmem::find(bytes, b"\r\n\r\n") {
        Some(at) if at + 4 <= HEAD_BYTES_MAX => Ok(Some(at + 4)),
        Some(_) => Err(HeadError::TooLong),
        None if bytes.len() > HEAD_BYTES_MAX => Err(HeadError::TooLong),
        None => Ok(None),
    }
}

#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    retry_after: bool,
    mock: Option<String>,
}

fn fields(lines: &[u8]) -> Result<Fields, HeadError> {
    let mut found = Fields::default();
    for line in lines.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = memchr::memchr(b':', line).ok_or(HeadError::Field)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return Err(HeadError::Field);
        }
        found.take(name, value)?;
    }
    Ok(found)
}

impl Fields {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).map_err(|_| HeadError::Field)?;
            let length = text.parse().map_err(|_| HeadError::Field)?;
            if self.length.is_some_and(|other| other != length) {
                return Err(HeadError::Field);
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = value.to_ascii_lowercase().ends_with(b"chunked");
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.close = value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            self.retry_after = true;
        } else if name.eq_ignore_ascii_case(b"x-mock") {
            self.mock = Some(String::from_utf8_lossy(value).into_owned());
        }
        Ok(())
    }
}

/// Reads a reply's head: `None` while bytes are missing, otherwise the head and its length.
///
/// # Errors
/// When it can never become a head.
pub fn parse_reply(bytes: &[u8]) -> Result<Option<(ReplyHead, usize)>, HeadError> {
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    if bytes[..known] != START[..known] {
        return Err(HeadError::StartLine);
    }
    let Some(length) = head_length(bytes)? else { return Ok(None) };
    let line_end = memchr::memmem::find(bytes, b"\r\n").ok_or(HeadError::StartLine)?;
    let line = &bytes[..line_end];
    let status = line.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
    let status = status.filter(|&s| s >= 100 && line[8] == b' ').ok_or(HeadError::StartLine)?;
    let found = fields(&bytes[line_end + 2..length - 2])?;
    let framing = if status == 204 || status == 304 || status < 200 {
        Framing::Length(0)
    } else if found.chunked {
        Framing::Chunked
    } else {
        found.length.map_or(Framing::UntilClose, Framing::Length)
    };
    let keep_alive = line[7] == b'1' && !found.close && framing != Framing::UntilClose;
    Ok(Some((ReplyHead { status, framing, keep_alive, retry_after: found.retry_after }, length)))
}

/// Reads a request's head: `None` while bytes are missing, otherwise the head and its length.
///
/// # Errors
/// When it can never become a head.
pub fn parse_request(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, HeadError> {
    let Some(length) = head_length(bytes)? else { return Ok(None) };
    let line_end = memchr::memmem::find(bytes, b"\r\n").ok_or(HeadError::StartLine)?;
    let line = std::str::from_utf8(&bytes[..line_end]).map_err(|_| HeadError::StartLine)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadError::StartLine);
    };
    if !version.starts_with("HTTP/1.") {
        return Err(HeadError::StartLine);
    }
    let found = fields(&bytes[line_end + 2..length - 2])?;
    let framing = if found.chunked { Framing::Chunked } else { Framing::Length(found.length.unwrap_or(0)) };
    let keep_alive = version == "HTTP/1.1" && !found.close;
    let head =
        RequestHead { method: method.to_owned(), target: target.to_owned(), framing, keep_alive, mock: found.mock };
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 429 Too Many\r\nContent-Length: 5\r\nretry-after: 3\r\n\r\nhello";

    #[test]
    fn a_reply_is_read_at_every_cut() {
        let whole = parse_reply(REPLY).unwrap().unwrap();
        assert_eq!(
            whole.0,
            ReplyHead { status: 429, framing: Framing::Length(5), keep_alive: true, retry_after: true }
        );
        assert_eq!(&REPLY[whole.1..], b"hello");
        for cut in 0..whole.1 {
            assert_eq!(parse_reply(&REPLY[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn framing_follows_the_fields() {
        let framing = |text: &str| parse_reply(text.as_bytes()).unwrap().unwrap().0;
        assert_eq!(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").framing, Framing::Chunked);
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n").framing, Framing::UntilClose);
        assert!(!framing("HTTP/1.1 200 OK\r\n\r\n").keep_alive);
        assert!(!framing("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n").keep_alive);
        assert_eq!(framing("HTTP/1.1 204 No\r\n\r\n").framing, Framing::Length(0));
    }

    #[test]
    fn what_is_not_http_is_said_at_the_first_byte() {
        assert_eq!(parse_reply(b"S"), Err(HeadError::StartLine));
        assert_eq!(parse_reply(b"HTTP/1.1 2x0 OK\r\n\r\n"), Err(HeadError::StartLine));
        assert_eq!(parse_reply(b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n"), Err(HeadError::Field));
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(parse_reply(two), Err(HeadError::Field));
        assert_eq!(
            parse_reply(&[b"HTTP/1.1 200 OK\r\na: ".as_slice(), &[b'x'; 70_000]].concat()),
            Err(HeadError::TooLong)
        );
    }

    #[test]
    fn a_request_is_read() {
        let (head, length) =
            parse_request(b"POST /api/chat HTTP/1.1\r\nHost: a\r\nX-Mock: mock-json\r\ncontent-length: 2\r\n\r\n{}")
                .unwrap()
                .unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("POST", "/api/chat"));
        assert_eq!(
            (head.framing, head.keep_alive, head.mock.as_deref()),
            (Framing::Length(2), true, Some("mock-json"))
        );
        assert_eq!(length, 74);
        assert_eq!(parse_request(b"nonsense\r\n\r\n"), Err(HeadError::StartLine));
    }
}
