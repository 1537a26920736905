//! The next event of a stream is nearly always the last one with another text. So the bytes of an event around its text
//! are remembered together with what was read from them, and an event that repeats them need not be read again.
//!
//! This changes no result, only what it costs: an event that differs in any other byte is read in full.

use super::scratch::{Choice, Head, Reason, Scratch, Slice, Text};
use crate::base::bounds::EVENT_SHAPE_BYTES_MAX;
use crate::wire::json::edit::Item;
use crate::wire::json::scan::Span;
use crate::wire::json::string;

/// What the hole of a template holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Text,
    /// A member for thinking.
    Thinking,
}

/// The text, and one string that is different in every event.
const HOLES_MAX: usize = 2;

/// An event that is like the template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    /// Length of the event.
    pub(crate) len: usize,
    holes: [Span; HOLES_MAX],
    /// Where the text is.
    pub(crate) text: Span,
}

/// The bytes of an event around its holes, and what they mean.
#[derive(Debug, Default)]
pub(crate) struct Template {
    /// The pieces between the holes, one behind the other; empty: nothing is remembered.
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`.
    ends: [usize; HOLES_MAX + 1],
    pieces: usize,
    /// The holes, in the event that was learned.
    holes: [Span; HOLES_MAX],
    /// Which hole is the text's.
    hole: usize,
    thinking: bool,
    /// The choice's index.
    pub(crate) index: u32,
    /// Without its text the event says nothing.
    pub(crate) hollow: bool,
    /// There are members for thinking beside the text, with nothing in them.
    pub(crate) beside: bool,
    /// Events read in full since one was like the template.
    misses: u32,
    head: Head,
    choice: Choice,
    members: Vec<Item>,
    objects: Vec<Slice>,
    texts: Vec<Text>,
    reasons: Vec<Reason>,
}

impl Template {
    pub(crate) fn holds(&self) -> Holds {
        if self.thinking { Holds::Thinking } else { Holds::Text }
    }

    /// Does `input` begin with an event like this one?
    #[inline]
    pub(crate) fn matches(&self, input: &[u8]) -> Option<Match> {
        let (mut at, mut from, mut holes) = (0, 0, [Span::default(); HOLES_MAX]);
        for (nth, &end) in self.ends[..self.pieces].iter().enumerate() {
            let piece = &self.bytes[from..end];
            if !input.get(at..)?.starts_with(piece) {
                return None;
            }
            at += piece.len();
            from = end;
            if nth + 1 < self.pieces {
                let start = at;
                at = string::line_end(input, start)?;
                holes[nth] = Span::new(start, at);
            }
        }
        (self.pieces > 0).then_some(Match { len: at, holes, text: holes[self.hole] })
    }

    /// Fill `scratch` with what reading an event like this one would have found.
    pub(crate) fn recall(&self, found: &Match, scratch: &mut Scratch) -> Head {
        let move_place = |at: &mut usize| {
            let mut moved = *at;
            for nth in 0..self.pieces - 1 {
                if self.holes[nth].end <= *at {
                    moved = *at + found.holes[nth].end - self.holes[nth].end;
                }
            }
            *at = moved;
        };
        let move_span = |span: &mut Span| {
            move_place(&mut span.start);
            move_place(&mut span.end);
        };
        let mut head = self.head;
        head.envelope.members.iter_mut().for_each(move_span);
        let mut choice = self.choice.clone();
        move_span(&mut choice.body);
        scratch.choices.push(choice);
        scratch.objects.extend_from_slice(&self.objects);
        for mut item in self.members.iter().copied() {
            move_span(&mut item.span);
            scratch.members.push(item);
        }
        for mut text in self.texts.iter().copied() {
            move_span(&mut text.body);
            move_place(&mut text.member);
            scratch.texts.push(text);
        }
        for mut reason in self.reasons.iter().copied() {
            move_span(&mut reason.value.span);
            scratch.reasons.push(reason);
        }
        head
    }

    /// Remember an event that was read, if it is simple enough. Spans are ranges of `event`.
    pub(crate) fn learn(&mut self, event: &[u8], event_end: &[u8], head: &Head, scratch: &Scratch) {
        self.misses = self.misses.saturating_add(1);
        // A stream whose events never repeat is not worth copying each of them.
        if self.misses > 8 && !self.misses.is_multiple_of(16) {
            return;
        }
        let [choice] = &scratch.choices[..] else { return };
        let Some((text, thinking)) = hole(choice, scratch, event) else { return };
        if event.len() > EVENT_SHAPE_BYTES_MAX || !event.ends_with(event_end) || event.contains(&b'\r') {
            return;
        }
        let other = head.volatile.filter(|other| !other.is_empty());
        self.hole = usize::from(other.is_some_and(|other| other.start < text.start));
        self.holes = [text, other.unwrap_or_default()];
        if self.hole == 1 {
            self.holes.swap(0, 1);
        }
        self.pieces = 2 + usize::from(other.is_some());
        self.bytes.clear();
        let mut at = 0;
        for (nth, hole) in self.holes[..self.pieces - 1].iter().enumerate() {
            self.bytes.extend_from_slice(&event[at..hole.start]);
            self.ends[nth] = self.bytes.len();
            at = hole.end;
        }
        self.bytes.extend_from_slice(&event[at..]);
        self.ends[self.pieces - 1] = self.bytes.len();
        self.thinking = thinking;
        self.index = choice.index;
        self.hollow = !choice.keeps && !head.keeps;
        self.beside = !thinking && !choice.reasons.is_empty();
        self.head = *head;
        self.choice = choice.clone();
        self.members.clear();
        self.members.extend(scratch.members.iter().map(|item| Item { remove: false, ..*item }));
        copy(&mut self.objects, &scratch.objects);
        copy(&mut self.texts, &scratch.texts);
        copy(&mut self.reasons, &scratch.reasons);
    }

    pub(crate) fn hit(&mut self) {
        self.misses = 0;
    }
}

fn copy<T: Clone>(to: &mut Vec<T>, from: &[T]) {
    to.clear();
    to.extend_from_slice(from);
}

/// What may differ in an event of one choice that says nothing but text: its one text, or its one member for thinking.
fn hole(choice: &Choice, scratch: &Scratch, event: &[u8]) -> Option<(Span, bool)> {
    if choice.ends || choice.tools || choice.logprobs.is_some() || !choice.lists.is_empty() {
        return None;
    }
    let mut texts = scratch.texts[choice.texts.clone()].iter().filter(|text| !text.null && !text.body.is_empty());
    let mut saying = scratch.reasons[choice.reasons.clone()].iter().filter(|reason| reason.says_something(event));
    match (texts.next(), saying.next()) {
        (Some(text), None) if texts.next().is_none() => Some((text.body, false)),
        (None, Some(reason)) if saying.next().is_none() => Some((reason.text()?, true)),
        _ => None,
    }
}
