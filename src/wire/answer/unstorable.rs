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
}
