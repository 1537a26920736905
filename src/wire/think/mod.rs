//! The think filter: takes the model's thinking out of an answer, or moves it, in raw bytes and without delaying a byte
//! that is not thinking.
//!
//! From the bottom up: a [`Profile`] says how a family of models marks its thinking (`table` has the known ones); the
//! `splitter` tells thinking from text in the bodies of JSON strings; `lane` does so for one choice of an answer and
//! writes down edits; `chat`, `anthropic` and `responses` find the strings in an event; [`Filter`] cuts a stream into
//! events and puts the result together from ranges of what it was given.

mod anthropic;
mod chat;
mod envelope;
mod filter;
mod lane;
mod out;
mod profile;
mod request;
mod responses;
mod scratch;
mod source;
mod splitter;
pub mod table;
mod template;
mod whole;

use std::sync::Arc;

pub use filter::Filter;
pub use out::{Out, Seg};
pub use profile::{Anchor, Profile, ProfileDef, ProfileError, Start};
pub use request::{RequestFacts, request_facts};
pub use whole::{may_need_edit, whole};

/// What the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenAiChat,
    OpenAiCompletions,
    OllamaChat,
    OllamaGenerate,
    AnthropicMessages,
    OpenAiResponses,
}

/// How it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `text/event-stream`
    Sse,
    /// `application/x-ndjson`
    Ndjson,
    /// One body. Pass it to [`whole`]; a [`Filter`] would collect it and answer at the end.
    Json,
}

/// What to do with thinking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Inline blocks and reasoning members are removed.
    #[default]
    Strip,
    /// Not a byte is touched.
    Keep,
    /// Inline blocks become reasoning members.
    Separate,
    /// Reasoning members become inline blocks.
    Wrap,
}

/// What the request says about the beginning of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartOverride {
    /// Nothing: the profile decides.
    #[default]
    Profile,
    /// The last message is a beginning of the answer: a profile that starts inside doesn't.
    Prefill,
    /// The prompt ends with an open tag.
    Inside,
    /// The prompt is repeated in the answer (`echo`): there is no start, so nothing is filtered.
    Off,
}

/// The members that clients of the OpenAI dialect get thinking in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasoningFields {
    #[default]
    ReasoningContent,
    Reasoning,
    /// Clients that read both show the thinking twice.
    Both,
}

/// Everything that a [`Filter`] is told.
#[derive(Clone, Debug)]
pub struct Spec {
    pub format: Format,
    pub framing: Framing,
    pub policy: Policy,
    pub profile: Arc<Profile>,
    /// Choices asked for (`n`).
    pub choices: u16,
    pub start: StartOverride,
    pub reasoning_fields: ReasoningFields,
}

impl Spec {
    /// One choice, the start as the profile says, the usual member.
    #[must_use]
    pub fn new(format: Format, framing: Framing, policy: Policy, profile: Arc<Profile>) -> Self {
        Self {
            format,
            framing,
            policy,
            profile,
            choices: 1,
            start: StartOverride::default(),
            reasoning_fields: ReasoningFields::default(),
        }
    }

    /// The policy as far as the format knows it: the streams with blocks and items are stripped or kept.
    pub(crate) fn effective_policy(&self) -> Policy {
        let blocks = matches!(self.format, Format::AnthropicMessages | Format::OpenAiResponses);
        match self.policy {
            _ if self.start == StartOverride::Off => Policy::Keep,
            Policy::Separate | Policy::Wrap if blocks => Policy::Keep,
            policy => policy,
        }
    }
}

impl ReasoningFields {
    /// The members' names; Ollama's dialect has its own.
    pub(crate) fn names(self, format: Format) -> &'static [&'static str] {
        match (format, self) {
            (Format::OllamaChat | Format::OllamaGenerate, _) => &["thinking"],
            (_, Self::ReasoningContent) => &["reasoning_content"],
            (_, Self::Reasoning) => &["reasoning"],
            (_, Self::Both) => &["reasoning_content", "reasoning"],
        }
    }
}

/// What a filter has seen and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of text and members taken out, as they were spelled.
    pub removed_bytes: u64,
    /// Most bytes of text held back at one time.
    pub held_max: u32,
    /// Answers that ended in thinking.
    pub unclosed: u32,
    /// Answers with a close that nothing opened: the profile should probably start inside.
    pub dangling_close: u32,
    pub edited_events: u32,
    pub dropped_events: u32,
    /// Times that something was too large to be looked at, and passed.
    pub over_cap: u32,
    /// Thinking is being suppressed: the client sees nothing.
    pub suppressing: bool,
}
