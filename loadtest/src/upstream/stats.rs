//! What the mock server has seen: the proof of what a proxy did upstream.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start; `open` is a level.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
    /// Chat requests read.
    pub requests: AtomicU64,
    /// Answers sent whole, scripted faults included.
    pub completed: AtomicU64,
    /// Answers whose connection the other side closed before their end.
    pub aborted: AtomicU64,
    /// Events sent.
    pub events: AtomicU64,
}

impl Stats {
    /// Counts up. One thread writes, so no read-modify-write is needed.
    pub fn add(counter: &AtomicU64, by: u64) {
        counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
    }

    /// Counts down.
    pub fn subtract(counter: &AtomicU64, by: u64) {
        counter.store(counter.load(Ordering::Relaxed).saturating_sub(by), Ordering::Relaxed);
    }

    /// All of them as JSON, as `/loadtest/stats` gives them.
    #[must_use]
    pub fn to_json(&self) -> String {
        let rows = [
            ("accepted", &self.accepted),
            ("open", &self.open),
            ("requests", &self.requests),
            ("completed", &self.completed),
            ("aborted", &self.aborted),
            ("events", &self.events),
        ];
        let fields: Vec<String> =
            rows.iter().map(|(name, counter)| format!("\"{name}\":{}", counter.load(Ordering::Relaxed))).collect();
        format!("{{{}}}", fields.join(","))
    }
}
