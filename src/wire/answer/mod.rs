//! One answer of a model, in a form of its own: recorded from any upstream reply, written to any client.
//!
//! [`Recorder`] reads the reply as it streams and keeps an [`Answer`] only if the model finished by itself. `code` packs it
//! for the cache. [`Replay`] writes it as a stream or as one body, in either dialect.
//!
//! Thinking is kept as it came: text of reasoning fields as pieces of their own, tags inside content as content. A replay
//! shows both, as the upstream did, and goes through the same think filter as an upstream's reply. So one entry serves
//! all policies, a corrected think profile needs no new entries, and there is one place that knows what policies mean.

mod calls;
mod code;
mod events;
mod frame;
mod headers;
mod holes;
mod json;
mod record;
mod replay;
#[cfg(test)]
mod tests;
mod unstorable;

use std::borrow::Cow;

use super::dialect::Endpoint;

pub use code::{Broken, decode, encode, knows_usage};
pub use headers::{Fields, Outcome, Tier};
pub use holes::Holes;
pub use record::{End, Recorder};
pub use replay::{Context, Replay};
pub use unstorable::Unstorable;

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

/// The endpoints whose answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    OpenAiChat,
    OpenAiCompletions,
    OpenAiEmbeddings,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    OllamaEmbeddings,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiEmbeddings,
        Self::OllamaChat,
        Self::OllamaGenerate,
        Self::OllamaEmbed,
        Self::OllamaEmbeddings,
    ];

    /// `None`: answers of this endpoint are never kept.
    #[must_use]
    pub const fn of(endpoint: Endpoint) -> Option<Self> {
        Some(match endpoint {
            Endpoint::Chat => Self::OpenAiChat,
            Endpoint::Completions => Self::OpenAiCompletions,
            Endpoint::Embeddings => Self::OpenAiEmbeddings,
            Endpoint::OllamaChat => Self::OllamaChat,
            Endpoint::OllamaGenerate => Self::OllamaGenerate,
            Endpoint::OllamaEmbed => Self::OllamaEmbed,
            Endpoint::OllamaEmbeddings => Self::OllamaEmbeddings,
            _ => return None,
        })
    }

    #[must_use]
    pub const fn is_openai(self) -> bool {
        matches!(self, Self::OpenAiChat | Self::OpenAiCompletions | Self::OpenAiEmbeddings)
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
    /// An OpenAI server gave it; its vectors are normalised on the way to an Ollama client.
    pub from_openai: bool,
    /// As the upstream called the model; empty if it did not.
    pub model: Cow<'a, str>,
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

/// Why the model stopped; other reasons are neither kept nor told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Stop,
    ToolCalls,
    /// A limit was reached: told to whoever waits for this answer, never kept.
    Length,
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
    pub fn new(kind: Kind) -> Self {
        Self {
            family: kind.family(),
            from_openai: kind.is_openai(),
            model: Cow::Borrowed(""),
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
}
