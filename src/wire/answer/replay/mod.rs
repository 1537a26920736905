//! Writes an answer for a client: a stream, event by event, or one body.

mod embed;
mod ollama;
mod openai;

use std::borrow::Cow;

use super::{Answer, Call, Dialect, Endpoint, Family, Finish, Piece, ReasoningField};
use crate::base::bounds::REPLAY_EVENT_TEXT_BYTES;

/// What becomes of thinking pieces; the policy of the request. Inline tags in text are not looked for here, see
/// [`Answer::separate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Not shown.
    Strip,
    /// Shown in the field in which it came, or in that of the other dialect.
    Keep,
    /// Shown in the fields that the context names.
    Separate,
    /// Shown in the text, between `<think>` and `</think>`.
    Wrap,
}

/// What the answer doesn't know: who asks, how, and when.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub endpoint: Endpoint,
    pub stream: bool,
    /// As the client called it.
    pub model: &'a str,
    /// OpenAI's `id`, new for every reply; tool calls that came without an id get theirs from it.
    pub id: &'a str,
    pub now_unix_micros: u64,
    /// How long the request took so far; Ollama's durations are made of it.
    pub elapsed_nanos: u64,
    /// OpenAI: `stream_options.include_usage`.
    pub include_usage: bool,
    /// OpenAI embeddings: `encoding_format: base64`.
    pub base64: bool,
    pub thinking: Thinking,
    /// The fields for OpenAI clients under `separate`, and under `keep` if the answer came from Ollama.
    pub reasoning_fields: &'a [&'a str],
}

/// An answer on its way out. Call [`next_event`](Self::next_event) until it says that there is no more.
#[derive(Debug)]
pub struct Replay<'a> {
    answer: &'a Answer<'a>,
    context: Context<'a>,
    fields: [Option<&'a str>; 2],
    /// What every event of the stream begins with.
    prefix: Vec<u8>,
    step: Step,
    cursor: Cursor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The body of a plain reply.
    Whole,
    /// The role event, where there is one.
    Begin,
    Pieces,
    Finish,
    Usage,
    Mark,
    End,
}

/// Where in the answer the next event begins.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    piece: usize,
    offset: usize,
    calls: usize,
}

/// What one event of a stream shows.
enum Shown<'p> {
    Text { before: &'static str, text: &'p str, after: &'static str },
    Thinking(&'p str),
    Call { number: usize, call: &'p Call<'p> },
}

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

impl<'a> Replay<'a> {
    /// `None` if an answer of this kind can't be written for this endpoint.
    #[must_use]
    pub fn new(answer: &'a Answer<'a>, context: Context<'a>) -> Option<Self> {
        let vectors = |family| matches!(family, Family::Embed | Family::EmbedOne);
        let family = context.endpoint.family();
        if vectors(family) != vectors(answer.family) || (family == Family::EmbedOne && answer.vectors.len() != 1) {
            return None;
        }
        let step = if context.stream && !vectors(family) { Step::Begin } else { Step::Whole };
        let mut replay = Self {
            answer,
            context,
            fields: fields(answer, &context),
            prefix: Vec::new(),
            step,
            cursor: Cursor::default(),
        };
        replay.prefix = replay.event_prefix();
        Some(replay)
    }

    /// Appends the next event with its framing, or the whole body; `false` when everything was written.
    pub fn next_event(&mut self, out: &mut Vec<u8>) -> bool {
        let openai = self.context.endpoint.dialect() == Dialect::OpenAi;
        loop {
            match self.step {
                Step::Whole => {
                    self.whole(out);
                    self.step = Step::End;
                    return true;
                }
                Step::Begin => {
                    self.step = Step::Pieces;
                    if self.context.endpoint == Endpoint::OpenAiChat {
                        self.openai_role(out);
                        return true;
                    }
                }
                Step::Pieces => match self.next_shown() {
                    Some(shown) if openai => {
                        self.openai_event(&shown, out);
                        return true;
                    }
                    Some(shown) => {
                        self.ollama_line(&shown, out);
                        return true;
                    }
                    None => self.step = Step::Finish,
                },
                Step::Finish if openai => {
                    self.openai_finish(out);
                    self.step = if self.context.include_usage { Step::Usage } else { Step::Mark };
                    return true;
                }
                Step::Finish => {
                    self.ollama_last(out);
                    self.step = Step::End;
                    return true;
                }
                Step::Usage => {
                    self.openai_usage(out);
                    self.step = Step::Mark;
                    return true;
                }
                Step::Mark => {
                    out.extend_from_slice(b"data: [DONE]\n\n");
                    self.step = Step::End;
                    return true;
                }
                Step::End => return false,
            }
        }
    }

    /// The content type of what is written.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match (self.step, self.context.endpoint.dialect()) {
            (Step::Whole, _) => "application/json",
            (_, Dialect::OpenAi) => "text/event-stream",
            (_, Dialect::Ollama) => "application/x-ndjson",
        }
    }

    fn whole(&self, out: &mut Vec<u8>) {
        match self.context.endpoint {
            Endpoint::OpenAiChat | Endpoint::OpenAiCompletions => self.openai_whole(out),
            Endpoint::OllamaChat | Endpoint::OllamaGenerate => self.ollama_whole(out),
            Endpoint::OpenAiEmbeddings | Endpoint::OllamaEmbed | Endpoint::OllamaEmbeddings => self.embeddings(out),
        }
    }

    fn event_prefix(&self) -> Vec<u8> {
        match self.context.endpoint.dialect() {
            Dialect::OpenAi => self.openai_prefix(),
            Dialect::Ollama => self.ollama_prefix(),
        }
    }

    /// Old completions have no place for thinking.
    fn shows_thinking(&self) -> bool {
        self.context.thinking != Thinking::Strip && self.context.endpoint != Endpoint::OpenAiCompletions
    }

    /// Nor for calls: there they end like any text.
    fn shows_calls(&self) -> bool {
        self.context.endpoint != Endpoint::OpenAiCompletions
    }

    fn finish(&self) -> Finish {
        if self.shows_calls() { self.answer.finish } else { Finish::Stop }
    }

    fn next_shown(&mut self) -> Option<Shown<'a>> {
        loop {
            match self.answer.pieces.get(self.cursor.piece)? {
                Piece::Text(text) => return Some(Shown::Text { before: "", text: self.take(text).0, after: "" }),
                Piece::Thinking(text) if self.context.thinking == Thinking::Wrap => {
                    let before = if self.cursor.offset == 0 { OPEN } else { "" };
                    let (text, last) = self.take(text);
                    return Some(Shown::Text { before, text, after: if last { CLOSE } else { "" } });
                }
                Piece::Thinking(text) if self.shows_thinking() => return Some(Shown::Thinking(self.take(text).0)),
                Piece::Thinking(_) => self.cursor.piece += 1,
                Piece::Call(_) if !self.shows_calls() => self.cursor.piece += 1,
                Piece::Call(call) => {
                    let number = self.cursor.calls;
                    self.cursor.calls += 1;
                    self.cursor.piece += 1;
                    return Some(Shown::Call { number, call });
                }
            }
        }
    }

    /// The next part of this piece, and whether it was the last.
    fn take(&mut self, text: &'a str) -> (&'a str, bool) {
        let rest = &text[self.cursor.offset..];
        let cut = cut(rest);
        if cut == rest.len() {
            self.cursor.piece += 1;
            self.cursor.offset = 0;
        } else {
            self.cursor.offset += cut;
        }
        (&rest[..cut], cut == rest.len())
    }

    /// All text, as one body shows it.
    fn whole_text(&self) -> Cow<'a, str> {
        let wrap = self.context.thinking == Thinking::Wrap;
        let mut shown = self.answer.pieces.iter().filter(|piece| match piece {
            Piece::Text(_) => true,
            Piece::Thinking(_) => wrap,
            Piece::Call(_) => false,
        });
        match (shown.next(), shown.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(Piece::Text(only)), None) => Cow::Borrowed(only),
            _ => {
                let mut all = String::new();
                for piece in &self.answer.pieces {
                    match piece {
                        Piece::Text(text) => all.push_str(text),
                        Piece::Thinking(text) if wrap => all.extend([OPEN, text, CLOSE]),
                        _ => {}
                    }
                }
                Cow::Owned(all)
            }
        }
    }

    /// All thinking, as one body shows it in a field; nothing where it is not shown so.
    fn whole_thinking(&self) -> Option<String> {
        if !self.shows_thinking() || self.context.thinking == Thinking::Wrap {
            return None;
        }
        let text: String = self.answer.thinking().collect();
        Some(text).filter(|text| !text.is_empty())
    }
}

/// The fields that OpenAI clients get reasoning in. `keep` keeps the upstream's.
fn fields<'a>(answer: &Answer<'_>, context: &Context<'a>) -> [Option<&'a str>; 2] {
    let named = [context.reasoning_fields.first().copied(), context.reasoning_fields.get(1).copied()];
    match answer.field {
        _ if context.thinking != Thinking::Keep => named,
        ReasoningField::Content => [Some("reasoning_content"), None],
        ReasoningField::Plain => [Some("reasoning"), None],
        ReasoningField::Both => [Some("reasoning_content"), Some("reasoning")],
        ReasoningField::None | ReasoningField::Thinking => named,
    }
}

/// How much of a text goes into one event: all of a short one, else up to a blank near the bound, never half a character.
fn cut(text: &str) -> usize {
    if text.len() <= REPLAY_EVENT_TEXT_BYTES {
        return text.len();
    }
    let bound = text.floor_char_boundary(REPLAY_EVENT_TEXT_BYTES);
    let blank = text.as_bytes()[bound / 2..bound].iter().rposition(|byte| *byte == b' ');
    blank.map_or(bound, |at| bound / 2 + at)
}
