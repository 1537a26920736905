//! Writes an answer for a client: a stream, event by event, or one body.

mod embed;
mod ollama;
mod openai;

use std::borrow::Cow;

use super::{Answer, Call, Family, Finish, Kind, Piece, ReasoningField};
use crate::base::bounds::REPLAY_EVENT_TEXT_BYTES;
use crate::wire::think::ReasoningFields;

/// What the answer doesn't know: who asks, how, and when.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The client's.
    pub kind: Kind,
    pub stream: bool,
    /// As the client called it; shown where the upstream did not call it anything.
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
    /// Text comes word by word, as a model writes it, and not in long pieces.
    pub words: bool,
    /// The fields in which OpenAI clients get thinking that came from Ollama; what came from OpenAI keeps its own.
    pub reasoning_fields: ReasoningFields,
}

/// An answer on its way out. Call [`next_event`](Self::next_event) until it says that there is no more.
#[derive(Debug)]
pub struct Replay<'a> {
    answer: &'a Answer<'a>,
    context: Context<'a>,
    fields: &'static [&'static str],
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
    Text(&'p str),
    Thinking(&'p str),
    Call { number: usize, call: &'p Call<'p> },
}

impl<'a> Replay<'a> {
    /// `None` if an answer of this kind can't be written for this endpoint.
    #[must_use]
    pub fn new(answer: &'a Answer<'a>, context: Context<'a>) -> Option<Self> {
        let vectors = |family| matches!(family, Family::Embed | Family::EmbedOne);
        let family = context.kind.family();
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
        let openai = self.context.kind.is_openai();
        loop {
            match self.step {
                Step::Whole => {
                    self.whole(out);
                    self.step = Step::End;
                    return true;
                }
                Step::Begin => {
                    self.step = Step::Pieces;
                    if self.context.kind == Kind::OpenAiChat {
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

    /// Something of the answer itself comes before the end marks.
    #[must_use]
    pub fn has_more_to_tell(&self) -> bool {
        matches!(self.step, Step::Whole | Step::Begin | Step::Pieces) && self.cursor.piece < self.answer.pieces.len()
    }

    /// The answer itself has begun: what was written last was more than a mark of the beginning.
    #[must_use]
    pub fn has_told(&self) -> bool {
        self.cursor.piece > 0 || self.cursor.offset > 0
    }

    /// The content type of what is written.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self.step {
            Step::Whole => "application/json",
            _ if self.context.kind.is_openai() => "text/event-stream",
            _ => "application/x-ndjson",
        }
    }

    fn whole(&self, out: &mut Vec<u8>) {
        match self.context.kind {
            Kind::OpenAiChat | Kind::OpenAiCompletions => self.openai_whole(out),
            Kind::OllamaChat | Kind::OllamaGenerate => self.ollama_whole(out),
            Kind::OpenAiEmbeddings | Kind::OllamaEmbed | Kind::OllamaEmbeddings => self.embeddings(out),
        }
    }

    fn event_prefix(&self) -> Vec<u8> {
        if self.context.kind.is_openai() { self.openai_prefix() } else { self.ollama_prefix() }
    }

    /// Old completions have a place for text only; what else there is stays away, and they end like any text.
    fn text_only(&self) -> bool {
        self.context.kind == Kind::OpenAiCompletions
    }

    fn model(&self) -> &str {
        if self.answer.model.is_empty() { self.context.model } else { &self.answer.model }
    }

    fn finish(&self) -> Finish {
        match self.answer.finish {
            Finish::ToolCalls if self.text_only() => Finish::Stop,
            finish => finish,
        }
    }

    fn next_shown(&mut self) -> Option<Shown<'a>> {
        loop {
            match self.answer.pieces.get(self.cursor.piece)? {
                Piece::Text(text) => return Some(Shown::Text(self.take(text))),
                Piece::Thinking(_) | Piece::Call(_) if self.text_only() => self.cursor.piece += 1,
                Piece::Thinking(text) => return Some(Shown::Thinking(self.take(text))),
                Piece::Call(call) => {
                    let number = self.cursor.calls;
                    self.cursor.calls += 1;
                    self.cursor.piece += 1;
                    return Some(Shown::Call { number, call });
                }
            }
        }
    }

    /// The next part of this piece.
    fn take(&mut self, text: &'a str) -> &'a str {
        let rest = &text[self.cursor.offset..];
        let cut = if self.context.words { word(rest) } else { cut(rest) };
        if cut == rest.len() {
            self.cursor.piece += 1;
            self.cursor.offset = 0;
        } else {
            self.cursor.offset += cut;
        }
        &rest[..cut]
    }

    /// All text, as one body shows it.
    fn whole_text(&self) -> Cow<'a, str> {
        joined(self.answer.text())
    }

    /// All thinking, as one body shows it in a field; empty where there is none.
    fn whole_thinking(&self) -> Cow<'a, str> {
        joined(self.answer.thinking())
    }
}

/// Copied only if there are several.
fn joined<'a>(mut texts: impl Iterator<Item = &'a str>) -> Cow<'a, str> {
    let mut all = Cow::Borrowed(texts.next().unwrap_or_default());
    texts.for_each(|text| all.to_mut().push_str(text));
    all
}

/// The fields that OpenAI clients get thinking in.
fn fields(answer: &Answer<'_>, context: &Context<'_>) -> &'static [&'static str] {
    match (answer.field, context.reasoning_fields) {
        (ReasoningField::Content, _) => &["reasoning_content"],
        (ReasoningField::Plain, _) => &["reasoning"],
        (ReasoningField::Both, _) => &["reasoning_content", "reasoning"],
        (_, ReasoningFields::ReasoningContent) => &["reasoning_content"],
        (_, ReasoningFields::Reasoning) => &["reasoning"],
        (_, ReasoningFields::Both) => &["reasoning_content", "reasoning"],
    }
}

/// Up to the end of the first word; of one without end as much as a long word has.
fn word(text: &str) -> usize {
    const LETTERS_MAX: usize = 24;
    let start = text.len() - text.trim_start().len();
    let end = text[start..].find(char::is_whitespace).map_or(text.len(), |at| start + at);
    let far = text[start..].char_indices().nth(LETTERS_MAX).map_or(text.len(), |(at, _)| start + at);
    end.min(far)
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
