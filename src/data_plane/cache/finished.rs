//! A stored answer as it is written for a client: replayed, filtered, with holes for what differs from reply to reply.

use crate::wire::{
    answer::{Family, Holes, Kind},
    think::{self, Filter, Out, Spec, Stats},
};

/// How a stored answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    EventStream,
    Ndjson,
}

impl Form {
    #[must_use]
    pub fn of(kind: Kind, stream: bool) -> Self {
        let vectors = matches!(kind.family(), Family::Embed | Family::EmbedOne);
        match (stream && !vectors, kind.is_openai()) {
            (false, _) => Self::Json,
            (true, true) => Self::EventStream,
            (true, false) => Self::Ndjson,
        }
    }

    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::EventStream => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// An answer as the client gets it, but for its framing.
pub struct Finished {
    pub form: Form,
    pub body: Vec<u8>,
    pub holes: Holes,
    /// What the think filter did.
    pub stats: Option<Stats>,
}

impl Finished {
    /// Filters a replayed answer, which is `body` as a whole, written for this kind of client.
    #[must_use]
    pub fn new(
        kind: Kind,
        form: Form,
        body: &[u8],
        spec: Option<Box<Spec>>,
        think: &mut Out,
        id: &str,
        unix_micros: u64,
    ) -> Self {
        let mut filtered = Vec::with_capacity(body.len());
        let stats = spec.map(|spec| filter(form, body, *spec, think, &mut filtered));
        if stats.is_none() {
            filtered.extend_from_slice(body);
        }
        let holes = Holes::find(&filtered, id, unix_micros, kind.is_openai());
        Self { form, body: filtered, holes, stats }
    }
}

fn filter(form: Form, body: &[u8], spec: Spec, think: &mut Out, to: &mut Vec<u8>) -> Stats {
    think.clear();
    let framing = match form {
        Form::Json => {
            let stats = think::whole(&spec, body, think);
            think.copy_to(body, to);
            return stats;
        }
        Form::EventStream => think::Framing::Sse,
        Form::Ndjson => think::Framing::Ndjson,
    };
    let mut filter = Filter::new(&Spec { framing, ..spec });
    filter.feed(body, think);
    think.copy_to(body, to);
    filter.finish(think);
    think.copy_to(&[], to);
    filter.stats()
}
