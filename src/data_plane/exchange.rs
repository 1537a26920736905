//! One request and what became of it: everything the steps of the path hand to each other. Accounted for exactly once.

use std::sync::Arc;

use super::{
    budget::Charge,
    clock::{Clock, Micros},
    meter::Outcome,
    send::{Outgoing, Pace},
};
use crate::{
    base::error::Kind,
    policy::snapshot::Snapshot,
    wire::{
        dialect::endpoint::{Dialect, Endpoint},
        http::{BodyDecoder, Method, Version},
        think::Spec,
    },
};

/// A client's own id up to 128 bytes, or 16 hex digits of ours.
pub type RequestId = Box<str>;

/// What a request's head says that matters to the cache.
pub struct Caching {
    /// Whoever sends the same may share answers: credentials and whatever else of the head can change an answer.
    pub tenant: Vec<u8>,
    pub no_cache: bool,
    pub no_store: bool,
    /// No older answer will do, seconds.
    pub max_age: Option<u64>,
}

impl Caching {
    /// An answer that is there already will do, whatever its age.
    #[must_use]
    pub const fn looks(&self) -> bool {
        !self.no_cache && !self.no_store && self.max_age.is_none()
    }
}

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
    /// What the request's body, and then an answer's that is edited whole, has drawn of the core's budget.
    pub charge: Charge,
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
    /// The client asked for a stream, by word or by default; with the usage at its end; with vectors as base64.
    pub wants_stream: bool,
    pub include_usage: bool,
    /// It says something about the options of its stream.
    pub stream_options: bool,
    pub wants_base64: bool,
    /// What the head says that matters to the cache; `None` if there is none.
    pub caching: Option<Box<Caching>>,
    /// What the reply says about it.
    pub cache_says: Option<crate::wire::answer::Outcome>,
    pub think_removed: u64,
    pub settled: Option<Outcome>,
    /// What went wrong.
    pub fault: Option<Kind>,
}

impl Exchange {
    /// May the same request be sent to the upstream again, if nothing of an answer has come?
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.decoder.is_done() && self.endpoint.is_repeatable(self.method)
    }

    /// So many bytes of the body are about to be written: the first of them has its moment kept.
    pub fn show(&mut self, bytes: usize, clock: &Clock) {
        if bytes > 0 && self.first_visible == 0 {
            self.first_visible = clock.now();
        }
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
