//! Requests and replies as the tests see them, and a strict reader for both.

use std::io::{self, Read};

/// Names and values in their order.
pub type Fields = Vec<(String, String)>;

/// What the upstream received.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which connection to the upstream, counted from 0.
    pub connection: usize,
    /// The head as it came, blank line included.
    pub raw_head: Vec<u8>,
    pub line: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

impl Request {
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }
}

/// What the client received.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub line: String,
    pub fields: Fields,
    /// Statuses of the 1xx heads before it.
    pub interim: Vec<u16>,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// First line and fields of a head.
pub struct Head {
    pub raw: Vec<u8>,
    pub line: String,
    pub fields: Fields,
}

impl Head {
    fn parse(raw: Vec<u8>) -> io::Result<Self> {
        let text = String::from_utf8(raw.clone()).map_err(|_| invalid(format!("not UTF-8: {raw:?}")))?;
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.map(parse_field).collect::<io::Result<_>>()?;
        Ok(Self { raw, line, fields })
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// How the body after this head is framed; an error where two readers could disagree.
    pub fn framing(&self, without: Framing) -> io::Result<Framing> {
        let all = |name: &str| -> Vec<&str> {
            self.fields
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect()
        };
        match (all("transfer-encoding").as_slice(), all("content-length").as_slice()) {
            ([], []) => Ok(without),
            (["chunked"], []) => Ok(Framing::Chunked),
            ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Framing::Length(length.parse().map_err(|_| invalid(format!("Content-Length {length}")))?))
            }
            both => Err(invalid(format!("ambiguous framing {both:?} in {}", self.line))),
        }
    }
}

fn parse_field(line: &str) -> io::Result<(String, String)> {
    let bad = || invalid(format!("not a field: {line:?}"));
    let (name, value) = line.split_once(':').ok_or_else(bad)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) || value.contains(['\r', '\n', '\0']) {
        return Err(bad());
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// Bytes of a connection, with what was read too far.
pub struct Inbox<R> {
    source: R,
    pub pending: Vec<u8>,
}

impl<R: Read> Inbox<R> {
    pub fn new(source: R) -> Self {
        Self { source, pending: Vec::new() }
    }

    /// Reads once more; the number of new bytes, 0 at the end.
    pub fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let read = self.source.read(&mut buffer)?;
        self.pending.extend_from_slice(&buffer[..read]);
        Ok(read)
    }

    /// `None` at a clean end before the first byte.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                let raw: Vec<u8> = self.pending.drain(..end + 4).collect();
                return Head::parse(raw).map(Some);
            }
            if self.fill()? == 0 {
                return if self.pending.is_empty() {
                    Ok(None)
                } else {
                    Err(invalid(format!("cut head: {:?}", String::from_utf8_lossy(&self.pending))))
                };
            }
        }
    }

    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| invalid("not UTF-8".into()));
            }
            self.more()?;
        }
    }

    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.pending.len() < count {
            self.more()?;
        }
        Ok(self.pending.drain(..count).collect())
    }

    fn more(&mut self) -> io::Result<()> {
        if self.fill()? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// The data of one chunk; `None` for the last one, whose trailers are left to be read.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim_end();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid(format!("chunk size {line:?}")));
        }
        let size = usize::from_str_radix(digits, 16).map_err(|_| invalid(format!("chunk size {line:?}")))?;
        if size == 0 {
            return Ok(None);
        }
        let data = self.exactly(size)?;
        match self.exactly(2)?.as_slice() {
            b"\r\n" => Ok(Some(data)),
            other => Err(invalid(format!("{other:?} after a chunk"))),
        }
    }

    pub fn trailers(&mut self) -> io::Result<Fields> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push(parse_field(&line)?);
        }
    }

    /// The rest of a message: body and trailers.
    pub fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, Fields)> {
        match framing {
            Framing::None => Ok((Vec::new(), Vec::new())),
            Framing::Length(length) => Ok((self.exactly(usize::try_from(length).unwrap_or(usize::MAX))?, Vec::new())),
            Framing::UntilClose => {
                while self.fill()? > 0 {}
                Ok((std::mem::take(&mut self.pending), Vec::new()))
            }
            Framing::Chunked => {
                let mut body = Vec::new();
                while let Some(data) = self.chunk()? {
                    body.extend_from_slice(&data);
                }
                Ok((body, self.trailers()?))
            }
        }
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
