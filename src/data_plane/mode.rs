//! What is done with the body of an answer, and the head that announces it.

use super::{core::Core, exchange::Exchange};
use crate::{
    base::metric::Metric,
    wire::{
        answer,
        http::{
            Framing, Media, ResponseHead,
            write::{DownstreamLine, downstream_response},
        },
        think::{self, Filter, Spec},
    },
};

/// The value of `X-Think-Applied` where the filter could not work.
const ENCODED: &str = "none; reason=content-encoding";
const OTHER_MEDIA: &str = "none; reason=content-type";
pub const TOO_LARGE: &str = "none; reason=too-large";

/// What is done with the body.
pub enum Mode {
    Pass,
    /// As `Pass`, where the filter was wanted and could not work, for this reason.
    Unfiltered(&'static str),
    Filter(Box<Filter>),
    Collect(Collected),
}

/// A body without stream, gathered to be edited as a whole.
pub struct Collected {
    pub spec: Box<Spec>,
    pub body: Vec<u8>,
    pub edited: Option<usize>,
}

impl Collected {
    #[must_use]
    pub fn new(spec: Box<Spec>) -> Self {
        Self { spec, body: Vec::new(), edited: None }
    }

    /// Length of the body once it was edited.
    #[must_use]
    pub fn edited_len(&self) -> usize {
        self.edited.unwrap_or(self.body.len())
    }
}

impl Mode {
    /// Decides by the rules for this request and the answer's head. `here`: the body, if all of it has come already.
    pub fn of(core: &Core, exchange: &mut Exchange, head: &ResponseHead<'_>, here: Option<&[u8]>) -> Self {
        let Some(spec) = exchange.think.take() else { return Self::Pass };
        let framing = match head.media {
            Media::EventStream => think::Framing::Sse,
            Media::Ndjson => think::Framing::Ndjson,
            Media::Json => think::Framing::Json,
            Media::Other | Media::Absent if head.is_success() && !head.framing.is_empty() => {
                core.meter.one(Metric::ThinkSkipped);
                return Self::Unfiltered(OTHER_MEDIA);
            }
            Media::Other | Media::Absent => return Self::Pass,
        };
        if !head.is_success() || head.framing.is_empty() {
            return Self::Pass;
        }
        if head.is_encoded {
            // Identity was asked for; compressed bytes are never searched.
            core.meter.one(Metric::ThinkSkipped);
            return Self::Unfiltered(ENCODED);
        }
        core.meter.one(Metric::ThinkFiltered);
        if framing == think::Framing::Json {
            // Most answers hold nothing to edit, which a look for a few bytes tells.
            if here.is_some_and(|body| !think::may_need_edit(&spec, body)) {
                return Self::Pass;
            }
            return Self::Collect(Collected::new(spec));
        }
        Self::Filter(Box::new(Filter::new(&Spec { framing, ..*spec })))
    }
}

/// Returns how the body is to be framed and whether the connection may go on.
pub fn write_head(
    write: &mut Vec<u8>,
    exchange: &Exchange,
    head: &ResponseHead<'_>,
    mode: &Mode,
    draining: bool,
) -> (Framing, bool) {
    let framing = match (mode, head.framing) {
        (Mode::Filter(_), _) | (_, Framing::UntilClose) => Framing::Chunked,
        (Mode::Collect(collected), _) => Framing::Length(collected.edited_len() as u64),
        // The answer to `HEAD` names the length of the body that is not sent.
        (_, Framing::None) => head.content_length.map_or(Framing::None, Framing::Length),
        (_, framing) => framing,
    };
    let mut extra: Vec<(&str, &[u8])> = vec![("X-Request-Id", exchange.id.as_bytes())];
    if let Mode::Unfiltered(reason) = mode {
        extra.push(("X-Think-Applied", reason.as_bytes()));
    }
    let cache = exchange.cache_says.map(answer::Fields::of);
    if let Some(cache) = &cache {
        extra.extend(cache.iter());
    }
    let line = DownstreamLine {
        framing,
        stream: head.media.is_stream(),
        allow: &exchange.snapshot.allow,
        extra: &extra,
        keep_alive: exchange.keep_alive && exchange.decoder.is_done() && !draining,
        version: exchange.version,
    };
    let written = downstream_response(write, head, &line);
    (written.framing, written.keep_alive)
}
