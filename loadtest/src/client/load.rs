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
    /// The first requests of a closed loop are spread over this time; zero: all at once.
    pub ramp: Duration,
    /// A new connection for each request.
    pub fresh: bool,
    /// Readers are slow.
    pub slow: Option<SlowReader>,
    /// Streams are left after a number of events between these two.
    pub abandon: Option<(u32, u32)>,
    /// A request that takes longer is an error.
    pub timeout: Duration,
    /// Which requests are the same.
    pub sameness: Sameness,
    /// Stop after so many requests.
    pub requests_max: Option<u64>,
}

/// Which requests are the same to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// None.
    Unique,
    /// So many different ones, again and again.
    Cycle(u64),
    /// So many in a row, then the next.
    Group(u64),
}

impl Sameness {
    /// Which one the request with this number is.
    #[must_use]
    pub fn identity(self, number: u64) -> u64 {
        match self {
            Sameness::Unique => number,
            Sameness::Cycle(count) => number % count.max(1),
            Sameness::Group(count) => number / count.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_repeat_as_said() {
        let first = |sameness: Sameness| (0..6).map(|number| sameness.identity(number)).collect::<Vec<_>>();
        assert_eq!(first(Sameness::Unique), [0, 1, 2, 3, 4, 5]);
        assert_eq!(first(Sameness::Cycle(2)), [0, 1, 0, 1, 0, 1]);
        assert_eq!(first(Sameness::Group(3)), [0, 0, 0, 1, 1, 1]);
    }
}
