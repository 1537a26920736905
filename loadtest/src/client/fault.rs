//! The names of what a proxy can do wrong.

use crate::wire::events::EventTooLong;

/// Why a reply is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// No connection.
    Connect,
    /// The connection broke before the reply was whole.
    Truncated,
    /// The reply took too long.
    Timeout,
    /// Not HTTP, or chunks or events that break the rules.
    Framing,
    /// Another status than expected.
    Status,
    /// Text that was not sent: missing, doubled, out of order, changed.
    Text,
    /// Another request's text.
    Foreign,
    /// Thinking that should have been removed.
    Leak,
    /// The text is right; the JSON around it, or the media type, is not.
    Envelope,
    /// No end mark, another reason for the end, text missing before it, or something behind it.
    End,
    /// A failure of the upstream was passed on as if it were a whole answer.
    HiddenFailure,
}

impl Fault {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fault::Connect => "connect",
            Fault::Truncated => "truncated",
            Fault::Timeout => "timeout",
            Fault::Framing => "framing",
            Fault::Status => "status",
            Fault::Text => "text",
            Fault::Foreign => "foreign",
            Fault::Leak => "leak",
            Fault::Envelope => "envelope",
            Fault::End => "end",
            Fault::HiddenFailure => "hidden_failure",
        }
    }
}

impl From<EventTooLong> for Fault {
    fn from(_: EventTooLong) -> Self {
        Fault::Framing
    }
}
