//! The lines of one event.

use crate::wire::json::scan::Span;
use crate::wire::json::string;
use memchr::memchr2;

/// What the lines of one event are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Number of `data` lines.
    pub data_lines: usize,
    /// The value of the first `data` line; one blank after the colon is not part of it.
    pub data: Span,
    /// There is an `id` line.
    pub id: bool,
}

/// Read the lines of one event.
#[must_use]
pub fn fields(event: &[u8]) -> Fields {
    let mut fields = Fields::default();
    for_each_line(event, |line| {
        let (name, value) = name_and_value(event, line);
        match name {
            b"data" => {
                if fields.data_lines == 0 {
                    fields.data = value;
                }
                fields.data_lines += 1;
            }
            b"id" => fields.id = true,
            _ => {}
        }
    });
    fields
}

/// Copy an event with several `data` lines to `to` so that every byte of the values keeps its place and everything
/// else is a line end: read as JSON, that is the joined value, and an edit of it is an edit of the event. False when a
/// line ends inside a string, which is no JSON.
pub(crate) fn only_values(event: &[u8], to: &mut Vec<u8>) -> bool {
    to.clear();
    to.resize(event.len(), b'\n');
    for_each_line(event, |line| {
        let (name, value) = name_and_value(event, line);
        if name == b"data" {
            to[value.start..value.end].copy_from_slice(value.of(event));
        }
    });
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'"', &to[at..]) {
        let start = at + open + 1;
        match string::end(to, start) {
            Some(end) if memchr::memchr(b'\n', &to[start..end]).is_none() => at = end + 1,
            _ => return false,
        }
    }
    true
}

fn for_each_line(event: &[u8], mut visit: impl FnMut(Span)) {
    let mut at = 0;
    while at < event.len() {
        let end = memchr2(b'\n', b'\r', &event[at..]).map_or(event.len(), |len| at + len);
        if end > at {
            visit(Span::new(at, end));
        }
        at = end + 1;
    }
}

fn name_and_value(event: &[u8], line: Span) -> (&[u8], Span) {
    let bytes = line.of(event);
    match memchr::memchr(b':', bytes) {
        None => (bytes, Span::new(line.end, line.end)),
        Some(colon) => {
            let value = line.start + colon + 1;
            let blank = usize::from(value < line.end && event[value] == b' ');
            (&bytes[..colon], Span::new(value + blank, line.end))
        }
    }
}
