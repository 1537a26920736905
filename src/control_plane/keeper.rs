//! The answer cache's place in the control plane: the store, and one thread that reads finished answers for it.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::{
    cache::{self, Disk, Store},
    config::settings::Cache as Settings,
};
use crate::base::bounds::CACHE_CLOSE_MS_MAX;
use crate::policy::{
    answers::{Answers, DiskLook, Hit, Job},
    fingerprint::{Fingerprint, InstallKey},
};

/// Answers that may wait to be read for the cache. Each holds its log, so the bound is one of memory: past it answers
/// are not kept.
const JOBS_MAX: usize = 256;

/// How long finished answers are gathered. Waking a thread costs a core more than the answer did, so it is done once for
/// many; until then an answer is found at its flight.
const GATHER: Duration = Duration::from_millis(2);

/// The cache of a running gateway.
pub struct Keeper {
    door: Arc<Door>,
    introduction: String,
}

struct Door {
    store: Store,
    jobs: SyncSender<Job>,
}

impl Keeper {
    /// `None` where no cache is wanted. Waits for what is on the disk to be found again.
    ///
    /// # Errors
    /// The cache's threads could not be started.
    pub fn open(settings: &Settings) -> Result<Option<Self>, String> {
        if !settings.enabled {
            return Ok(None);
        }
        let config = cache::Config {
            dir: settings.dir.clone(),
            ttl: Duration::from_millis(settings.ttl_ms),
            entries_max: settings.entries_max,
            memory_bytes: settings.memory_bytes,
            disk_bytes: None,
        };
        let store = Store::open(&config, now_ms())?;
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let introduction = introduction(&store, settings);
        let door = Arc::new(Door { store, jobs });
        let weak = Arc::downgrade(&door);
        std::thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || work(&queue, &weak))
            .map_err(|error| format!("cache: {error}"))?;
        Ok(Some(Self { door, introduction }))
    }

    #[must_use]
    pub fn door(&self) -> Arc<dyn Answers> {
        Arc::<Door>::clone(&self.door)
    }

    /// A line for the start.
    #[must_use]
    pub fn introduction(&self) -> String {
        self.introduction.clone()
    }

    /// Counts, for the metrics. Waits for the ledger, a moment.
    #[must_use]
    pub fn status(&self) -> cache::Status {
        self.door.store.status_now(now_ms())
    }

    /// Everything that was taken goes to the disk, what waits to be read included.
    pub fn close(self) {
        let (done, all_done) = sync_channel(1);
        let last: Job = Box::new(move |_| {
            let _ = done.send(());
        });
        if self.door.jobs.try_send(last).is_ok() {
            let _ = all_done.recv_timeout(Duration::from_millis(CACHE_CLOSE_MS_MAX));
        }
        self.door.store.close();
    }
}

fn introduction(store: &Store, settings: &Settings) -> String {
    match store.problem() {
        Some(problem) => format!("warning: cache in memory only: {problem}"),
        None => format!(
            "cache in {}, entries live {} s, at most {}",
            settings.dir.display(),
            settings.ttl_ms / 1_000,
            settings.entries_max
        ),
    }
}

/// What there is to say when the disk's state changes. Without a disk tier the start has said so.
#[must_use]
pub const fn news(before: Disk, now: Disk) -> Option<&'static str> {
    match (before, now) {
        (Disk::Open, Disk::Paused) => {
            Some("warning: cache: too little space is left on its disk, new answers stay in memory")
        }
        (Disk::Open | Disk::Paused, Disk::Failed) => {
            Some("warning: cache: its disk does not take what is written, new answers stay in memory")
        }
        (Disk::Paused | Disk::Failed, Disk::Open) => Some("cache: its disk takes answers again"),
        _ => None,
    }
}

fn work(queue: &Receiver<Job>, door: &std::sync::Weak<Door>) {
    while let Ok(first) = queue.recv() {
        std::thread::sleep(GATHER);
        let Some(door) = door.upgrade() else { return };
        for job in std::iter::once(first).chain(queue.try_iter()) {
            // A job reads what an upstream sent: a bug in there must not end the cache.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&*door)));
        }
    }
}

impl Answers for Door {
    fn install_key(&self) -> InstallKey {
        self.store.install_key()
    }

    fn memory(&self, print: Fingerprint) -> Option<Hit> {
        self.store.get_memory(print, now_ms()).map(hit)
    }

    fn disk(self: Arc<Self>, print: Fingerprint) -> Option<DiskLook> {
        if !self.store.may_be_on_disk(print) {
            return None;
        }
        Some(Box::pin(async move { self.store.get_disk(print, now_ms()).await.map(hit) }))
    }

    fn insert(&self, print: Fingerprint, answer: Bytes) {
        self.store.insert(print, answer, now_ms());
    }

    fn later(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

fn hit(hit: cache::Hit) -> Hit {
    Hit { answer: hit.answer, tier: hit.tier, age: hit.age, ttl: hit.ttl }
}

/// Milliseconds since 1970: entries outlive the process, so their times are the wall's.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
