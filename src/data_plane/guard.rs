//! Whoever waits for an upstream: a client's connection, or a flight that several clients follow.

use std::{future::Future, pin::Pin};

use super::{core::Core, deadline::Timer};

/// Why a wait ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The client closed its side or the connection broke. A half-close counts: it cannot be told from a full one.
    ClientGone,
    Due,
    /// The grace of a drain is over.
    GraceOver,
}

impl Interrupt {
    /// What it means that the timer's moment has come: at the end of a drain it comes for everybody.
    #[must_use]
    pub fn due(core: &Core) -> Self {
        if core.grace_over.get() { Self::GraceOver } else { Self::Due }
    }
}

/// What the steps towards an upstream need of their caller: a core, a deadline, and a way to wait that ends when nobody
/// is left who wants the answer.
pub trait Guard {
    fn core(&self) -> &Core;
    fn timer(&self) -> &Timer;
    /// Waits for `event`.
    ///
    /// # Errors
    /// Nobody wants it any more, or the timer's moment came; `event` may then be dropped.
    fn until<T>(
        &mut self,
        event: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    ) -> impl Future<Output = Result<T, Interrupt>>;
}
