//! What a measurement counted.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::fault::Fault;

/// Longest time a histogram holds; longer ones count as this.
const TIME_NS_MAX: u64 = 3_600_000_000_000;
/// So many wrong replies are kept in words.
const SAMPLES_MAX: usize = 5;

/// A histogram of nanoseconds with two digits.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // The bounds are constants that the constructor accepts; a failure would show in the first test.
        #[allow(clippy::expect_used)]
        Self(Histogram::new_with_bounds(1, TIME_NS_MAX, 2).expect("constant bounds"))
    }
}

impl Times {
    /// Counts one time.
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.clamp(1, TIME_NS_MAX));
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that a share `quantile` of all is not above, in microseconds.
    #[must_use]
    pub fn micros_at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        // Same bounds always: adding cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// The largest, in microseconds.
    #[must_use]
    pub fn max_micros(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

/// Counts and times of a measurement.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that ended as they should.
    pub requests: u64,
    /// Events with text that were received.
    pub events: u64,
    /// Events that the upstream sent for them, thinking included.
    pub upstream_events: f64,
    /// Body and head bytes received.
    pub bytes: u64,
    /// Connections opened.
    pub connects: u64,
    /// Requests sent a second time, because the server closed an idle connection as they were sent.
    pub resent: u64,
    /// Streams that were left on purpose.
    pub abandoned: u64,
    /// Error replies where a whole answer or an error was right.
    pub error_replies: u64,
    /// Arrivals of an open loop that found no free connection in time and were dropped.
    pub dropped: u64,
    /// Wrong replies by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// The first wrong replies in words.
    pub samples: Vec<String>,
    /// Whole replies: from the intended start (open loop) or from the sending (closed loop) to the last byte.
    pub latency: Times,
    /// To the first visible byte.
    pub first_event: Times,
    /// How late each event of a paced stream was, against the stream's earliest.
    pub lateness: Times,
}

impl Tally {
    /// Counts a wrong reply.
    pub fn fault(&mut self, fault: Fault, describe: impl FnOnce() -> String) {
        *self.faults.entry(fault).or_default() += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(format!("{}: {}", fault.name(), describe()));
        }
    }

    /// Wrong replies of all kinds.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.events += other.events;
        self.upstream_events += other.upstream_events;
        self.bytes += other.bytes;
        self.connects += other.connects;
        self.abandoned += other.abandoned;
        self.error_replies += other.error_replies;
        self.dropped += other.dropped;
        self.merge_drain(other);
    }

    /// Adds what a drain found: its times and faults. Its requests and events were not done in the time that was measured, so rates and
    /// shares stay those of the measurement.
    pub fn merge_drain(&mut self, drain: &Self) {
        self.merge_faults(drain);
        self.resent += drain.resent;
        self.latency.merge(&drain.latency);
        self.first_event.merge(&drain.first_event);
        self.lateness.merge(&drain.lateness);
    }

    /// Adds the wrong replies of a warm-up: they count whenever they come, only times do not.
    pub fn merge_faults(&mut self, warmup: &Self) {
        for (&fault, &count) in &warmup.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        let room = SAMPLES_MAX.saturating_sub(self.samples.len());
        self.samples.extend(warmup.samples.iter().take(room).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_two_digits() {
        let mut times = Times::default();
        for us in 1..=1000u64 {
            times.record(us * 1000);
        }
        assert_eq!(times.count(), 1000);
        for (quantile, want) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = times.micros_at(quantile);
            assert!((got - want).abs() / want < 0.01, "{quantile}: {got}");
        }
        times.record(u64::MAX);
        assert!(times.max_micros() > 3.59e9);
    }

    #[test]
    fn tallies_add_up() {
        let mut one = Tally { requests: 2, ..Tally::default() };
        one.fault(Fault::Text, || "x".into());
        one.latency.record(5_000);
        let mut two = Tally { requests: 3, ..Tally::default() };
        for _ in 0..7 {
            two.fault(Fault::Text, || "y".into());
        }
        one.merge(&two);
        assert_eq!((one.requests, one.errors(), one.samples.len(), one.latency.count()), (5, 8, 5, 1));
    }
}
