//! One request and what became of it: everything the steps of the path hand to each other. Accounted for exactly once.

use std::sync::Arc;

use super::{
    clock::Micros,
    meter::Outcome,
    send::{Outgoing, Pace},
};
use crate::{
    policy::snapshot::Snapshot,
    wire::{
        dialect::endpoint::{Dialect, Endpoint},
        http::{BodyDecoder, Method, Version},
        think::Spec,
    },
};

/// A client's own id up to 128 bytes, or 16 hex digits of ours.
pub type RequestId = Box<str>;

pub struct Exchange {
    pub snapshot: Arc<Snapshot>,
    pub endpoint: Endpoint,
    /// Of the path, and so of errors.
    pub dialect: Dialect,
    pub method: Method,
    pub version: Version,
    /// The client may send another request after this one.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    pub id: RequestId,

    pub outgoing: Outgoing,
    pub decoder: BodyDecoder,
    /// The head came with its whole body: what happens until it is sent is the gateway's own time.
    pub came_whole: bool,

    /// What `X-Think` asked for.
    pub think_header: Option<crate::wire::think::Policy>,
    /// What the filter has to do; `None`: nothing.
    pub think: Option<Box<Spec>>,

    pub started: Micros,
    pub sent: Micros,
    pub first_byte: Micros,
    pub first_visible: Micros,
    pub total_due: Micros,
    /// 0 while no answer has begun.
    pub status: u16,
    pub attempts: u32,
    /// Method and path for the log, kept only if there is one.
    pub line: Option<Box<str>>,
    pub model: Option<Box<str>>,
    pub think_removed: u64,
    pub settled: Option<Outcome>,
}

impl Exchange {
    /// May the same request be sent to the upstream again, if nothing of an answer has come?
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.decoder.is_done() && self.endpoint.is_repeatable(self.method)
    }

    /// The limits of sending it.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace { idle_us: self.snapshot.limits.idle_us, total_due: self.total_due }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        debug_assert!(
            self.settled.is_some() || std::thread::panicking(),
            "an exchange ended without being accounted for"
        );
    }
}
