//! The two tiers behind one door.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use foyer::{
    BlockEngineConfig, DefaultHasher, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder,
    HybridCacheBuilderPhaseMemory, HybridCachePolicy, HybridCacheProperties, Location, PsyncIoEngineConfig,
    RecoverMode, Spawner,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::directory::{Directory, Layout, random_key};
use super::entry::{Entry, Key};
use super::ledger::Ledger;
use crate::base::bounds::{
    CACHE_BLOCKING_THREADS_MAX, CACHE_CLOSE_MS_MAX, CACHE_DISK_FREE_BYTES_MIN, CACHE_ENTRY_BYTES_MAX,
    CACHE_LEDGER_QUEUE_MAX, CACHE_WRITE_QUEUE_BYTES_MAX,
};
use crate::policy::fingerprint::{Fingerprint, InstallKey};
use crate::wire::answer::Tier;

/// A shard that several of the largest entries fit in.
const MEMORY_SHARD_BYTES_MIN: usize = 4 * CACHE_ENTRY_BYTES_MAX;
/// Cores that ask at once seldom meet in one of so many.
const MEMORY_SHARDS_MAX: usize = 16;
/// What becomes of new entries.
const DISK_OPEN: u8 = 0;
const DISK_PAUSED: u8 = 1;
const DISK_FAILED: u8 = 2;
/// How often free space is looked at while nothing happens.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often, while entries come, it is seen whether they arrive.
const PROOF_INTERVAL: Duration = Duration::from_secs(5);
/// Entries written for proof before the disk is given up.
const PROOFS: usize = 3;
/// The key of those; no fingerprint but by a chance of 2^-128.
const PROOF: Key = Key(Fingerprint([0xff; 16]));
/// Entries that the ledger's task takes at once.
const LEDGER_BATCH: usize = 256;

const GONE: &str = "the cache's threads are gone";

type Cache = HybridCache<Key, Entry>;

/// What the options say.
#[derive(Clone, Debug)]
pub struct Config {
    pub dir: PathBuf,
    pub ttl: Duration,
    /// Entries on the disk, 1 or more.
    pub entries_max: u32,
    pub memory_bytes: usize,
    /// Space on the disk; `None` makes it of the number of entries.
    pub disk_bytes: Option<u64>,
}

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
    pub disk: Disk,
}

/// The cache. Every core holds it in an `Arc`.
#[derive(Debug)]
pub struct Store {
    cache: Cache,
    ttl_ms: u64,
    /// Entries of another one were cleared. foyer's own clearing is not enough: the next write renews the index page of
    /// its block, old entries included, and the next start finds them there.
    epoch: Arc<AtomicU64>,
    key: InstallKey,
    ledger: Option<mpsc::Sender<Note>>,
    problem: Option<String>,
    recovered: u64,
    skipped: Arc<AtomicU64>,
    disk: Arc<AtomicU8>,
    handle: Handle,
    /// The runtime ends with it, so it is the last field.
    _spawner: Spawner,
}

/// What the ledger's task is told.
#[derive(Debug)]
enum Note {
    Added {
        print: Fingerprint,
        expires_ms: u64,
        bytes: u32,
    },
    /// Something would have been added; look whether the disk has space again.
    Paused,
    Count {
        now_ms: u64,
        reply: oneshot::Sender<(u64, u64)>,
    },
    Clear {
        reply: oneshot::Sender<Result<(), String>>,
    },
}

impl Note {
    fn added(&self) -> Option<Fingerprint> {
        if let Self::Added { print, .. } = self { Some(*print) } else { None }
    }
}

/// What an open disk tier consists of. The directory stays locked as long as the ledger's task lives.
struct Opened {
    directory: Directory,
    ledger: Ledger,
    cache: Cache,
    key: InstallKey,
    epoch: u64,
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
        let opening = open_disk(config.clone(), spawner.clone());
        let disk = wait(&handle, opening)?;
        let (disk, problem) = match disk {
            Ok(disk) => (Some(disk), None),
            Err(problem) => (None, Some(problem)),
        };
        let skipped = Arc::new(AtomicU64::new(0));
        let state = Arc::new(AtomicU8::new(DISK_OPEN));
        let epoch = Arc::new(AtomicU64::new(disk.as_ref().map_or(1, |disk| disk.epoch)));
        let (cache, key, ledger, recovered) = match disk {
            Some(Opened { directory, ledger, cache, key, .. }) => {
                let recovered = live(&ledger, &cache, now_ms).0;
                let (sender, receiver) = mpsc::channel(CACHE_LEDGER_QUEUE_MAX);
                let keeper = Keeper {
                    directory,
                    cache: cache.clone(),
                    skipped: Arc::clone(&skipped),
                    disk: Arc::clone(&state),
                    epoch: Arc::clone(&epoch),
                };
                keeper.watch_space();
                handle.spawn(keeper.run(receiver, ledger));
                (cache, key, Some(sender), recovered)
            }
            None => (wait(&handle, memory_only(config.memory_bytes, spawner.clone()))??, random_key()?, None, 0),
        };
        let ttl_ms = u64::try_from(config.ttl.as_millis()).unwrap_or(u64::MAX);
        Ok(Self {
            cache,
            ttl_ms,
            epoch,
            key,
            ledger,
            problem,
            recovered,
            skipped,
            disk: state,
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

    /// Asks the disk tier, after the memory tier had nothing. Can be awaited on any runtime; without an entry it is ready
    /// at once. What it finds is in the memory tier afterwards.
    pub async fn get_disk(&self, print: Fingerprint, now_ms: u64) -> Option<Hit> {
        let key = Key(print);
        if self.ledger.is_none() || !self.cache.storage().may_contains(&key) {
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
        if entry.epoch != self.epoch.load(Ordering::Acquire) {
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
        let entry = Entry { epoch: self.epoch.load(Ordering::Acquire), stored_ms: now_ms, expires_ms, answer };
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
        let paused = self.disk.load(Ordering::Relaxed) != DISK_OPEN;
        let taken = ledger.try_send(if paused { Note::Paused } else { note }).is_ok() && !paused;
        if !taken {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Removes everything from both tiers.
    ///
    /// # Errors
    /// The disk refused.
    pub async fn clear(&self) -> Result<(), String> {
        let Some(ledger) = &self.ledger else {
            self.epoch.fetch_add(1, Ordering::AcqRel);
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
            disk_skipped: self.skipped.load(Ordering::Relaxed),
            disk: match (&self.ledger, self.disk.load(Ordering::Relaxed)) {
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

async fn open_disk(config: Config, spawner: Spawner) -> Result<Opened, String> {
    let layout = Layout::new(config.entries_max.max(1), config.disk_bytes);
    let directory = Directory::open(&config.dir, layout)?;
    let key = directory.key()?;
    let epoch = directory.epoch()?;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        format!("cannot {what} in the cache directory {}: {error}", config.dir.display())
    };
    // Blocks that no ledger speaks of could hold any number of entries.
    if !directory.ledger().exists() {
        directory.empty()?;
    }
    let ledger = Ledger::open(&directory.ledger(), layout.entries).map_err(|error| failed("keep a ledger", &error))?;
    if ledger.is_empty() && directory.blocks().exists() {
        std::fs::remove_dir_all(directory.blocks()).map_err(|error| failed("remove old entries", &error))?;
    }
    let blocks = directory.make_blocks()?;
    let cache = build(&config, layout, blocks, spawner).await.map_err(|error| failed("open the entries", &error))?;
    Ok(Opened { directory, ledger, cache, key, epoch })
}

async fn build(config: &Config, layout: Layout, blocks: PathBuf, spawner: Spawner) -> foyer::Result<Cache> {
    let blocks_bytes = layout.blocks * layout.block_bytes;
    // foyer lays the tombstone log, 16 bytes for every page, into the same room.
    let capacity = blocks_bytes + (blocks_bytes / 256).next_multiple_of(layout.block_bytes);
    let device = FsDeviceBuilder::new(blocks).with_capacity(capacity).build()?;
    let engine = BlockEngineConfig::new(device)
        .with_block_size(layout.block_bytes)
        .with_tombstone_log(true)
        .with_buffer_pool_size(4 * CACHE_ENTRY_BYTES_MAX)
        .with_submit_queue_size_threshold(CACHE_WRITE_QUEUE_BYTES_MAX)
        .with_recover_concurrency(2);
    memory(config.memory_bytes)
        .storage()
        .with_io_engine_config(PsyncIoEngineConfig::new())
        .with_engine_config(engine)
        .with_recover_mode(RecoverMode::Quiet)
        .with_spawner(spawner)
        .build()
        .await
}

async fn memory_only(memory_bytes: usize, spawner: Spawner) -> Result<Cache, String> {
    let cache = memory(memory_bytes).storage().with_spawner(spawner).build().await;
    cache.map_err(|error| format!("cannot make the cache's memory tier: {error}"))
}

/// Weighed by bytes. A shard keeps an entry even if it is larger than the shard, so such entries stay outside, and small
/// tiers have few shards.
fn memory(bytes: usize) -> HybridCacheBuilderPhaseMemory<Key, Entry, DefaultHasher> {
    let shards = (bytes / MEMORY_SHARD_BYTES_MIN).clamp(1, MEMORY_SHARDS_MAX);
    let shard_bytes = bytes / shards;
    HybridCacheBuilder::new()
        .with_name("answers")
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .memory(bytes)
        .with_shards(shards)
        .with_weighter(|_: &Key, entry: &Entry| entry.weight())
        .with_filter(move |_: &Key, entry: &Entry| entry.weight() <= shard_bytes)
}

/// Live entries and their bytes: in the ledger, not expired, and still on the disk.
fn live(ledger: &Ledger, cache: &Cache, now_ms: u64) -> (u64, u64) {
    let there = ledger.live(now_ms).filter(|(print, _)| cache.storage().may_contains(&Key(*print)));
    there.fold((0, 0), |(entries, all), (_, bytes)| (entries + 1, all + u64::from(bytes)))
}

/// The ledger's task: writes entries down, sends the oldest away, and watches the disk. Ends with the store, and gives
/// the directory free.
struct Keeper {
    directory: Directory,
    cache: Cache,
    skipped: Arc<AtomicU64>,
    disk: Arc<AtomicU8>,
    epoch: Arc<AtomicU64>,
}

impl Keeper {
    async fn run(self, mut notes: mpsc::Receiver<Note>, ledger: Ledger) {
        let this = Arc::new(self);
        let mut ledger = Some(ledger);
        let mut batch = Vec::new();
        let mut unproven = None;
        let mut proved = Instant::now();
        loop {
            let quiet = match tokio::time::timeout(WATCH_INTERVAL, notes.recv_many(&mut batch, LEDGER_BATCH)).await {
                Ok(0) => return,
                Ok(_) => false,
                Err(_) => true,
            };
            if let Some(print) = unproven
                && (quiet || proved.elapsed() > PROOF_INTERVAL)
            {
                this.prove(print).await;
                (unproven, proved) = (None, Instant::now());
            }
            let (Some(mut held), work) = (ledger.take(), std::mem::take(&mut batch)) else { return };
            unproven = work.iter().rev().find_map(Note::added).or(unproven);
            let keeper = Arc::clone(&this);
            // A slow disk holds a blocking thread, not the worker.
            let done = tokio::task::spawn_blocking(move || {
                keeper.watch_space();
                let replies: Vec<_> = work.into_iter().filter_map(|note| keeper.take(note, &mut held)).collect();
                (held, replies)
            });
            let Ok((held, clearing)) = done.await else { return };
            ledger = Some(held);
            for reply in clearing {
                unproven = None;
                let cleared = this.cache.clear().await;
                let _ = reply.send(cleared.map_err(|error| format!("cannot clear the cache: {error}")));
            }
        }
    }

    /// foyer's writer ends for good when a write fails, without a word; so it is kept from a full disk.
    fn watch_space(&self) {
        let state = if self.directory.free_bytes() < CACHE_DISK_FREE_BYTES_MIN { DISK_PAUSED } else { DISK_OPEN };
        let _ =
            self.disk.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now != DISK_FAILED).then_some(state));
    }

    /// Does the writer live? An entry may be dropped for haste, so a second one tells.
    async fn prove(&self, print: Fingerprint) {
        let storage = self.cache.storage();
        storage.wait().await;
        if storage.may_contains(&Key(print)) || self.disk.load(Ordering::Relaxed) != DISK_OPEN {
            return;
        }
        for _ in 0..PROOFS {
            let nothing = Entry { epoch: 0, stored_ms: 0, expires_ms: 0, answer: Bytes::new() };
            drop(self.cache.storage_writer(PROOF).force().insert(nothing));
            storage.wait().await;
            if storage.may_contains(&PROOF) {
                return self.cache.remove(&PROOF);
            }
        }
        self.disk.store(DISK_FAILED, Ordering::Relaxed);
    }

    /// Hands back who waits for foyer to be cleared.
    fn take(&self, note: Note, ledger: &mut Ledger) -> Option<oneshot::Sender<Result<(), String>>> {
        match note {
            Note::Added { print, expires_ms, bytes } => match ledger.add(print, expires_ms, bytes) {
                Ok(None) => {}
                Ok(Some(oldest)) => self.cache.remove(&Key(oldest)),
                Err(_) => {
                    // Not written down, so it must not stay.
                    self.skipped.fetch_add(1, Ordering::Relaxed);
                    self.cache.remove(&Key(print));
                }
            },
            Note::Paused => {}
            Note::Count { now_ms, reply } => {
                let _ = reply.send(live(ledger, &self.cache, now_ms));
            }
            Note::Clear { reply } => match self.forget(ledger) {
                Ok(()) => return Some(reply),
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            },
        }
        None
    }

    /// From here on no entry of before is a hit, in this process or the next.
    fn forget(&self, ledger: &mut Ledger) -> Result<(), String> {
        let epoch = self.epoch.load(Ordering::Acquire) + 1;
        self.directory.set_epoch(epoch)?;
        self.epoch.store(epoch, Ordering::Release);
        ledger.clear().map_err(|error| format!("cannot clear the cache's ledger: {error}"))
    }
}
