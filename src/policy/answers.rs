//! The answer cache as the data plane sees it: what can be asked without waiting, what can be awaited, what is handed over.

use std::{future::Future, pin::Pin};

use bytes::Bytes;

use super::fingerprint::{Fingerprint, InstallKey};
use crate::wire::answer::Tier;

/// A live entry.
pub struct Hit {
    /// As `wire::answer::encode` made it.
    pub answer: Bytes,
    pub tier: Tier,
    /// Seconds since it was stored, and until it expires.
    pub age: u64,
    pub ttl: u64,
}

/// A look at the disk, under way.
pub type DiskLook = Pin<Box<dyn Future<Output = Option<Hit>> + Send>>;

/// Work on an answer that is too much for a core.
pub type Job = Box<dyn FnOnce(&dyn Answers) + Send>;

/// Implemented by the control plane. Nothing here waits for a lock for long or touches a file on the calling thread.
pub trait Answers: Send + Sync {
    /// For the fingerprints.
    fn install_key(&self) -> InstallKey;
    /// Asks the memory tier, in about a hundred nanoseconds.
    fn memory(&self, print: Fingerprint) -> Option<Hit>;
    /// Asks the disk tier, after the memory tier had nothing. `None`: it is known already that there is nothing.
    fn disk(self: std::sync::Arc<Self>, print: Fingerprint) -> Option<DiskLook>;
    /// Keeps an answer.
    fn insert(&self, print: Fingerprint, answer: Bytes);
    /// Does a job on a thread of its own, soon. False: it is behind, and the job was dropped.
    fn later(&self, job: Job) -> bool;
}
