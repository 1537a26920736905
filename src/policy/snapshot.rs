//! What the data plane is told: immutable, compiled, checked. One request sees one snapshot for its whole life.
//!
//! Times are microseconds, so that they add up with the clock of the core.

use std::{net::SocketAddr, sync::Arc};

use super::think_rules::Rules;
use crate::{
    base::secret::Secret,
    wire::{
        http::AllowList,
        think::{Policy, ReasoningFields},
    },
};

pub struct Snapshot {
    pub upstream: Upstream,
    pub limits: Limits,
    pub think: Think,
    pub cache: CacheRules,
    /// Response headers that pass.
    pub allow: AllowList,
    /// One line a request.
    pub access_log: bool,
    /// Lines about what upstreams or the gateway itself did wrong.
    pub warn: bool,
    /// Request and response heads, secrets redacted.
    pub debug: bool,
}

/// What the cache may keep, where there is one.
#[derive(Clone, Copy, Debug)]
pub struct CacheRules {
    /// An answer whose last client has left is read to its end and kept, instead of being cancelled.
    pub finishes: bool,
    /// Answers that call tools are kept.
    pub tool_calls: bool,
    /// Answers to requests with a temperature above 0 are kept.
    pub sampled: bool,
    /// OpenAI streams that may be kept are asked for with token counts.
    pub asks_counts: bool,
    /// Answers are kept although their upstream says `Cache-Control: no-store`.
    pub ignores_no_store: bool,
    /// Between two events of a stream that is played from the cache; 0: at once.
    pub pace_us: u64,
}

/// The server that requests are forwarded to.
pub struct Upstream {
    /// Connections of one identity may carry each other's requests.
    pub identity: u64,
    /// For people: scheme, authority, prefix.
    pub url: Box<str>,
    /// Its `Host`.
    pub authority: Box<str>,
    /// Empty, or `/` and more without a final `/`.
    pub path_prefix: Box<str>,
    /// Tried in order; empty while the name has not been resolved.
    pub addresses: Box<[SocketAddr]>,
    /// Why there are none.
    pub unresolved: Option<Box<str>>,
    /// Replaces the client's `Authorization` (the whole field value).
    pub authorization: Option<Secret>,
    pub tls: Option<Tls>,
}

#[derive(Clone)]
pub struct Tls {
    pub config: Arc<rustls::ClientConfig>,
    pub name: rustls::pki_types::ServerName<'static>,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A request head, from its first byte.
    pub head_us: u64,
    /// A request body that is taken in whole; of a streamed one, the silence between two reads.
    pub body_us: u64,
    pub connect_us: u64,
    /// From the sent request to the upstream's response head.
    pub first_byte_us: u64,
    /// Between two reads of the answer, or two writes of it.
    pub idle_us: u64,
    /// From the head to the last byte of the answer.
    pub total_us: u64,
    /// A client connection without a request.
    pub keep_alive_us: u64,
    pub body_bytes_max: u64,
    /// Idle upstream connections a core.
    pub pool_idle_max: usize,
    pub pool_idle_us: u64,
}

pub struct Think {
    pub policy: Policy,
    /// `X-Think` is honoured.
    pub header: bool,
    /// Model globs to profiles and policies: the user's rows, then the built-in table.
    pub rules: Rules,
    pub reasoning_fields: ReasoningFields,
    /// Longest silence while thinking is suppressed; 0: none is broken.
    pub heartbeat_us: u64,
}
