//! The ledger's task: writes entries down, sends the oldest away, and watches the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::counts::{Counts, DISK_FAILED, DISK_OPEN, DISK_PAUSED};
use super::directory::Directory;
use super::entry::{Entry, Key};
use super::ledger::Ledger;
use super::tiers::Cache;
use crate::base::bounds::CACHE_DISK_FREE_BYTES_MIN;
use crate::policy::fingerprint::Fingerprint;

/// How often free space is looked at while nothing happens.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often, while entries come, it is seen whether they arrive.
const PROOF_INTERVAL: Duration = Duration::from_secs(5);
/// Entries written for proof before the disk is given up.
const PROOFS: usize = 3;
/// The key of those; no fingerprint but by a chance of 2^-128.
const PROOF: Key = Key(Fingerprint([0xff; 16]));
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// Entries that the ledger's task takes at once.
const LEDGER_BATCH: usize = 256;

/// What the ledger's task is told.
#[derive(Debug)]
pub(super) enum Note {
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

/// Live entries and their bytes: in the ledger, not expired, and still on the disk.
pub(super) fn live(ledger: &Ledger, cache: &Cache, now_ms: u64) -> (u64, u64) {
    let there = ledger.live(now_ms).filter(|(print, _)| cache.storage().may_contains(&Key(*print)));
    there.fold((0, 0), |(entries, all), (_, bytes)| (entries + 1, all + u64::from(bytes)))
}

/// The ledger's task: writes entries down, sends the oldest away, and watches the disk. Ends with the store, and gives
/// the directory free.
pub(super) struct Scribe {
    pub directory: Directory,
    pub cache: Cache,
    pub counts: Arc<Counts>,
}

impl Scribe {
    /// Lives as long as the store.
    pub(super) async fn run(self, mut notes: mpsc::Receiver<Note>, ledger: Ledger) {
        let this = Arc::new(self);
        let mut ledger = Some(ledger);
        let mut batch = Vec::new();
        let mut unproven = None;
        let mut proved = Instant::now();
        loop {
            let quiet = match tokio::time::timeout(WATCH_INTERVAL, notes.recv_many(&mut batch, LEDGER_BATCH)).await {
                Ok(0) => return,
                Ok(_) => {
                    // Under load many at once cost a fraction of each by itself.
                    tokio::time::sleep(GATHER).await;
                    while batch.len() < LEDGER_BATCH
                        && let Ok(note) = notes.try_recv()
                    {
                        batch.push(note);
                    }
                    false
                }
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
    pub(super) fn watch_space(&self) {
        let state = if self.directory.free_bytes() < CACHE_DISK_FREE_BYTES_MIN { DISK_PAUSED } else { DISK_OPEN };
        let _ = self
            .counts
            .disk
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now != DISK_FAILED).then_some(state));
    }

    /// Does the writer live? An entry may be dropped for haste, so a second one tells.
    async fn prove(&self, print: Fingerprint) {
        let storage = self.cache.storage();
        storage.wait().await;
        if storage.may_contains(&Key(print)) || self.counts.disk.load(Ordering::Relaxed) != DISK_OPEN {
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
        self.counts.disk.store(DISK_FAILED, Ordering::Relaxed);
    }

    /// Hands back who waits for foyer to be cleared.
    fn take(&self, note: Note, ledger: &mut Ledger) -> Option<oneshot::Sender<Result<(), String>>> {
        match note {
            Note::Added { print, expires_ms, bytes } => match ledger.add(print, expires_ms, bytes) {
                Ok(None) => {}
                Ok(Some(oldest)) => {
                    self.counts.disk_evicted.fetch_add(1, Ordering::Relaxed);
                    self.cache.remove(&Key(oldest));
                }
                Err(_) => {
                    // Not written down, so it must not stay.
                    self.counts.skipped.fetch_add(1, Ordering::Relaxed);
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
        let epoch = self.counts.epoch.load(Ordering::Acquire) + 1;
        self.directory.set_epoch(epoch)?;
        self.counts.epoch.store(epoch, Ordering::Release);
        ledger.clear().map_err(|error| format!("cannot clear the cache's ledger: {error}"))
    }
}
