//! Why an exchange ended without a whole answer.

use super::downstream::{Gone, Interrupt};
use crate::{base::error::Kind, wire::http::Refusal};

/// The kind decides status, retry and what a client reads; the detail is for people, names no secret and is written
/// only when something has failed.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub detail: String,
}

impl Failure {
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        Self { kind, detail: String::new() }
    }

    #[must_use]
    pub fn with(kind: Kind, detail: impl std::fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }

    /// What an interrupt means in a phase whose limit has this kind.
    #[must_use]
    pub fn interrupted(interrupt: Interrupt, late: Kind) -> Self {
        match interrupt {
            Interrupt::ClientGone => Self::of(Kind::ClientGone),
            Interrupt::Due => Self::of(late),
            Interrupt::GraceOver => Self::of(Kind::Draining),
        }
    }
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self::of(kind)
    }
}

impl From<Refusal> for Failure {
    fn from(Refusal { kind, rule }: Refusal) -> Self {
        Self::with(kind, rule)
    }
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Self::of(Kind::ClientGone)
    }
}
