//! What keeps an answer out of the cache.

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstorable {
    Status,
    /// Beyond a bound.
    TooLarge,
    Unreadable,
    /// An error inside a 200.
    Error,
    /// Cut, or without the mark of its end.
    Unfinished,
    /// Ended by a limit, a filter, or a reason unknown.
    Finish,
    /// More than one choice.
    ManyAnswers,
    /// Holds something that an entry can't: sound, citations, sealed reasoning.
    Unsupported,
    /// A tool call without a name or with arguments that are not an object, or calls while they are not to be kept.
    ToolCall,
    /// Nothing to show.
    Empty,
    /// The upstream said `Cache-Control: no-store`.
    Forbidden,
    /// Too many answers waited to be read.
    Busy,
}

impl Unstorable {
    pub const ALL: [Self; 12] = [
        Self::Status,
        Self::TooLarge,
        Self::Unreadable,
        Self::Error,
        Self::Unfinished,
        Self::Finish,
        Self::ManyAnswers,
        Self::Unsupported,
        Self::ToolCall,
        Self::Empty,
        Self::Forbidden,
        Self::Busy,
    ];

    /// For metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::Error => "error",
            Self::Unfinished => "unfinished",
            Self::Finish => "finish_reason",
            Self::ManyAnswers => "several_choices",
            Self::Unsupported => "unsupported",
            Self::ToolCall => "tool_call",
            Self::Empty => "empty",
            Self::Forbidden => "no_store",
            Self::Busy => "busy",
        }
    }
}
