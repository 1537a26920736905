//! Just enough HTTP/1.1 for the demo server: one bounded request in, one answer out, whole or in chunks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::base::bounds::{CHUNK_LINE_BYTES_MAX, HEAD_BYTES_MAX, HEAD_FIELDS_MAX, WHOLE_BODY_BYTES_MAX};

/// One request, body included.
pub struct Request {
    pub method: String,
    /// Path without the query.
    pub path: String,
    pub body: Vec<u8>,
    pub keep_alive: bool,
    /// HTTP/1.0 knows no chunks: a stream ends with the connection.
    pub chunks_allowed: bool,
}

/// The reading half of a connection.
pub struct Reader {
    inner: BufReader<TcpStream>,
}

impl Reader {
    pub fn new(stream: TcpStream) -> Self {
        Self { inner: BufReader::new(stream) }
    }

    /// The next request; `None` when the client has closed between two requests.
    pub fn next(&mut self, wire: &mut Wire) -> io::Result<Option<Request>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let mut fields = [httparse::EMPTY_HEADER; HEAD_FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut fields);
        if !matches!(parsed.parse(&head), Ok(httparse::Status::Complete(_))) {
            return Err(invalid("the request head is not HTTP"));
        }
        let version = parsed.version.unwrap_or(0);
        let framing = Framing::of(parsed.headers)?;
        let mut request = Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: parsed.path.unwrap_or_default().split('?').next().unwrap_or_default().to_owned(),
            body: Vec::new(),
            keep_alive: framing.keep_alive.unwrap_or(version == 1),
            chunks_allowed: version == 1,
        };
        if framing.expects_continue {
            wire.out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = if framing.chunked { self.chunked_body()? } else { self.sized_body(framing.length)? };
        Ok(Some(request))
    }

    fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head = Vec::new();
        loop {
            let start = head.len();
            let room = (HEAD_BYTES_MAX - start) as u64;
            let read = self.inner.by_ref().take(room).read_until(b'\n', &mut head)?;
            match (read, &head[start..]) {
                (0, _) if start == 0 => return Ok(None),
                (0, _) => return Err(invalid("the request head is cut or too large")),
                (_, b"\r\n" | b"\n") if start == 0 => head.clear(),
                (_, b"\r\n" | b"\n") => return Ok(Some(head)),
                _ => {}
            }
        }
    }

    fn sized_body(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > WHOLE_BODY_BYTES_MAX {
            return Err(invalid("the request body is too large"));
        }
        let mut body = vec![0; length];
        self.inner.read_exact(&mut body)?;
        Ok(body)
    }

    fn chunked_body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.short_line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(|_| invalid("a chunk size is not a number"))?;
            if size == 0 {
                while !self.short_line()?.is_empty() {} // trailers
                return Ok(body);
            }
            if body.len() + size > WHOLE_BODY_BYTES_MAX {
                return Err(invalid("the request body is too large"));
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.inner.read_exact(&mut body[start..])?;
            self.short_line()?;
        }
    }

    fn short_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.inner.by_ref().take(CHUNK_LINE_BYTES_MAX as u64).read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(invalid("a line of the body is cut or too long"));
        }
        Ok(line.trim_end().to_owned())
    }
}

/// What the head says about the body and the connection.
#[derive(Default)]
struct Framing {
    length: usize,
    chunked: bool,
    expects_continue: bool,
    keep_alive: Option<bool>,
}

impl Framing {
    fn of(fields: &[httparse::Header<'_>]) -> io::Result<Self> {
        let mut framing = Self::default();
        for field in fields {
            let value = String::from_utf8_lossy(field.value).trim().to_ascii_lowercase();
            match field.name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    framing.length = value.parse().map_err(|_| invalid("Content-Length is no number"))?
                }
                "transfer-encoding" => framing.chunked = value == "chunked",
                "expect" => framing.expects_continue = value == "100-continue",
                "connection" => framing.keep_alive = Some(value != "close"),
                _ => {}
            }
        }
        Ok(framing)
    }
}

/// The writing half of a connection. A head is sent together with its whole body, a stream one chunk at a time.
pub struct Wire {
    out: TcpStream,
    keep_alive: bool,
    chunks_allowed: bool,
    body_wanted: bool,
}

impl Wire {
    pub fn new(out: TcpStream) -> Self {
        Self { out, keep_alive: true, chunks_allowed: true, body_wanted: true }
    }

    /// Takes over from the request how its answer must be framed.
    pub fn answer_to(&mut self, request: &Request) {
        self.keep_alive = request.keep_alive;
        self.chunks_allowed = request.chunks_allowed;
        self.body_wanted = request.method != "HEAD";
    }

    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// A whole answer of type `application/json`.
    pub fn json(&mut self, status: u16, body: &Value) -> io::Result<()> {
        self.whole(status, "application/json; charset=utf-8", &body.to_string())
    }

    pub fn whole(&mut self, status: u16, content_type: &str, body: &str) -> io::Result<()> {
        let length = body.len();
        let mut bytes = self.head(status, content_type, &format!("Content-Length: {length}\r\n")).into_bytes();
        if self.body_wanted {
            bytes.extend_from_slice(body.as_bytes());
        }
        self.out.write_all(&bytes)
    }

    /// Opens a stream; [`Wire::event`] and [`Wire::end`] follow.
    pub fn begin(&mut self, content_type: &str) -> io::Result<()> {
        self.keep_alive &= self.chunks_allowed;
        let framing = if self.chunks_allowed { "Transfer-Encoding: chunked\r\n" } else { "" };
        let head = self.head(200, content_type, &format!("Cache-Control: no-cache\r\n{framing}"));
        self.out.write_all(head.as_bytes())
    }

    /// One event, written at once, so that it leaves as one segment.
    pub fn event(&mut self, bytes: &str) -> io::Result<()> {
        if self.chunks_allowed {
            self.out.write_all(format!("{:x}\r\n{bytes}\r\n", bytes.len()).as_bytes())
        } else {
            self.out.write_all(bytes.as_bytes())
        }
    }

    pub fn end(&mut self) -> io::Result<()> {
        if self.chunks_allowed { self.out.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }

    fn head(&self, status: u16, content_type: &str, framing: &str) -> String {
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let reason = reason(status);
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{framing}Connection: {connection}\r\n\r\n"
        )
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
