//! A load, compiled from a scenario: what the generator needs to know and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::request::Kind;
use super::schedule::Spacing;

/// What decides when a request starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Each connection sends its next request when the last one is answered.
    Closed,
    /// Requests start by a schedule, whatever became of the earlier ones.
    Open { rate: f64, spacing: Spacing },
    /// Each connection opens one stream and keeps it.
    Hold,
}

/// A reader that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowReader {
    /// Bytes at a time.
    pub bytes: usize,
    /// Nanoseconds between two reads.
    pub every_ns: u64,
}

/// A load, compiled.
#[derive(Clone, Debug)]
pub struct Load {
    /// The proxy.
    pub target: SocketAddr,
    /// Addresses to connect from, in turn; empty: the system's choice.
    pub sources: Vec<IpAddr>,
    /// The mix.
    pub kinds: Vec<Kind>,
    /// Connections at most.
    pub connections: usize,
    /// When requests start.
    pub mode: Mode,
    /// A new connection for each request.
    pub fresh: bool,
    /// Readers are slow.
    pub slow: Option<SlowReader>,
    /// Streams are left after a number of events between these two.
    pub abandon: Option<(u32, u32)>,
    /// A request that takes longer is an error.
    pub timeout: Duration,
    /// Stop after so many requests.
    pub requests_max: Option<u64>,
}
