//! One answer of a model, in a form of its own: recorded from any upstream reply, written to any client.
//!
//! [`Recorder`] reads the reply as it streams and keeps an [`Answer`] only if the model finished by itself. `code` packs it
//! for the cache. [`Replay`] writes it as a stream or as one body, in either dialect.
//!
//! Thinking is kept as it came: text of reasoning fields as pieces of their own, tags inside content as content. What a
//! client sees of it is decided on the way out, so that one entry serves all policies and a corrected think profile needs
//! no new entries: [`Answer::separate`] takes inline thinking out of the text with the profile of the day, and the
//! replay's [`Thinking`] says what becomes of thinking pieces. Under `keep` and `wrap` inline tags stay where they are.

mod calls;
mod code;
mod events;
mod frame;
mod headers;
mod json;
mod record;
mod replay;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use code::{Broken, decode, encode};
pub use headers::{Outcome, Tier, write_headers};
pub use record::{End, Form, Recorder, Unstorable};
pub use replay::{Context, Replay, Thinking};

/// Who is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenAi,
    Ollama,
}

/// Endpoints whose answers are the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Chat,
    /// OpenAI's completions and Ollama's generate are kept apart: where an upstream is OpenAI's, generate is a chat.
    Completion,
    Generate,
    Embed,
    /// Ollama's older `/api/embeddings`: its vectors are not normalised.
    EmbedOne,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    OpenAiChat,
    OpenAiCompletions,
    OpenAiEmbeddings,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    OllamaEmbeddings,
}

impl Endpoint {
    pub const ALL: [Self; 7] = [
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiEmbeddings,
        Self::OllamaChat,
        Self::OllamaGenerate,
        Self::OllamaEmbed,
        Self::OllamaEmbeddings,
    ];

    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::OpenAiChat | Self::OpenAiCompletions | Self::OpenAiEmbeddings => Dialect::OpenAi,
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaEmbed | Self::OllamaEmbeddings => Dialect::Ollama,
        }
    }

    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::OpenAiChat | Self::OllamaChat => Family::Chat,
            Self::OpenAiCompletions => Family::Completion,
            Self::OllamaGenerate => Family::Generate,
            Self::OpenAiEmbeddings | Self::OllamaEmbed => Family::Embed,
            Self::OllamaEmbeddings => Family::EmbedOne,
        }
    }
}

/// A whole answer. Borrowed from an entry's bytes, or owned when just recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    pub family: Family,
    /// Who gave it; vectors are normalised on the way to the other dialect.
    pub origin: Dialect,
    /// In order of arrival; no two neighbours are both text or both thinking, and none is empty.
    pub pieces: Vec<Piece<'a>>,
    pub finish: Finish,
    pub field: ReasoningField,
    /// As the upstream counted; absent if it didn't say.
    pub usage: Option<Usage>,
    /// Ollama's token state of a generate call, to continue from.
    pub state: Vec<u32>,
    pub vectors: Vec<Vector<'a>>,
}

/// A stretch of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(Cow<'a, str>),
    Thinking(Cow<'a, str>),
    Call(Call<'a>),
}

/// A complete tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Empty if the upstream gave none.
    pub id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    /// A JSON object, spelled as it came.
    pub arguments: Cow<'a, str>,
}

/// Why the model stopped; other reasons are never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    ToolCalls,
}

/// Where the upstream put its reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasoningField {
    #[default]
    None,
    /// `reasoning_content`
    Content,
    /// `reasoning`
    Plain,
    /// Both of them, the same text.
    Both,
    /// Ollama's `thinking`
    Thinking,
}

/// Model tokens, as the upstream counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
    /// Not always the sum.
    pub total: u64,
    pub reasoning: Option<u64>,
    pub cached: Option<u64>,
}

/// One embedding, spelled as it came, so that no digit is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vector<'a> {
    /// A JSON array of numbers.
    Json(Cow<'a, str>),
    /// 32-bit floats, little-endian: what base64 holds.
    Floats(Cow<'a, [u8]>),
}

impl<'a> Answer<'a> {
    /// Nothing in it yet.
    #[must_use]
    pub fn new(family: Family, origin: Dialect) -> Self {
        Self {
            family,
            origin,
            pieces: Vec::new(),
            finish: Finish::Stop,
            field: ReasoningField::None,
            usage: None,
            state: Vec::new(),
            vectors: Vec::new(),
        }
    }

    /// All visible text, in order; inline tags included.
    pub fn text(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_ref()) } else { None })
    }

    /// All thinking pieces, in order.
    pub fn thinking(&self) -> impl Iterator<Item = &str> {
        self.pieces
            .iter()
            .filter_map(|piece| if let Piece::Thinking(text) = piece { Some(text.as_ref()) } else { None })
    }

    /// The tool calls, in order.
    pub fn calls(&self) -> impl Iterator<Item = &Call<'a>> {
        self.pieces.iter().filter_map(|piece| if let Piece::Call(call) = piece { Some(call) } else { None })
    }

    /// Moves inline thinking out of the text. `split` gets the whole text of the answer, piece by piece in order and then
    /// `None` at the end, and hands on what each part is: `(is thinking, text)`.
    ///
    /// Call it before a replay whose policy is `strip` or `separate`, with a splitter of the model's profile.
    pub fn separate(&mut self, mut split: impl FnMut(Option<&str>, &mut dyn FnMut(bool, &str))) {
        let mut pieces = Vec::with_capacity(self.pieces.len() + 2);
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Text(text) => split(Some(&text), &mut |thinking, text| append(&mut pieces, thinking, text)),
                piece => pieces.push(piece),
            }
        }
        split(None, &mut |thinking, text| append(&mut pieces, thinking, text));
        self.pieces = pieces;
    }
}

/// Joins neighbours of one kind.
fn append(pieces: &mut Vec<Piece<'_>>, thinking: bool, text: &str) {
    if text.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(Piece::Text(last)) if !thinking => last.to_mut().push_str(text),
        Some(Piece::Thinking(last)) if thinking => last.to_mut().push_str(text),
        _ if thinking => pieces.push(Piece::Thinking(Cow::Owned(text.to_owned()))),
        _ => pieces.push(Piece::Text(Cow::Owned(text.to_owned()))),
    }
}
