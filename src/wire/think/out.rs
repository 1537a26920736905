//! What the filter answers with: ranges of the bytes it was given, and bytes of its own, in order.

use super::scratch::Scratch;

/// One run of output bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seg {
    /// This range of the slice that was passed to the call.
    Input { start: usize, end: usize },
    /// This range of [`Out::extra`].
    Extra { start: usize, end: usize },
}

/// The result of one call, and the memory that calls work in. One for each core, used again and again: every call
/// clears it first, and after some events nothing is allocated any more.
#[derive(Debug, Default)]
pub struct Out {
    pub(crate) sink: Sink,
    pub(crate) scratch: Scratch,
}

/// The output of one call.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    segs: Vec<Seg>,
    extra: Vec<u8>,
}

impl Out {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The output in order; neighbouring ranges are joined.
    #[must_use]
    pub fn segs(&self) -> &[Seg] {
        &self.sink.segs
    }

    /// The bytes that [`Seg::Extra`] points into.
    #[must_use]
    pub fn extra(&self) -> &[u8] {
        &self.sink.extra
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sink.segs.is_empty()
    }

    /// Length of the output in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        let len = |seg: &Seg| match *seg {
            Seg::Input { start, end } | Seg::Extra { start, end } => end - start,
        };
        self.sink.segs.iter().map(len).sum()
    }

    /// The bytes of one run; `input` is the slice that was passed to the call.
    #[must_use]
    pub fn bytes<'a>(&'a self, seg: Seg, input: &'a [u8]) -> &'a [u8] {
        match seg {
            Seg::Input { start, end } => input.get(start..end).unwrap_or_default(),
            Seg::Extra { start, end } => self.sink.extra.get(start..end).unwrap_or_default(),
        }
    }

    /// Append the whole output to `to`.
    pub fn copy_to(&self, input: &[u8], to: &mut Vec<u8>) {
        for seg in &self.sink.segs {
            to.extend_from_slice(self.bytes(*seg, input));
        }
    }

    pub fn clear(&mut self) {
        self.sink.segs.clear();
        self.sink.extra.clear();
    }
}

impl Sink {
    /// Append a range of the input.
    #[inline]
    pub(crate) fn input(&mut self, from: usize, to: usize) {
        if from >= to {
            return;
        }
        if let Some(Seg::Input { end, .. }) = self.segs.last_mut()
            && *end == from
        {
            *end = to;
            return;
        }
        self.segs.push(Seg::Input { start: from, end: to });
    }

    /// Append bytes of our own.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let start = self.extra.len();
        self.extra.extend_from_slice(bytes);
        let stop = self.extra.len();
        if start == stop {
            return;
        }
        if let Some(Seg::Extra { end, .. }) = self.segs.last_mut()
            && *end == start
        {
            *end = stop;
            return;
        }
        self.segs.push(Seg::Extra { start, end: stop });
    }
}
