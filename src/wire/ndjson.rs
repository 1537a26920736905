//! Incremental framing of newline-delimited JSON: any cut of the input gives the same lines.

use crate::base::bounds::EVENT_BYTES_MAX;
use crate::wire::frame::{Carry, Frame, Place};
use memchr::memchr;

/// State between reads.
#[derive(Debug, Default)]
pub struct Framer {
    carry: Carry,
    /// In a line that is too large.
    oversize: bool,
}

impl Framer {
    #[must_use]
    pub const fn new() -> Self {
        Self { carry: Carry::new(), oversize: false }
    }

    #[must_use]
    pub fn carry(&mut self) -> &mut Carry {
        &mut self.carry
    }

    /// Is the output at the beginning of a line?
    #[must_use]
    pub fn between_lines(&self) -> bool {
        !self.oversize
    }

    /// Between two lines, with nothing carried.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.oversize && self.carry.is_empty()
    }

    /// The next frame of `input` from `*from` on: [`Frame::Event`] (a line with its LF), [`Frame::Blank`] or
    /// [`Frame::Oversize`]; `None` when all of it is used up.
    #[inline]
    pub fn next(&mut self, input: &[u8], from: &mut usize) -> Option<Frame> {
        let start = *from;
        if start >= input.len() {
            return None;
        }
        let line_end = memchr(b'\n', &input[start..]).map(|len| start + len + 1);
        *from = line_end.unwrap_or(input.len());
        let was_oversize = self.oversize;
        if was_oversize || self.carry.len() + (*from - start) > EVENT_BYTES_MAX {
            self.oversize = line_end.is_none();
            return Some(Frame::Oversize(self.carry.complete(input, start, *from), !was_oversize));
        }
        if line_end.is_none() {
            self.carry.add(&input[start..]);
            return None;
        }
        let place = self.carry.complete(input, start, *from);
        Some(match place {
            Place::Input(span) if is_blank(span.of(input)) => Frame::Blank(span),
            place => Frame::Event(place),
        })
    }
}

/// Only white space.
#[inline]
#[must_use]
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(reads: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let (mut framer, mut out) = (Framer::new(), vec![]);
        for read in reads {
            let mut from = 0;
            while let Some(frame) = framer.next(read, &mut from) {
                out.push(match frame {
                    Frame::Event(Place::Input(span)) => (b'e', span.of(read).to_vec()),
                    Frame::Event(Place::Carried) => (b'e', framer.carry().take()),
                    Frame::Blank(span) => (b'b', span.of(read).to_vec()),
                    other => panic!("{other:?}"),
                });
            }
        }
        out.push((b'c', framer.carry().take()));
        out
    }

    #[test]
    fn lines_in_every_cut() {
        let text = b"{\"a\":1}\r\n{}\n{\"tail\":";
        let whole = frames(&[text]);
        assert_eq!(whole.len(), 3);
        for cut in 0..=text.len() {
            assert_eq!(frames(&[&text[..cut], &text[cut..]]), whole, "{cut}");
        }
    }
}
