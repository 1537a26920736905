//! The framings of a body behind one face.

use crate::wire::{
    frame::{Carry, Frame},
    ndjson, sse,
};

#[derive(Debug)]
pub(super) enum Framer {
    Sse(sse::Framer),
    Ndjson(ndjson::Framer),
    Json(Carry),
}

impl Framer {
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Sse(framer) => framer.is_idle(),
            Self::Ndjson(framer) => framer.is_idle(),
            Self::Json(_) => false,
        }
    }

    /// What ends an event.
    pub(super) fn event_end(&self) -> &'static [u8] {
        if let Self::Sse(_) = self { b"\n\n" } else { b"\n" }
    }

    #[inline]
    pub(super) fn next(&mut self, input: &[u8], from: &mut usize) -> Option<Frame> {
        match self {
            Self::Sse(framer) => framer.next(input, from),
            Self::Ndjson(framer) => framer.next(input, from),
            Self::Json(_) => None,
        }
    }

    pub(super) fn carry(&mut self) -> &mut Carry {
        match self {
            Self::Sse(framer) => framer.carry(),
            Self::Ndjson(framer) => framer.carry(),
            Self::Json(body) => body,
        }
    }
}
