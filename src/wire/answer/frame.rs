//! Cuts a reply into the JSON texts that it holds, whatever the pieces in which it arrives.

use crate::base::bounds::{ANSWER_BODY_BYTES_MAX, ANSWER_EVENT_BYTES_MAX};

use crate::wire::think::Framing;

/// What was found.
pub(super) enum Item<'f> {
    Json(&'f [u8]),
    /// `[DONE]`
    Done,
    /// `event: error`
    Error,
}

/// The reply is longer than what may be collected.
#[derive(Debug)]
pub(super) struct TooLong;

/// See the module. Holds at most one unfinished event, line or body.
#[derive(Debug)]
pub(super) struct Frame {
    form: Framing,
    /// The unfinished line, or the whole body.
    line: Vec<u8>,
    /// The event's data lines so far.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a CR that ended a line, so an LF belongs to it.
    after_cr: bool,
    first_line: bool,
}

impl Frame {
    pub(super) fn new(form: Framing) -> Self {
        Self { form, line: Vec::new(), data: Vec::new(), has_data: false, after_cr: false, first_line: true }
    }

    pub(super) fn form(&self) -> Framing {
        self.form
    }

    /// Takes the next bytes of the body and hands on every item that they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Item<'_>)) -> Result<(), TooLong> {
        if self.form == Framing::Json {
            return self.keep(bytes, ANSWER_BODY_BYTES_MAX);
        }
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = self.line_end(bytes) {
            let cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.end_line(&bytes[..end], sink)?;
            } else {
                self.keep(&bytes[..end], self.line_bytes_max())?;
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, sink)?;
                self.line = line;
                self.line.clear();
            }
            bytes = &bytes[end + 1..];
            if cr {
                self.after_cr = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        self.keep(bytes, self.line_bytes_max())
    }

    /// The body has ended: what is left may still be an item.
    pub(super) fn finish(mut self, sink: &mut impl FnMut(Item<'_>)) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        match self.form {
            Framing::Json => sink(Item::Json(&line)),
            Framing::Ndjson => self.end_line(&line, sink)?,
            Framing::Sse => {
                self.end_line(&line, sink)?;
                self.end_line(b"", sink)?;
            }
        }
        Ok(())
    }

    fn line_end(&self, bytes: &[u8]) -> Option<usize> {
        match self.form {
            Framing::Sse => memchr::memchr2(b'\n', b'\r', bytes),
            _ => memchr::memchr(b'\n', bytes),
        }
    }

    /// A line of NDJSON can be a whole body of embeddings.
    fn line_bytes_max(&self) -> usize {
        if self.form == Framing::Sse { ANSWER_EVENT_BYTES_MAX } else { ANSWER_BODY_BYTES_MAX }
    }

    fn keep(&mut self, bytes: &[u8], bytes_max: usize) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > bytes_max {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], sink: &mut impl FnMut(Item<'_>)) -> Result<(), TooLong> {
        let line = if std::mem::take(&mut self.first_line) {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        } else {
            line
        };
        if self.form == Framing::Ndjson {
            if !line.trim_ascii().is_empty() {
                sink(Item::Json(line));
            }
            return Ok(());
        }
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                sink(if self.data.trim_ascii() == b"[DONE]" { Item::Done } else { Item::Json(&self.data) });
                self.data.clear();
            }
            return Ok(());
        }
        if let Some(data) = field(line, b"data") {
            if self.data.len() + data.len() > ANSWER_EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
        } else if field(line, b"event") == Some(b"error") {
            sink(Item::Error);
        }
        Ok(())
    }
}

/// The value of an SSE line with this field name; one blank after the colon is not part of it.
fn field<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
