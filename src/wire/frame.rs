//! What a framer gives out, and what it keeps between two reads.

use crate::wire::json::scan::Span;

/// Where the bytes of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the slice passed to the framer.
    Input(Span),
    /// In the framer's [`Carry`], to be taken.
    Carried,
}

/// The next piece of a stream. All bytes of the input come out in frames, comments before the event they stand in,
/// except a byte order mark at the very start. Streams of lines know events, blanks and oversize alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A comment line, or as much of it as has come.
    Comment(Span),
    /// An empty line outside of an event.
    Blank(Span),
    /// An event with all its lines and the empty line that ends it; a line with its LF.
    Event(Place),
    /// The LF of a CR LF whose CR ended the last frame.
    Trailer(Span),
    /// A part of an event that is larger than [`EVENT_BYTES_MAX`](crate::base::bounds::EVENT_BYTES_MAX); true for the
    /// first part.
    Oversize(Place, bool),
    /// The body is no event stream but JSON; this and everything that follows.
    Foreign(Span),
}

/// What has come of a frame that one read holds only in part. Once that is whole it is to be taken out, before the
/// framer is asked for the next one.
#[derive(Debug, Default)]
pub struct Carry(Vec<u8>);

impl Carry {
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// A frame that ends with `input[start..end]`: there, or here if it began in an earlier read.
    #[inline]
    pub fn complete(&mut self, input: &[u8], start: usize, end: usize) -> Place {
        if self.0.is_empty() {
            return Place::Input(Span::new(start, end));
        }
        self.0.extend_from_slice(&input[start..end]);
        Place::Carried
    }

    /// The bytes of a carried frame; after the last frame of the input, what has come of one that is not whole.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Keeps the memory of what was taken, not what stood in it.
    pub fn give_back(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.0 = bytes;
    }
}
