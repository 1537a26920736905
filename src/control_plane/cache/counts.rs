//! What the store and its tasks tell each other.

use std::sync::atomic::{AtomicU8, AtomicU64};

/// What becomes of new entries.
pub(super) const DISK_OPEN: u8 = 0;
pub(super) const DISK_PAUSED: u8 = 1;
pub(super) const DISK_FAILED: u8 = 2;

#[derive(Debug)]
pub(super) struct Counts {
    /// Entries of another one were cleared. foyer's own clearing is not enough: the next write renews the index page of
    /// its block, old entries included, and the next start finds them there.
    pub epoch: AtomicU64,
    pub skipped: AtomicU64,
    pub memory_evicted: AtomicU64,
    pub disk_evicted: AtomicU64,
    /// What becomes of new entries, a `DISK_…`.
    pub disk: AtomicU8,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            // An entry without an epoch has 0.
            epoch: AtomicU64::new(1),
            skipped: AtomicU64::new(0),
            memory_evicted: AtomicU64::new(0),
            disk_evicted: AtomicU64::new(0),
            disk: AtomicU8::new(DISK_OPEN),
        }
    }
}
