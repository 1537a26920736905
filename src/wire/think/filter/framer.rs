//! The framings of a body behind one face.

use crate::wire::ndjson;
use crate::wire::sse::{self, Frame};

#[derive(Debug)]
pub(super) enum Framer {
    Sse(sse::Framer),
    Ndjson(ndjson::Framer),
    Json(Vec<u8>),
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

    pub(super) fn take_carried(&mut self) -> Vec<u8> {
        match self {
            Self::Sse(framer) => framer.take_carried(),
            Self::Ndjson(framer) => framer.take_carried(),
            Self::Json(body) => std::mem::take(body),
        }
    }

    pub(super) fn give_back(&mut self, carry: Vec<u8>) {
        match self {
            Self::Sse(framer) => framer.give_back(carry),
            Self::Ndjson(framer) => framer.give_back(carry),
            Self::Json(body) => *body = carry,
        }
    }
}
