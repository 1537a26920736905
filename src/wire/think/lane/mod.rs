//! One choice of an answer: its state between events, and what the policy makes of its part of one event.

mod wrap;

use super::envelope::{self, Says, Shape};
use super::profile::{Found, Profile};
use super::scratch::{Choice, Envelope, Name, Reason, Scratch, Text};
use super::source::Stand;
use super::splitter::{More, Piece, Splitter};
use super::{Policy, Stats};
use crate::base::bounds::LEADING_BLANK_BYTES_MAX;
use crate::wire::json::scan::{Kind, Span};

/// State of one choice.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) index: u32,
    /// The index that events of our own bear.
    pub(crate) out_index: u32,
    pub(crate) splitter: Splitter,
    /// The raw suffix that may still become a delimiter or is leading white space.
    pub(crate) held: Vec<u8>,
    /// The end of the text seen last, when it may be the beginning of a close that nothing opened.
    watched: Vec<u8>,
    pub(crate) shape: Shape,
    /// Wrap: an open tag was written and no close.
    pub(crate) wrapped: bool,
    /// Wrap: some text of the answer was written.
    said: bool,
    /// A close that nothing opened was met.
    dangling: bool,
    /// The end was counted.
    ended: bool,
}

/// What stays the same for all choices of an event.
pub(crate) struct Context<'a> {
    pub(crate) policy: Policy,
    pub(crate) profile: &'a Profile,
    pub(crate) fields: &'a [&'static str],
    /// The event; spans are ranges of it.
    pub(crate) bytes: &'a [u8],
    pub(crate) envelope: &'a Envelope,
    pub(crate) stand: Stand,
}

/// What became of a choice's part of an event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effect {
    /// Something is left that a client wants to know.
    pub(crate) alive: bool,
    /// Text or thinking was taken out.
    pub(crate) emptied: bool,
}

impl Lane {
    pub(crate) fn new(index: u32, shape: Shape, splitter: Splitter) -> Self {
        Self {
            index,
            out_index: index,
            splitter,
            held: Vec::new(),
            watched: Vec::new(),
            shape,
            wrapped: false,
            said: false,
            dangling: false,
            ended: false,
        }
    }

    /// Apply the policy to one choice of an event.
    pub(crate) fn apply(&mut self, cx: &Context, choice: &Choice, scratch: &mut Scratch, stats: &mut Stats) -> Effect {
        scratch.thinking.clear();
        scratch.text.clear();
        let effect = match cx.policy {
            Policy::Keep => Effect { alive: true, emptied: false },
            Policy::Strip | Policy::Separate => self.split_choice(cx, choice, scratch, stats),
            Policy::Wrap => self.wrap_choice(cx, choice, scratch),
        };
        if choice.ends || cx.stand != Stand::InStream {
            self.count_end(stats);
        }
        effect
    }

    /// Count an answer that ended in thinking, once.
    pub(crate) fn count_end(&mut self, stats: &mut Stats) {
        use super::splitter::State::{Open, Think};
        if !std::mem::replace(&mut self.ended, true) && matches!(self.splitter.state, Open | Think) {
            stats.unclosed += 1;
        }
    }

    fn split_choice(&mut self, cx: &Context, choice: &Choice, scratch: &mut Scratch, stats: &mut Stats) -> Effect {
        let mut effect = Effect::default();
        let mut leaked = false;
        for nth in choice.reasons.clone() {
            let reason = scratch.reasons[nth];
            let says = reason.says_something(cx.bytes);
            if cx.policy == Policy::Separate {
                effect.alive |= says;
                continue;
            }
            mark(scratch, &reason);
            leaked |= says;
            stats.removed_bytes += if says { reason.value.span.of(cx.bytes).len() as u64 } else { 0 };
        }
        let more = more(cx, choice);
        let (mut visible, mut touched) = (0, false);
        let last = choice.texts.end.wrapping_sub(1);
        for nth in choice.texts.clone() {
            let text = scratch.texts[nth];
            let more = if nth == last { more } else { More::Yes };
            let (seen, changed) = self.split_text(cx, text, more, scratch, stats);
            visible += seen;
            touched |= changed;
        }
        if choice.texts.is_empty() && more != More::Yes && !self.held.is_empty() {
            self.settle(cx.policy, cx.profile, more, scratch, stats);
            touched = true;
            visible += scratch.text.len();
            self.put_settled(cx, choice, scratch);
        }
        if !scratch.thinking.is_empty() {
            self.put_thinking(cx, choice, scratch);
            effect.alive = true;
        }
        if let Some(span) = choice.logprobs.filter(|_| leaked || touched) {
            scratch.replace(span, &[b"null"]);
        }
        effect.emptied = leaked || touched;
        effect.alive |= visible > 0 || choice.keeps || choice.ends || choice.tools;
        effect
    }

    /// Split one text of the event and write down the edits. The answer is how many bytes of it are visible (what was
    /// held before included), and whether the text changed.
    pub(crate) fn split_text(
        &mut self,
        cx: &Context,
        text: Text,
        more: More,
        scratch: &mut Scratch,
        stats: &mut Stats,
    ) -> (usize, bool) {
        if text.null {
            return self.settle_into_null(cx, text, more, scratch, stats);
        }
        let body = text.body;
        let mut joined = std::mem::take(&mut scratch.joined);
        let raw = if self.held.is_empty() {
            body.of(cx.bytes)
        } else {
            joined.clear();
            joined.extend_from_slice(&self.held);
            joined.extend_from_slice(body.of(cx.bytes));
            &joined[..]
        };
        let result = self.split_raw(cx, raw, body, more, scratch, stats);
        scratch.joined = joined;
        result
    }

    /// `raw` is what was held and the text of the event in one.
    fn split_raw(
        &mut self,
        cx: &Context,
        raw: &[u8],
        body: Span,
        more: More,
        scratch: &mut Scratch,
        stats: &mut Stats,
    ) -> (usize, bool) {
        let held = self.held.len();
        let mut pieces = std::mem::take(&mut scratch.pieces);
        pieces.clear();
        let mut hold =
            self.splitter.split(cx.profile, raw, more, &mut |piece, from, to| pieces.push((piece, from, to)));
        if self.splitter.blank() > LEADING_BLANK_BYTES_MAX {
            pieces.push((Piece::Visible, hold, hold + self.splitter.blank()));
            hold += self.splitter.blank();
            self.splitter.blank_released();
            stats.over_cap += 1;
        }
        let unchanged = held == 0 && hold == raw.len() && pieces.iter().all(|(piece, ..)| *piece == Piece::Visible);
        if unchanged {
            self.watch(cx.profile, raw, stats);
        } else {
            let ahead = if cx.policy == Policy::Separate && cx.stand != Stand::Whole { last_turn(&pieces) } else { 0 };
            let place = |at: usize| body.start + at.max(held) - held;
            for (nth, &(piece, from, to)) in pieces.iter().enumerate() {
                match piece {
                    Piece::Visible if nth >= ahead => {
                        if from < held {
                            scratch.insert(body.start, &[&raw[from..to.min(held)]]);
                        }
                        continue;
                    }
                    Piece::Visible => scratch.text.extend_from_slice(&raw[from..to]),
                    Piece::Thinking if cx.policy == Policy::Separate => {
                        self.put_ahead(cx, scratch);
                        scratch.thinking.extend_from_slice(&raw[from..to]);
                    }
                    Piece::Thinking | Piece::Markup => stats.removed_bytes += (to - from) as u64,
                }
                scratch.cut(place(from), place(to));
            }
            scratch.cut(place(hold), body.end);
        }
        let visible = pieces.iter().filter(|(piece, ..)| *piece == Piece::Visible).map(|(_, from, to)| to - from).sum();
        scratch.pieces = pieces;
        self.held.clear();
        self.held.extend_from_slice(&raw[hold..]);
        stats.held_max = stats.held_max.max(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
        (visible, !unchanged)
    }

    /// An event in front for visible text that thinking follows in the same event.
    fn put_ahead(&self, cx: &Context, scratch: &mut Scratch) {
        if scratch.text.is_empty() {
            return;
        }
        let mut members = std::mem::take(&mut scratch.repeated);
        members.clear();
        envelope::render(cx.envelope, cx.bytes, &mut members);
        let says = Says { index: self.out_index, fields: cx.fields, thinking: &scratch.thinking, text: &scratch.text };
        envelope::write(self.shape, &members, says, &mut scratch.ahead);
        scratch.repeated = members;
        scratch.thinking.clear();
        scratch.text.clear();
    }

    /// Count a close that nothing opened, once; true when it is met.
    #[inline]
    pub(crate) fn watch(&mut self, profile: &Profile, raw: &[u8], stats: &mut Stats) -> bool {
        if self.dangling || !self.splitter.watches_closes(profile) {
            return false;
        }
        let seen = self.watched.is_empty();
        let found = if seen {
            profile.closes.find(raw, 0)
        } else {
            self.watched.extend_from_slice(raw);
            profile.closes.find(&self.watched, 0)
        };
        match found {
            Some((_, Found::Full(..))) => {
                self.dangling = true;
                stats.dangling_close += 1;
                self.watched.clear();
            }
            Some((at, _)) if seen => self.watched.extend_from_slice(&raw[at..]),
            Some((at, _)) => drop(self.watched.drain(..at)),
            None => self.watched.clear(),
        }
        self.dangling
    }

    /// Nothing that may follow needs a look, fields aside.
    pub(crate) fn is_done(&self, profile: &Profile) -> bool {
        self.splitter.is_done() && self.held.is_empty() && (self.dangling || !self.splitter.watches_closes(profile))
    }

    fn settle_into_null(
        &mut self,
        cx: &Context,
        text: Text,
        more: More,
        scratch: &mut Scratch,
        stats: &mut Stats,
    ) -> (usize, bool) {
        if more == More::Yes || self.held.is_empty() {
            return (0, false);
        }
        self.settle(cx.policy, cx.profile, more, scratch, stats);
        let settled = std::mem::take(&mut scratch.text);
        if !settled.is_empty() {
            scratch.replace(text.body, &[b"\"", &settled, b"\""]);
        }
        let visible = settled.len();
        scratch.text = settled;
        scratch.text.clear();
        (visible, true)
    }

    /// Decide what is held: visible text comes in `scratch.text`, thinking in `scratch.thinking`.
    pub(crate) fn settle(
        &mut self,
        policy: Policy,
        profile: &Profile,
        more: More,
        scratch: &mut Scratch,
        stats: &mut Stats,
    ) {
        let mut held = std::mem::take(&mut self.held);
        let (text, thinking) = (&mut scratch.text, &mut scratch.thinking);
        self.splitter.split(profile, &held, more, &mut |piece, from, to| match piece {
            Piece::Visible => text.extend_from_slice(&held[from..to]),
            Piece::Thinking if policy == Policy::Separate => thinking.extend_from_slice(&held[from..to]),
            Piece::Thinking | Piece::Markup => stats.removed_bytes += (to - from) as u64,
        });
        held.clear();
        self.held = held;
    }

    /// Put settled text into an event that has no text: as a member, or in front of it.
    fn put_settled(&self, cx: &Context, choice: &Choice, scratch: &mut Scratch) {
        if scratch.text.is_empty() {
            return;
        }
        if choice.body.is_empty() {
            if cx.stand != Stand::Whole {
                self.put_ahead(cx, scratch);
            }
            return;
        }
        let text = std::mem::take(&mut scratch.text);
        let comma = comma(choice, scratch);
        let key = self.shape.text_key().as_bytes();
        scratch.insert(choice.body.start + 1, &[b"\"", key, b"\":\"", &text, b"\"", comma]);
        scratch.text = text;
        scratch.text.clear();
    }

    /// Write the thinking of the event as a member beside the text, or into the member that is there already.
    fn put_thinking(&self, cx: &Context, choice: &Choice, scratch: &mut Scratch) {
        let thinking = std::mem::take(&mut scratch.thinking);
        let reasons = &scratch.reasons[choice.reasons.clone()];
        let field =
            reasons.iter().find(|r| r.name < Name::Part && matches!(r.value.kind, Kind::String | Kind::Null)).copied();
        match field {
            Some(reason) => match reason.text() {
                Some(body) => scratch.insert(body.end, &[&thinking]),
                None => scratch.replace(reason.value.span, &[b"\"", &thinking, b"\""]),
            },
            None => {
                let (at, comma) = match scratch.texts[choice.texts.clone()].first() {
                    Some(text) => (text.member, &b","[..]),
                    None => (choice.body.start + 1, comma(choice, scratch)),
                };
                for (nth, field) in cx.fields.iter().enumerate() {
                    let comma = if nth + 1 < cx.fields.len() { b"," } else { comma };
                    scratch.insert(at, &[b"\"", field.as_bytes(), b"\":\"", &thinking, b"\"", comma]);
                }
            }
        }
        scratch.thinking = thinking;
        scratch.thinking.clear();
    }
}

fn mark(scratch: &mut Scratch, reason: &Reason) {
    let items = if reason.name == Name::Part { &mut scratch.parts } else { &mut scratch.members };
    if let Some(item) = items.get_mut(reason.item) {
        item.remove = true;
    }
}

fn more(cx: &Context, choice: &Choice) -> More {
    match () {
        () if choice.ends || cx.stand != Stand::InStream => More::No,
        () if choice.tools => More::Pause,
        () => More::Yes,
    }
}

/// The comma behind a member that is put in front: none when no other member stays.
fn comma(choice: &Choice, scratch: &Scratch) -> &'static [u8] {
    let object = scratch.objects[choice.objects.clone()].last().cloned().unwrap_or_default();
    if scratch.members[object].iter().any(|item| !item.remove) { b"," } else { b"" }
}

/// Index of the last piece of thinking that visible text precedes: what is before it needs events of its own.
fn last_turn(pieces: &[(Piece, usize, usize)]) -> usize {
    let seen = pieces.iter().position(|(piece, ..)| *piece == Piece::Visible).unwrap_or(pieces.len());
    pieces.iter().rposition(|(piece, ..)| *piece == Piece::Thinking).filter(|last| *last > seen).unwrap_or(0)
}
