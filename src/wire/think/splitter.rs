//! Splits the text of one answer into what is visible and what is thinking, delta by delta.
//!
//! The splitter looks at raw bodies of JSON strings and answers with ranges of them, so nothing is decoded or encoded.
//! It holds a suffix back only while that can still become a delimiter, or is leading white space whose fate depends on
//! what follows; the caller keeps the suffix and puts it in front of the next delta.

use super::profile::{Anchor, Found, Profile, Role, Set, Start};
use crate::wire::json::string::{self, Match};

/// Where in an answer the splitter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Before the first character that is not white space.
    Start,
    /// Right after an open tag: a label and white space may go.
    Open,
    Think,
    /// Right after a close tag: white space goes, another block may follow.
    After,
    /// In the answer, and delimiters still count.
    Text,
    /// In the answer, and nothing counts any more.
    Done,
}

/// What a range of the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Visible,
    Thinking,
    /// A delimiter, or white space next to one.
    Markup,
}

/// May more text follow?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// A suffix may be held.
    Yes,
    /// The text ends here: whatever is held is decided.
    No,
    /// Something that must not overtake text comes next (a tool call, the end of a block): release what is held, but
    /// the answer goes on. Leading white space comes out and the start stays the start.
    Pause,
}

#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    pub(crate) state: State,
    /// Which pair's close ends the block.
    pair: u8,
    label_done: bool,
    /// Raw bytes of held white space at the front of what is held (state Start).
    blank: u16,
    /// An open tag was met, or the answer began inside.
    pub(crate) thought: bool,
}

impl Splitter {
    pub(crate) fn new() -> Self {
        Self { state: State::Start, pair: 0, label_done: false, blank: 0, thought: false }
    }

    /// The answer goes on where an earlier one stopped: no start is expected.
    pub(crate) fn answering(profile: &Profile) -> Self {
        let mut new = Self::new();
        new.state = new.answer(profile);
        new
    }

    /// The prompt ended with an open tag.
    pub(crate) fn thinking(profile: &Profile) -> Self {
        let mut new = Self::new();
        new.enter(profile, 0);
        new
    }

    /// May this beginning of an event hold thinking? Its end may be the beginning of a delimiter or of an escape.
    pub(crate) fn may_think(&self, profile: &Profile, bytes: &[u8]) -> bool {
        let set = match self.state {
            State::Start if profile.start == Start::Outside => &profile.at_start,
            State::Start | State::Open | State::Think => return true,
            State::After => &profile.after,
            State::Text => &profile.text,
            State::Done => return false,
        };
        let escape = bytes.iter().rev().take(6).any(|byte| *byte == b'\\');
        escape || set.find(bytes, 0).is_some()
    }

    fn enter(&mut self, profile: &Profile, pair: u8) {
        self.pair = pair;
        self.label_done = profile.label.is_empty();
        self.thought = true;
        self.state = State::Open;
    }

    fn answer(&self, profile: &Profile) -> State {
        if profile.text.is_empty() { State::Done } else { State::Text }
    }

    fn set<'p>(&self, profile: &'p Profile) -> &'p Set {
        &profile.inside[usize::from(self.pair)]
    }

    /// What the whole of `raw` is, when that is clear without a change of state. Only right when nothing is held.
    #[inline]
    pub(crate) fn plain(&self, profile: &Profile, raw: &[u8]) -> Option<Piece> {
        match self.state {
            State::Done => Some(Piece::Visible),
            State::Text => profile.text.find(raw, 0).is_none().then_some(Piece::Visible),
            State::Think => self.set(profile).find(raw, 0).is_none().then_some(Piece::Thinking),
            _ => None,
        }
    }

    /// Split `raw`, which begins with the suffix held before. `sink` gets adjacent ranges in order; the answer is where
    /// the new suffix to hold begins (`raw.len()` when nothing is held).
    pub(crate) fn split(
        &mut self,
        profile: &Profile,
        raw: &[u8],
        more: More,
        sink: &mut impl FnMut(Piece, usize, usize),
    ) -> usize {
        let mut at = 0;
        while at < raw.len() {
            let from = at;
            let step = match self.state {
                State::Start => self.start(profile, raw, at, more),
                State::Open => self.open(profile, raw, at, more),
                State::Think => self.think(profile, raw, at, more),
                State::After => self.after(profile, raw, at, more),
                State::Text => self.text(profile, raw, at, more),
                State::Done => Step::Take(Piece::Visible, raw.len()),
            };
            match step {
                Step::Go => {}
                Step::Take(piece, end) => {
                    sink(piece, from, end);
                    at = end;
                }
                Step::Take2(first, middle, second, end) => {
                    if middle > from {
                        sink(first, from, middle);
                    }
                    sink(second, middle, end);
                    at = end;
                }
                Step::Hold(piece, hold) => {
                    if hold > from {
                        sink(piece, from, hold);
                    }
                    return hold;
                }
            }
        }
        raw.len()
    }

    fn start(&mut self, profile: &Profile, raw: &[u8], at: usize, more: More) -> Step {
        let known = usize::from(std::mem::take(&mut self.blank));
        let body = at + known + string::blank_len(raw, at + known);
        let drops_blank = profile.start == Start::Inside && profile.trim;
        if drops_blank && body > at {
            return Step::Take(Piece::Markup, body);
        }
        let found = if body < raw.len() { profile.at_start.at(raw, body) } else { Found::Partial };
        match found {
            Found::Full(role, len) => {
                self.take(profile, role);
                Step::Take(Piece::Markup, body + len)
            }
            Found::Partial if more == More::Yes => {
                self.blank = u16::try_from(body - at).unwrap_or(0);
                Step::Hold(Piece::Markup, at)
            }
            Found::Partial if more == More::Pause && body == raw.len() && profile.start == Start::Outside => {
                Step::Take(Piece::Visible, body)
            }
            _ if profile.start == Start::Inside => {
                self.enter(profile, 0);
                Step::Go
            }
            _ => {
                self.state = self.answer(profile);
                Step::Go
            }
        }
    }

    /// Leading white space was released because it is too long to hold.
    pub(crate) fn blank_released(&mut self) {
        self.blank = 0;
    }

    /// Raw bytes of leading white space at the front of what is held.
    pub(crate) fn blank(&self) -> usize {
        usize::from(self.blank)
    }

    fn take(&mut self, profile: &Profile, role: Role) {
        match role {
            Role::Open(pair) => self.enter(profile, pair),
            Role::Mark | Role::End => self.state = State::After,
        }
    }

    fn open(&mut self, profile: &Profile, raw: &[u8], at: usize, more: More) -> Step {
        if !self.label_done {
            match string::matches(raw, at, &profile.label) {
                Match::Partial if more == More::Yes => return Step::Hold(Piece::Markup, at),
                Match::Full(len) => {
                    self.label_done = true;
                    return Step::Take(Piece::Markup, at + len);
                }
                _ => self.label_done = true,
            }
        }
        let blank = if profile.trim { string::blank_len(raw, at) } else { 0 };
        if blank > 0 {
            return Step::Take(Piece::Markup, at + blank);
        }
        self.state = State::Think;
        Step::Go
    }

    fn think(&mut self, profile: &Profile, raw: &[u8], at: usize, more: More) -> Step {
        match find(self.set(profile), raw, at, more) {
            None => Step::Take(Piece::Thinking, raw.len()),
            Some((place, Found::Full(Role::End, _))) => {
                self.state = State::After;
                if place > at { Step::Take(Piece::Thinking, place) } else { Step::Go }
            }
            Some((place, Found::Full(_, len))) => {
                self.state = State::After;
                Step::Take2(Piece::Thinking, place, Piece::Markup, place + len)
            }
            Some((place, _)) => Step::Hold(Piece::Thinking, place),
        }
    }

    fn after(&mut self, profile: &Profile, raw: &[u8], at: usize, more: More) -> Step {
        let blank = if profile.trim { string::blank_len(raw, at) } else { 0 };
        if blank > 0 {
            return Step::Take(Piece::Markup, at + blank);
        }
        match profile.after.at(raw, at) {
            Found::Full(role, len) => {
                self.take(profile, role);
                Step::Take(Piece::Markup, at + len)
            }
            Found::Partial if more == More::Yes => Step::Hold(Piece::Markup, at),
            _ => {
                self.state = self.answer(profile);
                Step::Go
            }
        }
    }

    fn text(&mut self, profile: &Profile, raw: &[u8], at: usize, more: More) -> Step {
        match find(&profile.text, raw, at, more) {
            None => Step::Take(Piece::Visible, raw.len()),
            Some((place, Found::Full(role, len))) => {
                if let Role::Open(pair) = role {
                    self.enter(profile, pair);
                }
                Step::Take2(Piece::Visible, place, Piece::Markup, place + len)
            }
            Some((place, _)) => Step::Hold(Piece::Visible, place),
        }
    }

    /// Nothing that follows can be thinking.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The profile says outside and no block was met: a close in the answer would be a sign of a wrong profile.
    pub(crate) fn watches_closes(&self, profile: &Profile) -> bool {
        !self.thought && profile.start == Start::Outside && profile.anchor == Anchor::Start
    }
}

/// As [`Set::find`], but the end of the text is an end unless more may follow.
fn find(set: &Set, raw: &[u8], mut at: usize, more: More) -> Option<(usize, Found)> {
    loop {
        match set.find(raw, at) {
            Some((place, Found::Partial)) if more != More::Yes => at = place + string::unit(raw, place).1,
            found => return found,
        }
    }
}

enum Step {
    /// The state changed; nothing was consumed.
    Go,
    /// The text from here to there is one piece.
    Take(Piece, usize),
    /// One piece up to the middle (perhaps empty), another to the end.
    Take2(Piece, usize, Piece, usize),
    /// One piece up to there (perhaps empty), the rest is held.
    Hold(Piece, usize),
}
