//! The demo's own client: one streamed chat, piece by piece. Deliberately tiny and separate from the server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::model;
use crate::base::bounds::EVENT_BYTES_MAX;

const CONNECT_MAX: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Asks `question` at `addr` and hands every piece of the answer's text to `piece` as it comes.
pub fn ask(addr: SocketAddr, question: &str, mut piece: impl FnMut(&str)) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, CONNECT_MAX)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(request(addr, question).as_bytes())?;
    let mut reader = BufReader::new(stream);
    let chunked = read_head(&mut reader)?;
    if chunked {
        events(BufReader::new(Chunks { inner: reader, left: 0 }), &mut piece)
    } else {
        events(reader, &mut piece)
    }
}

fn request(addr: SocketAddr, question: &str) -> String {
    let body = json!({"model": model::INLINE, "stream": true, "messages": [{"role": "user", "content": question}]})
        .to_string();
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Whether the body comes in chunks; an error for any status but 200.
fn read_head(reader: &mut impl BufRead) -> io::Result<bool> {
    let status = line(reader)?;
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("the answer is {status}")));
    }
    let mut chunked = false;
    loop {
        let field = line(reader)?.to_ascii_lowercase();
        if field.is_empty() {
            return Ok(chunked);
        }
        chunked |= field.starts_with("transfer-encoding:") && field.ends_with("chunked");
    }
}

fn events(mut reader: impl BufRead, piece: &mut impl FnMut(&str)) -> io::Result<()> {
    loop {
        let line = line(&mut reader)?;
        match line.strip_prefix("data: ") {
            Some("[DONE]") => return Ok(()),
            Some(data) => {
                let event: Value = serde_json::from_str(data)?;
                if let Some(text) = event["choices"][0]["delta"]["content"].as_str() {
                    piece(text);
                }
            }
            None => {} // blank lines and comments
        }
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.by_ref().take(EVENT_BYTES_MAX as u64).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Takes the chunk sizes out of a body.
struct Chunks<R> {
    inner: R,
    left: u64,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let size = line(&mut self.inner)?;
            self.left = u64::from_str_radix(size.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let read = self.inner.by_ref().take(self.left).read(buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        if self.left == 0 {
            line(&mut self.inner)?; // the line end after a chunk
        }
        Ok(read)
    }
}
