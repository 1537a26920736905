//! What one event says, as spans, and the memory that working on it needs. It belongs to the core, not to the stream.

use super::splitter::Piece;
use crate::wire::json::edit::{Edit, Item};
use crate::wire::json::scan::{Kind, Span, Value};

/// A text of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    /// The body of the string, or the word `null`.
    pub(crate) body: Span,
    pub(crate) null: bool,
    /// Where the member begins that holds the text: siblings can be put here.
    pub(crate) member: usize,
    /// `text` of a choice (legacy completions), which counts only without `delta` and `message`.
    pub(crate) legacy: bool,
}

/// Members that hold thinking, most preferred first where several say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    ReasoningContent,
    Reasoning,
    Thinking,
    /// A part `{"type":"thinking",…}` of a content array.
    Part,
    /// Copies in other shapes: `reasoning_details`, `reasoning_text`, `thinking_blocks`.
    Copy,
}

/// A member or part that holds thinking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason {
    pub(crate) name: Name,
    pub(crate) value: Value,
    /// Index into `members`, or `parts` for [`Name::Part`].
    pub(crate) item: usize,
}

/// A range of one of the vectors of [`Scratch`].
pub(crate) type Slice = std::ops::Range<usize>;

/// One choice of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) index: u32,
    /// The object that holds the text, brackets included; empty when there is none.
    pub(crate) body: Span,
    /// The objects whose members may go, in `objects`; the last is `body`.
    pub(crate) objects: Slice,
    /// Content arrays, in `lists`.
    pub(crate) lists: Slice,
    pub(crate) texts: Slice,
    pub(crate) reasons: Slice,
    /// The answer ends with this event.
    pub(crate) ends: bool,
    /// Tool calls, which text must not overtake.
    pub(crate) tools: bool,
    /// Something besides text and thinking is said.
    pub(crate) keeps: bool,
    /// A value that is not null.
    pub(crate) logprobs: Option<Span>,
    /// The text is the choice's own `text` (legacy completions).
    pub(crate) legacy: bool,
}

/// Members that an event of our own repeats.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Envelope {
    pub(crate) members: [Span; 6],
    pub(crate) count: usize,
}

impl Envelope {
    pub(crate) fn add(&mut self, key: Span, value: Value) {
        if let Some(free) = self.members.get_mut(self.count) {
            *free = Span::new(key.start, value.span.end);
            self.count += 1;
        }
    }

    pub(crate) fn spans(&self) -> &[Span] {
        &self.members[..self.count]
    }
}

/// One event as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub(crate) envelope: Envelope,
    /// Something besides the choices is said: usage, an error, a member nobody knows.
    pub(crate) keeps: bool,
    pub(crate) error: bool,
    /// Ollama: the text is in `message` (chat), not in `response` (generate).
    pub(crate) in_message: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) choices: Vec<Choice>,
    pub(crate) members: Vec<Item>,
    /// Objects, as ranges of `members`.
    pub(crate) objects: Vec<Slice>,
    pub(crate) parts: Vec<Item>,
    /// Content arrays, as ranges of `parts`.
    pub(crate) lists: Vec<Slice>,
    /// Ollama: members of the root, and what of it would be thinking if it were the message.
    pub(crate) roots: Vec<Item>,
    pub(crate) root_reasons: Vec<Reason>,
    pub(crate) texts: Vec<Text>,
    pub(crate) reasons: Vec<Reason>,
    /// Responses: what stands beside each text and goes with it.
    pub(crate) spans: Vec<Span>,
    pub(crate) edits: Vec<Edit>,
    /// The bytes that edits put in.
    pub(crate) put: Vec<u8>,
    /// Held bytes and the text behind them.
    pub(crate) joined: Vec<u8>,
    pub(crate) pieces: Vec<(Piece, usize, usize)>,
    /// Thinking of the event that is to be written as a member.
    pub(crate) thinking: Vec<u8>,
    /// Text of the event that is to be put in somewhere.
    pub(crate) text: Vec<u8>,
    /// Events of our own that come before the event.
    pub(crate) ahead: Vec<u8>,
    /// The values of an event with several data lines.
    pub(crate) values: Vec<u8>,
}

impl Scratch {
    pub(crate) fn clear(&mut self) {
        self.choices.clear();
        self.members.clear();
        self.objects.clear();
        self.parts.clear();
        self.lists.clear();
        self.roots.clear();
        self.root_reasons.clear();
        self.texts.clear();
        self.reasons.clear();
        self.spans.clear();
        self.edits.clear();
        self.put.clear();
        self.ahead.clear();
    }

    /// Put `bytes` in place of `cut`.
    pub(crate) fn replace(&mut self, cut: Span, bytes: &[&[u8]]) {
        let start = self.put.len();
        for bytes in bytes {
            self.put.extend_from_slice(bytes);
        }
        self.edits.push(Edit { cut, put: Span::new(start, self.put.len()) });
    }

    pub(crate) fn insert(&mut self, at: usize, bytes: &[&[u8]]) {
        self.replace(Span::new(at, at), bytes);
    }

    pub(crate) fn cut(&mut self, start: usize, end: usize) {
        if start == end {
            return;
        }
        if let Some(last) = self.edits.last_mut()
            && last.cut.end == start
            && last.put.is_empty()
        {
            last.cut.end = end;
            return;
        }
        self.edits.push(Edit { cut: Span::new(start, end), put: Span::default() });
    }
}

impl Reason {
    /// Does it hold anything?
    pub(crate) fn says_something(&self, bytes: &[u8]) -> bool {
        self.name == Name::Part || !self.value.says_nothing(bytes)
    }

    /// The body of a string.
    pub(crate) fn text(&self) -> Option<Span> {
        (self.value.kind == Kind::String).then(|| self.value.text()).flatten()
    }
}
