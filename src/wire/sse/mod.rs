//! Incremental framing of an event stream (WHATWG "server-sent events"): any cut of the input gives the same frames.
//!
//! Nothing is copied but an event that one read holds only in part, or that has a comment inside: comments are handed
//! out at once, so the lines around them are carried until the event is whole.

mod event;

pub use event::{Fields, fields};
pub(crate) use event::{fields_of_line, only_values};

use crate::base::bounds::EVENT_BYTES_MAX;
use crate::wire::frame::{Carry, Frame, Place};
use crate::wire::json::scan::Span;
use memchr::memchr2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first byte: a byte order mark may come.
    Beginning,
    /// At the beginning of a line.
    Line,
    /// In a comment, whose beginning was handed out.
    Comment,
    /// In a line of an event.
    Field,
    /// In an event that is too large.
    Oversize,
    /// At the beginning of a line of an event that is too large.
    OversizeLine,
    Foreign,
}

/// Whose CR was the last byte: a LF that follows belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cr {
    No,
    /// A line of an event.
    Field,
    /// The last frame.
    Frame,
    /// The last frame's, but something was written behind it.
    Overtaken,
}

impl Cr {
    fn after(byte: u8, whose: Self) -> Self {
        if byte == b'\r' { whose } else { Self::No }
    }
}

/// State between reads.
#[derive(Debug)]
pub struct Framer {
    at: At,
    cr: Cr,
    /// Lines of an event have been seen.
    in_event: bool,
    /// No line of an event has been seen yet: a JSON body may come instead.
    fresh: bool,
    /// Lines of the current event, or the last one; more than two are not counted.
    lines: u8,
    carry: Carry,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Framer {
    #[must_use]
    pub const fn new() -> Self {
        Self { at: At::Beginning, cr: Cr::No, in_event: false, fresh: true, lines: 0, carry: Carry::new() }
    }

    #[must_use]
    pub fn carry(&mut self) -> &mut Carry {
        &mut self.carry
    }

    /// Is the output at the beginning of a line of an event stream, so that a comment may be written now?
    #[must_use]
    pub fn between_lines(&self) -> bool {
        matches!(self.at, At::Line | At::Field) && !self.fresh
    }

    /// Between two events, with nothing carried and no LF to come: the next byte begins a line of its own.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.at == At::Line && self.cr == Cr::No && !self.in_event
    }

    /// The last event has one line only.
    #[inline]
    #[must_use]
    pub fn has_one_line(&self) -> bool {
        self.lines == 1
    }

    /// A comment was written behind the last frame: the LF of a CR LF must not follow any more.
    pub fn overtaken(&mut self) {
        if self.cr == Cr::Frame {
            self.cr = Cr::Overtaken;
        }
    }

    /// The next frame of `input` from `*from` on; `None` when all of it is used up. Call it until then.
    #[inline]
    pub fn next(&mut self, input: &[u8], from: &mut usize) -> Option<Frame> {
        let mut start = *from;
        let frame = self.step(input, &mut start, from);
        if frame.is_none() && self.in_event && start < input.len() {
            self.carry.add(&input[start..]);
        }
        frame
    }

    /// `start`: where the lines of the current event begin in `input`.
    fn step(&mut self, input: &[u8], start: &mut usize, from: &mut usize) -> Option<Frame> {
        loop {
            let &byte = input.get(*from)?;
            let cr = std::mem::replace(&mut self.cr, Cr::No);
            if cr != Cr::No && byte == b'\n' {
                *from += 1;
                if cr == Cr::Field && self.in_event {
                    continue;
                }
                *start = *from;
                if cr == Cr::Overtaken {
                    continue;
                }
                return Some(Frame::Trailer(Span::new(*from - 1, *from)));
            }
            let frame = match self.at {
                At::Beginning => self.beginning(byte, start, from),
                At::Line => self.line(input, byte, start, from),
                At::Field => self.field(input, start, from),
                At::Comment => Some(self.comment(input, from)),
                At::Oversize | At::OversizeLine => Some(self.oversize(input, byte, from)),
                At::Foreign => Some(Frame::Foreign(Span::new(std::mem::replace(from, input.len()), input.len()))),
            };
            if frame.is_some() {
                return frame;
            }
        }
    }

    fn beginning(&mut self, byte: u8, start: &mut usize, from: &mut usize) -> Option<Frame> {
        if BOM.get(self.carry.len()) != Some(&byte) {
            // What looked like a mark was the beginning of a line.
            self.at = if self.carry.is_empty() { At::Line } else { At::Field };
            self.in_event = !self.carry.is_empty();
            self.fresh = self.carry.is_empty();
            *start = *from;
            return None;
        }
        self.carry.add(&[byte]);
        *from += 1;
        *start = *from;
        if self.carry.len() == BOM.len() {
            self.carry.clear();
            self.at = At::Line;
        }
        None
    }

    #[inline]
    fn line(&mut self, input: &[u8], byte: u8, start: &mut usize, from: &mut usize) -> Option<Frame> {
        match byte {
            b'\n' | b'\r' => {
                self.cr = Cr::after(byte, Cr::Frame);
                *from += 1;
                let end = *from;
                if !self.in_event {
                    return Some(Frame::Blank(Span::new(end - 1, end)));
                }
                self.in_event = false;
                Some(Frame::Event(self.carry.complete(input, *start, end)))
            }
            b':' => {
                if self.in_event {
                    self.carry.add(&input[*start..*from]);
                }
                self.at = At::Comment;
                None
            }
            b'{' | b'[' if self.fresh => {
                self.at = At::Foreign;
                None
            }
            _ => {
                self.lines = if self.in_event { 2 } else { 1 };
                if !self.in_event {
                    self.in_event = true;
                    self.fresh = false;
                    *start = *from;
                }
                self.at = At::Field;
                None
            }
        }
    }

    #[inline]
    fn field(&mut self, input: &[u8], start: &mut usize, from: &mut usize) -> Option<Frame> {
        let Some(len) = memchr2(b'\n', b'\r', &input[*from..]) else {
            *from = input.len();
            return self.too_large(*start, *from).then(|| self.oversized(input, *start, *from));
        };
        *from += len + 1;
        self.cr = Cr::after(input[*from - 1], Cr::Field);
        self.at = At::Line;
        if self.too_large(*start, *from) {
            self.at = At::OversizeLine;
            return Some(self.oversized(input, *start, *from));
        }
        None
    }

    fn too_large(&self, start: usize, end: usize) -> bool {
        self.carry.len() + (end - start) > EVENT_BYTES_MAX
    }

    fn oversized(&mut self, input: &[u8], start: usize, end: usize) -> Frame {
        if self.at != At::OversizeLine {
            self.at = At::Oversize;
        }
        self.in_event = false;
        Frame::Oversize(self.carry.complete(input, start, end), true)
    }

    fn comment(&mut self, input: &[u8], from: &mut usize) -> Frame {
        let start = *from;
        *from = self.line_end(input, start, At::Line);
        Frame::Comment(Span::new(start, *from))
    }

    /// The end of the line, its CR or LF included; the end of the input when it does not end there.
    fn line_end(&mut self, input: &[u8], start: usize, next: At) -> usize {
        let Some(len) = memchr2(b'\n', b'\r', &input[start..]) else { return input.len() };
        self.cr = Cr::after(input[start + len], Cr::Frame);
        self.at = next;
        start + len + 1
    }

    fn oversize(&mut self, input: &[u8], byte: u8, from: &mut usize) -> Frame {
        let start = *from;
        if self.at == At::OversizeLine && matches!(byte, b'\n' | b'\r') {
            self.cr = Cr::after(byte, Cr::Frame);
            self.at = At::Line;
            *from += 1;
        } else {
            self.at = At::Oversize;
            *from = self.line_end(input, start, At::OversizeLine);
        }
        Frame::Oversize(Place::Input(Span::new(start, *from)), false)
    }
}

#[cfg(test)]
mod tests;
