//! One event on its way from input to output.

use crate::wire::think::out::Sink;
use crate::wire::think::scratch::Scratch;

/// An event: its bytes, and where they are in the input if they are there.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) input_at: Option<usize>,
}

impl Source<'_> {
    fn copy(&self, from: usize, to: usize, sink: &mut Sink) {
        match self.input_at {
            Some(at) => sink.input(at + from, at + to),
            None => sink.push(&self.bytes[from..to]),
        }
    }

    pub(crate) fn copy_all(&self, sink: &mut Sink) {
        self.copy(0, self.bytes.len(), sink);
    }

    /// Write the event with the edits of `scratch`.
    pub(crate) fn write(&self, scratch: &mut Scratch, sink: &mut Sink) {
        scratch.edits.sort_by_key(|edit| (edit.cut.start, edit.cut.end));
        let mut at = 0;
        for edit in &scratch.edits {
            if edit.cut.start < at {
                continue;
            }
            self.copy(at, edit.cut.start, sink);
            sink.push(edit.put.of(&scratch.put));
            at = edit.cut.end;
        }
        self.copy(at, self.bytes.len(), sink);
    }
}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it as it is.
    Untouched,
    /// Write it with the edits.
    Edited,
    Dropped,
}

/// Where an event stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    InStream,
    /// Nothing follows: every text ends.
    Last,
    /// A whole body: every text ends, and nothing can be put in front.
    Whole,
}
