//! The two tiers behind one door.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foyer::{HybridCacheProperties, Location, Spawner};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::config::Config;
use super::counts::{Counts, DISK_OPEN, DISK_PAUSED};
use super::directory::random_key;
use super::entry::{Entry, Key};
use super::scribe::{Note, Scribe, live};
use super::tiers::{Cache, Opened, memory_only, open_disk};
use crate::base::bounds::{
    CACHE_BLOCKING_THREADS_MAX, CACHE_CLOSE_MS_MAX, CACHE_ENTRY_BYTES_MAX, CACHE_LEDGER_QUEUE_MAX,
};
use crate::policy::fingerprint::{Fingerprint, InstallKey};
use crate::wire::answer::Tier;

const GONE: &str = "the cache's threads are gone";

/// A live entry.
#[derive(Clone, Debug)]
pub struct Hit {
    /// As `wire::answer::encode` made it.
    pub answer: Bytes,
    pub tier: Tier,
    /// Seconds since it was stored.
    pub age: u64,
    /// Seconds that it has left.
    pub ttl: u64,
}

/// Where new entries go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// There is no disk tier: see [`Store::problem`].
    #[default]
    Off,
    /// To the disk as well.
    Open,
    /// Into memory only, since too little space is left on the disk.
    Paused,
    /// Into memory only until the next start, since a write failed.
    Failed,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub memory_entries: u64,
    pub memory_bytes: u64,
    /// Live ones: not expired, not evicted.
    pub disk_entries: u64,
    pub disk_bytes: u64,
    /// Entries found on the disk at the start.
    pub recovered: u64,
    /// Entries that did not go to the disk because it was slower than they came, or failed.
    pub disk_skipped: u64,
    /// Entries that left a tier because there was no room for more. foyer frees room on the disk by the block as well, and
    /// doesn't say what was in it.
    pub memory_evicted: u64,
    pub disk_evicted: u64,
    /// How long the start took, finding the entries included.
    pub recovery_ms: u64,
    pub disk: Disk,
}

/// The cache. Every core holds it in an `Arc`.
#[derive(Debug)]
pub struct Store {
    cache: Cache,
    ttl_ms: u64,
    key: InstallKey,
    ledger: Option<mpsc::Sender<Note>>,
    problem: Option<String>,
    recovered: u64,
    recovery_ms: u64,
    counts: Arc<Counts>,
    handle: Handle,
    /// The runtime ends with it, so it is the last field.
    _spawner: Spawner,
}

impl Store {
    /// Starts the cache's threads and opens its directory. Waits for the recovery; don't call it on a core.
    ///
    /// Without a usable directory the memory tier goes on alone: see [`problem`](Self::problem).
    ///
    /// # Errors
    /// The threads could not be started.
    pub fn open(config: &Config, now_ms: u64) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(CACHE_BLOCKING_THREADS_MAX)
            .thread_name("cache")
            .enable_time()
            .build()
            .map_err(|error| format!("cannot start the cache's threads: {error}"))?;
        let handle = runtime.handle().clone();
        let spawner = Spawner::from(runtime);
        let counts = Arc::new(Counts::default());
        let begun = Instant::now();
        let opening = open_disk(config.clone(), Arc::clone(&counts), spawner.clone());
        let (disk, problem) = match wait(&handle, opening)? {
            Ok(disk) => (Some(disk), None),
            Err(problem) => (None, Some(problem)),
        };
        let (cache, key, ledger, recovered) = match disk {
            Some(Opened { directory, ledger, cache, key, epoch }) => {
                counts.epoch.store(epoch, Ordering::Release);
                let recovered = live(&ledger, &cache, now_ms).0;
                let (sender, receiver) = mpsc::channel(CACHE_LEDGER_QUEUE_MAX);
                let scribe = Scribe { directory, cache: cache.clone(), counts: Arc::clone(&counts) };
                scribe.watch_space();
                handle.spawn(scribe.run(receiver, ledger));
                (cache, key, Some(sender), recovered)
            }
            None => {
                let memory = memory_only(config.memory_bytes, Arc::clone(&counts), spawner.clone());
                (wait(&handle, memory)??, random_key()?, None, 0)
            }
        };
        Ok(Self {
            cache,
            ttl_ms: u64::try_from(config.ttl.as_millis()).unwrap_or(u64::MAX),
            key,
            ledger,
            problem,
            recovered,
            recovery_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            counts,
            handle,
            _spawner: spawner,
        })
    }

    /// Why there is no disk tier, in a sentence for the log; `None` if there is one.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// For the fingerprints.
    #[must_use]
    pub fn install_key(&self) -> InstallKey {
        self.key.clone()
    }

    /// Asks the memory tier; never waits.
    #[must_use]
    pub fn get_memory(&self, print: Fingerprint, now_ms: u64) -> Option<Hit> {
        let entry = self.cache.memory().get(&Key(print))?;
        let hit = self.hit(entry.value(), Tier::Memory, now_ms);
        if hit.is_none() {
            drop(entry);
            self.cache.memory().remove(&Key(print));
        }
        hit
    }

    /// Whether asking the disk tier could help. Never waits.
    #[must_use]
    pub fn may_be_on_disk(&self, print: Fingerprint) -> bool {
        self.ledger.is_some() && self.cache.storage().may_contains(&Key(print))
    }

    /// Asks the disk tier, after the memory tier had nothing. Can be awaited on any runtime; without an entry it is ready
    /// at once. What it finds is in the memory tier afterwards.
    pub async fn get_disk(&self, print: Fingerprint, now_ms: u64) -> Option<Hit> {
        let key = Key(print);
        if !self.may_be_on_disk(print) {
            return None;
        }
        // An entry that can't be read is no entry.
        let entry = self.cache.get(&key).await.ok()??;
        let hit = self.hit(entry.value(), Tier::Disk, now_ms);
        if hit.is_none() {
            drop(entry);
            self.cache.remove(&key);
        }
        hit
    }

    fn hit(&self, entry: &Entry, tier: Tier, now_ms: u64) -> Option<Hit> {
        if entry.epoch != self.counts.epoch.load(Ordering::Acquire) {
            return None;
        }
        // A clock that was set back makes an entry young, never older than it is.
        let left = entry.expires_ms.checked_sub(now_ms).filter(|left| *left > 0)?;
        let age = now_ms.saturating_sub(entry.stored_ms) / 1000;
        Some(Hit { answer: entry.answer.clone(), tier, age, ttl: left / 1000 })
    }

    /// Stores an answer in both tiers; never waits. An answer beyond the bound is not stored.
    pub fn insert(&self, print: Fingerprint, answer: Bytes, now_ms: u64) {
        if answer.len() > CACHE_ENTRY_BYTES_MAX {
            return;
        }
        let expires_ms = now_ms.saturating_add(self.ttl_ms);
        let bytes = answer.len() as u32;
        let entry = Entry { epoch: self.counts.epoch.load(Ordering::Acquire), stored_ms: now_ms, expires_ms, answer };
        if self.note(Note::Added { print, expires_ms, bytes }) {
            drop(self.cache.insert(Key(print), entry));
        } else {
            let in_memory = HybridCacheProperties::default().with_location(Location::InMem);
            drop(self.cache.insert_with_properties(Key(print), entry, in_memory));
        }
    }

    /// Whether an entry may go to the disk. Nothing does that the ledger doesn't know of, or there would be no bound on
    /// their number.
    fn note(&self, note: Note) -> bool {
        let Some(ledger) = &self.ledger else { return false };
        let paused = self.counts.disk.load(Ordering::Relaxed) != DISK_OPEN;
        let taken = ledger.try_send(if paused { Note::Paused } else { note }).is_ok() && !paused;
        if !taken {
            self.counts.skipped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Removes everything from both tiers.
    ///
    /// # Errors
    /// The disk refused.
    pub async fn clear(&self) -> Result<(), String> {
        let Some(ledger) = &self.ledger else {
            self.counts.epoch.fetch_add(1, Ordering::AcqRel);
            self.cache.memory().clear();
            return Ok(());
        };
        let (reply, answer) = oneshot::channel();
        ledger.send(Note::Clear { reply }).await.map_err(|_| GONE)?;
        answer.await.map_err(|_| GONE)?
    }

    /// Counts. The disk's are as of all entries stored before.
    pub async fn status(&self, now_ms: u64) -> Status {
        let memory = self.cache.memory();
        let mut status = Status {
            memory_entries: memory.entries() as u64,
            memory_bytes: memory.usage() as u64,
            recovered: self.recovered,
            disk_skipped: self.counts.skipped.load(Ordering::Relaxed),
            memory_evicted: self.counts.memory_evicted.load(Ordering::Relaxed),
            disk_evicted: self.counts.disk_evicted.load(Ordering::Relaxed),
            recovery_ms: self.recovery_ms,
            disk: match (&self.ledger, self.counts.disk.load(Ordering::Relaxed)) {
                (None, _) => Disk::Off,
                (_, DISK_OPEN) => Disk::Open,
                (_, DISK_PAUSED) => Disk::Paused,
                _ => Disk::Failed,
            },
            ..Status::default()
        };
        if let Some(ledger) = &self.ledger {
            (status.disk_entries, status.disk_bytes) = count(ledger, now_ms).await;
        }
        status
    }

    /// [`Self::status`] for a thread that may wait.
    #[must_use]
    pub fn status_now(&self, now_ms: u64) -> Status {
        tokio::runtime::Handle::block_on(&self.handle, self.status(now_ms))
    }

    /// Waits until all that was stored is on the disk, or until [`CACHE_CLOSE_MS_MAX`]. For a clean stop; blocks.
    pub fn close(&self) {
        let (cache, ledger) = (self.cache.clone(), self.ledger.clone());
        let closing = async move {
            // The ledger's answer comes after all that it was told before.
            if let Some(ledger) = ledger {
                count(&ledger, 0).await;
            }
            let _ = cache.close().await;
        };
        let bound = Duration::from_millis(CACHE_CLOSE_MS_MAX);
        let _ = wait(&self.handle, async move { tokio::time::timeout(bound, closing).await.is_ok() });
    }
}

async fn count(ledger: &mpsc::Sender<Note>, now_ms: u64) -> (u64, u64) {
    let (reply, answer) = oneshot::channel();
    if ledger.send(Note::Count { now_ms, reply }).await.is_err() {
        return (0, 0);
    }
    answer.await.unwrap_or_default()
}

/// Runs a future on the cache's own threads and blocks until it is done, from inside another runtime as well.
fn wait<T: Send + 'static>(handle: &Handle, future: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    handle.spawn(async move {
        let _ = sender.send(future.await);
    });
    receiver.recv().map_err(|_| GONE.to_owned())
}
