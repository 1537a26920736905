//! foyer's two tiers as the configuration wants them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foyer::{
    BlockEngineConfig, DefaultHasher, DeviceBuilder, Event, EventListener, FsDeviceBuilder, HybridCache,
    HybridCacheBuilder, HybridCacheBuilderPhaseMemory, HybridCachePolicy, PsyncIoEngineConfig, RecoverMode, Spawner,
};

use super::config::Config;
use super::counts::Counts;
use super::directory::{Directory, Layout};
use super::entry::{Entry, Key};
use super::ledger::Ledger;
use crate::base::bounds::{CACHE_ENTRY_BYTES_MAX, CACHE_WRITE_QUEUE_BYTES_MAX};
use crate::policy::fingerprint::InstallKey;

/// A shard that several of the largest entries fit in.
const MEMORY_SHARD_BYTES_MIN: usize = 4 * CACHE_ENTRY_BYTES_MAX;
/// Cores that ask at once seldom meet in one of so many.
const MEMORY_SHARDS_MAX: usize = 16;

pub(super) type Cache = HybridCache<Key, Entry>;

/// What an open disk tier consists of. The directory stays locked as long as the ledger's task lives.
pub(super) struct Opened {
    pub directory: Directory,
    pub ledger: Ledger,
    pub cache: Cache,
    pub key: InstallKey,
    pub epoch: u64,
}

/// Opens the directory and what lies in it.
pub(super) async fn open_disk(config: Config, counts: Arc<Counts>, spawner: Spawner) -> Result<Opened, String> {
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
    let cache =
        build(&config, &counts, layout, blocks, spawner).await.map_err(|error| failed("open the entries", &error))?;
    Ok(Opened { directory, ledger, cache, key, epoch })
}

async fn build(
    config: &Config,
    counts: &Arc<Counts>,
    layout: Layout,
    blocks: PathBuf,
    spawner: Spawner,
) -> foyer::Result<Cache> {
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
    memory(config.memory_bytes, counts)
        .storage()
        .with_io_engine_config(PsyncIoEngineConfig::new())
        .with_engine_config(engine)
        .with_recover_mode(RecoverMode::Quiet)
        .with_spawner(spawner)
        .build()
        .await
}

/// The memory tier alone.
pub(super) async fn memory_only(memory_bytes: usize, counts: Arc<Counts>, spawner: Spawner) -> Result<Cache, String> {
    let cache = memory(memory_bytes, &counts).storage().with_spawner(spawner).build().await;
    cache.map_err(|error| format!("cannot make the cache's memory tier: {error}"))
}

/// Weighed by bytes. A shard keeps an entry even if it is larger than the shard, so such entries stay outside, and small
/// tiers have few shards.
fn memory(bytes: usize, counts: &Arc<Counts>) -> HybridCacheBuilderPhaseMemory<Key, Entry, DefaultHasher> {
    let shards = (bytes / MEMORY_SHARD_BYTES_MIN).clamp(1, MEMORY_SHARDS_MAX);
    let shard_bytes = bytes / shards;
    HybridCacheBuilder::new()
        .with_name("answers")
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_event_listener(Arc::new(Evictions(Arc::clone(counts))))
        .memory(bytes)
        .with_shards(shards)
        .with_weighter(|_: &Key, entry: &Entry| entry.weight())
        .with_filter(move |_: &Key, entry: &Entry| entry.weight() <= shard_bytes)
}

/// Counts what the memory tier let go of for want of room.
struct Evictions(Arc<Counts>);

impl EventListener for Evictions {
    type Key = Key;
    type Value = Entry;

    fn on_leave(&self, reason: Event, _: &Key, _: &Entry) {
        if reason == Event::Evict {
            self.0.memory_evicted.fetch_add(1, Ordering::Relaxed);
        }
    }
}
