//! One core's metric cells: written by its core alone (a load and a store, no locked instruction), read by anybody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    base::{
        error::Kind,
        metric::{Metric, Type},
    },
    wire::dialect::endpoint::Endpoint,
};

use super::clock::Micros;

/// How a request ended, a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was written.
    Complete,
    /// The gateway answered in the upstream's place with an error.
    Error,
    /// The answer was begun and could not be ended.
    Cut,
    /// The client left.
    ClientGone,
}

impl Outcome {
    pub const ALL: [Outcome; 4] = [Outcome::Complete, Outcome::Error, Outcome::Cut, Outcome::ClientGone];

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::Error => "error",
            Outcome::Cut => "cut",
            Outcome::ClientGone => "client_gone",
        }
    }
}

/// Statuses with a cell of their own; any other is counted as its class (`2xx`).
pub const STATUSES: [u16; 26] = [
    200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 405, 408, 413, 414, 417, 422, 429, 431, 499, 500,
    502, 503, 504,
];
/// Index of the class `1xx` behind the single statuses.
const STATUS_CLASSES: usize = 5;
pub const STATUS_CELLS: usize = STATUSES.len() + STATUS_CLASSES;

fn status_cell(status: u16) -> usize {
    STATUSES.binary_search(&status).unwrap_or_else(|_| STATUSES.len() + usize::from((status / 100).clamp(1, 5)) - 1)
}

/// The label of a status cell.
#[must_use]
pub fn status_label(cell: usize) -> String {
    match STATUSES.get(cell) {
        Some(status) => status.to_string(),
        None => format!("{}xx", cell - STATUSES.len() + 1),
    }
}

/// Upper bounds in microseconds: from the gateway's own overhead to an answer of half an hour.
pub const BUCKETS_US: [u64; 20] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
];

/// The histograms, seconds on the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Request head read to answer written.
    Duration,
    /// Request sent to the upstream's first byte.
    FirstByte,
    /// Request head read to the first byte of the body that a client can see.
    FirstVisible,
    /// Request head read to request sent, where the body came along: the gateway's own time.
    Overhead,
    /// A look at the cache's disk tier, waiting included.
    CacheDisk,
    /// How late a worker's timer came, sampled twice a second.
    LoopLag,
}

impl Timing {
    pub const ALL: [Timing; 6] = [
        Timing::Duration,
        Timing::FirstByte,
        Timing::FirstVisible,
        Timing::Overhead,
        Timing::CacheDisk,
        Timing::LoopLag,
    ];

    /// Name without unit suffix parts, and help.
    #[must_use]
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Timing::Duration => ("thinkgate_request_duration_seconds", "Request head read to answer written."),
            Timing::FirstByte => {
                ("thinkgate_upstream_first_byte_seconds", "Request sent to the first byte of the upstream's answer.")
            }
            Timing::FirstVisible => (
                "thinkgate_first_visible_byte_seconds",
                "Request head read to the first body byte written to the client.",
            ),
            Timing::Overhead => (
                "thinkgate_gateway_overhead_seconds",
                "Request head read to request sent, for requests whose body came with the head.",
            ),
            Timing::CacheDisk => ("thinkgate_cache_disk_lookup_seconds", "Time waited for the cache's disk tier."),
            Timing::LoopLag => ("thinkgate_worker_loop_lag_seconds", "How late a worker's timer tick came."),
        }
    }
}

/// Counts a gauge up, and down again when dropped: also when a panic passes by.
pub struct Raised<'a> {
    meter: &'a Meter,
    gauge: Metric,
}

impl<'a> Raised<'a> {
    #[must_use]
    pub fn new(meter: &'a Meter, gauge: Metric) -> Self {
        meter.one(gauge);
        Self { meter, gauge }
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.meter.sub(self.gauge, 1);
    }
}

pub struct Histogram {
    pub buckets: [AtomicU64; BUCKETS_US.len() + 1],
    pub sum_us: AtomicU64,
}

/// All cells of one core; about 28 KB, of which a running gateway touches a few lines.
pub struct Meter {
    cells: [AtomicU64; Metric::ALL.len()],
    requests: Box<[AtomicU64]>,
    errors: [AtomicU64; Kind::ALL.len()],
    timings: [Histogram; Timing::ALL.len()],
}

const fn zeroes<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
}

impl Meter {
    #[must_use]
    pub fn new() -> Self {
        let requests = Endpoint::ALL.len() * STATUS_CELLS * Outcome::ALL.len();
        Self {
            cells: zeroes(),
            requests: (0..requests).map(|_| AtomicU64::new(0)).collect(),
            errors: zeroes(),
            timings: [const { Histogram { buckets: zeroes(), sum_us: AtomicU64::new(0) } }; Timing::ALL.len()],
        }
    }

    pub fn add(&self, metric: Metric, by: u64) {
        bump(&self.cells[metric as usize], by);
    }

    pub fn one(&self, metric: Metric) {
        self.add(metric, 1);
    }

    /// For gauges that count down.
    pub fn sub(&self, metric: Metric, by: u64) {
        bump(&self.cells[metric as usize], by.wrapping_neg());
    }

    pub fn set(&self, metric: Metric, value: u64) {
        self.cells[metric as usize].store(value, Relaxed);
    }

    pub fn raise(&self, metric: Metric, value: u64) {
        if value > self.get(metric) {
            self.set(metric, value);
        }
    }

    /// What was counted up and will never be counted down, since the core died.
    pub fn forget_gauges(&self) {
        Metric::ALL.iter().filter(|metric| metric.kind() == Type::Gauge).for_each(|metric| self.set(*metric, 0));
    }

    #[must_use]
    pub fn get(&self, metric: Metric) -> u64 {
        self.cells[metric as usize].load(Relaxed)
    }

    fn request_cell(endpoint: usize, status: usize, outcome: usize) -> usize {
        (endpoint * STATUS_CELLS + status) * Outcome::ALL.len() + outcome
    }

    pub fn request(&self, endpoint: Endpoint, status: u16, outcome: Outcome) {
        bump(&self.requests[Self::request_cell(endpoint as usize, status_cell(status), outcome as usize)], 1);
    }

    /// Count of a cell named by its indexes.
    #[must_use]
    pub fn requests(&self, endpoint: usize, status: usize, outcome: usize) -> u64 {
        self.requests[Self::request_cell(endpoint, status, outcome)].load(Relaxed)
    }

    pub fn error(&self, kind: Kind) {
        bump(&self.errors[kind as usize], 1);
    }

    #[must_use]
    pub fn errors(&self, kind: Kind) -> u64 {
        self.errors[kind as usize].load(Relaxed)
    }

    pub fn time(&self, timing: Timing, took: Micros) {
        let histogram = &self.timings[timing as usize];
        let bucket = BUCKETS_US.partition_point(|bound| *bound < took);
        bump(&histogram.buckets[bucket], 1);
        bump(&histogram.sum_us, took);
    }

    #[must_use]
    pub fn timing(&self, timing: Timing) -> &Histogram {
        &self.timings[timing as usize]
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_cell() {
        assert!(STATUSES.is_sorted());
        assert_eq!(status_label(status_cell(200)), "200");
        assert_eq!(status_label(status_cell(418)), "4xx");
        assert_eq!(status_label(status_cell(103)), "1xx");
        for status in [0, 99, 100, 599, 600, 999, u16::MAX] {
            assert!(status_cell(status) < STATUS_CELLS);
        }
    }

    #[test]
    fn counts_and_gauges() {
        let meter = Meter::new();
        meter.add(Metric::BytesIn, 5);
        meter.one(Metric::ConnectionsOpen);
        meter.sub(Metric::ConnectionsOpen, 1);
        meter.raise(Metric::ThinkHeldMax, 7);
        meter.raise(Metric::ThinkHeldMax, 3);
        assert_eq!(meter.get(Metric::BytesIn), 5);
        assert_eq!(meter.get(Metric::ConnectionsOpen), 0);
        assert_eq!(meter.get(Metric::ThinkHeldMax), 7);
        meter.time(Timing::Duration, 50);
        meter.time(Timing::Duration, 51);
        meter.time(Timing::Duration, u64::MAX / 4);
        let buckets = &meter.timing(Timing::Duration).buckets;
        assert_eq!(buckets[0].load(Relaxed), 1);
        assert_eq!(buckets[1].load(Relaxed), 1);
        assert_eq!(buckets[BUCKETS_US.len()].load(Relaxed), 1);
    }
}
