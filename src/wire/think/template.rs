//! The next event of a stream is nearly always the last one with another text. So the bytes of an event around its text
//! are remembered, and an event that repeats them need not be read again: what its text means is all that is asked.
//!
//! This changes no result, only what it costs: an event that differs in any byte is read in full.

use super::scratch::{Choice, Head, Scratch};
use crate::base::bounds::EVENT_SHAPE_BYTES_MAX;
use crate::wire::json::scan::Span;
use crate::wire::json::string;

/// What the hole of a template holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Text,
    /// A member for thinking.
    Thinking,
}

const HOLES_MAX: usize = 2;

/// The bytes of an event around its text, and around one string that is different each time.
#[derive(Debug, Default)]
pub(crate) struct Template {
    /// The pieces between the holes, one behind the other; empty: nothing is remembered.
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`.
    ends: [usize; HOLES_MAX + 1],
    pieces: usize,
    /// Which hole is the text's.
    hole: usize,
    thinking: bool,
    /// The choice's index.
    pub(crate) index: u32,
    /// Without its text the event says nothing.
    pub(crate) hollow: bool,
    /// Events read in full since one was like the template.
    misses: u32,
}

impl Template {
    pub(crate) fn holds(&self) -> Holds {
        if self.thinking { Holds::Thinking } else { Holds::Text }
    }

    /// Does `input` begin with an event like this one? Its length, and where its text is.
    #[inline]
    pub(crate) fn matches(&self, input: &[u8]) -> Option<(usize, Span)> {
        let (mut at, mut from, mut hole) = (0, 0, Span::default());
        for nth in 0..self.pieces {
            let piece = &self.bytes[from..self.ends[nth]];
            if !input.get(at..)?.starts_with(piece) {
                return None;
            }
            at += piece.len();
            from = self.ends[nth];
            if nth + 1 < self.pieces {
                let start = at;
                at = string::line_end(input, start)?;
                if nth == self.hole {
                    hole = Span::new(start, at);
                }
            }
        }
        (self.pieces > 0).then_some((at, hole))
    }

    /// Remember an event, if it is simple enough and not like the one that is remembered. Spans are ranges of `event`.
    pub(crate) fn learn(&mut self, event: &[u8], line_end: &[u8], head: &Head, scratch: &Scratch) {
        if self.matches(event).is_some() {
            return;
        }
        self.misses = self.misses.saturating_add(1);
        // A stream whose events never repeat is not worth copying each of them.
        if self.misses > 8 && !self.misses.is_multiple_of(16) {
            return;
        }
        let [choice] = &scratch.choices[..] else { return };
        let Some((text, thinking)) = hole(choice, scratch, event) else { return };
        if event.len() > EVENT_SHAPE_BYTES_MAX || !event.ends_with(line_end) || event.contains(&b'\r') {
            return;
        }
        let mut holes = [Some(text), head.volatile];
        self.hole = 0;
        if head.volatile.is_some_and(|other| other.start < text.start) {
            holes.swap(0, 1);
            self.hole = 1;
        }
        self.bytes.clear();
        self.pieces = 0;
        let mut at = 0;
        for hole in holes.into_iter().flatten() {
            self.bytes.extend_from_slice(&event[at..hole.start]);
            self.ends[self.pieces] = self.bytes.len();
            self.pieces += 1;
            at = hole.end;
        }
        self.bytes.extend_from_slice(&event[at..]);
        self.ends[self.pieces] = self.bytes.len();
        self.pieces += 1;
        self.thinking = thinking;
        self.index = choice.index;
        self.hollow = !choice.keeps && !head.keeps;
    }

    pub(crate) fn hit(&mut self) {
        self.misses = 0;
    }
}

/// The one text of a choice that says nothing else, or its one member for thinking beside no text.
fn hole(choice: &Choice, scratch: &Scratch, event: &[u8]) -> Option<(Span, bool)> {
    if choice.ends || choice.tools || choice.logprobs.is_some() || !choice.lists.is_empty() {
        return None;
    }
    let texts = &scratch.texts[choice.texts.clone()];
    match &scratch.reasons[choice.reasons.clone()] {
        [] => match texts {
            [text] if !text.null => Some((text.body, false)),
            _ => None,
        },
        [reason] => {
            let silent = texts.iter().all(|text| text.null || text.body.is_empty());
            let body = reason.text().filter(|_| silent && reason.says_something(event))?;
            Some((body, true))
        }
        _ => None,
    }
}
