//! What one worker owns. Nothing in it can be reached from another thread, so there is nothing to lock.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    budget::Budget,
    buffers::Buffers,
    cache::{bells::Bells, recall::Recall, registry::Registry},
    clock::{Clock, Micros},
    deadline::Deadlines,
    driver::Driver,
    journal::Journal,
    mailbox::Sender,
    meter::Meter,
    pool::Pool,
};
use crate::{
    base::bounds::{FLIGHT_LOGS_BYTES_MAX, HELD_BODY_BYTES_MAX, VERDICTS_MAX},
    policy::{
        answers::Answers,
        fingerprint::{Fingerprinter, InstallKey},
        snapshot::Snapshot,
        think_rules::Verdict,
    },
    wire::{answer::Unstorable, think::Out},
};

/// One read from an upstream at most. Larger reads cost cache, smaller ones calls.
pub const READ_BYTES: usize = 64 * 1024;

/// What the cores share: counters and doors, no data of a request.
pub struct Shared {
    /// Per core: its door, its load, its cells.
    pub cores: Box<[Seat]>,
    /// The answer cache, if there is one, and the flights that can be joined.
    pub answers: Option<Arc<dyn Answers>>,
    pub flights: Registry,
    /// The control plane wants new work refused and readiness false.
    pub draining: AtomicBool,
    /// A core could not reach the upstream: its name should be resolved again.
    pub resolve_wanted: Arc<AtomicBool>,
    pub cache: CacheGauges,
    pub worker_restarts: AtomicU64,
    pub reloads: AtomicU64,
    pub reload_failures: AtomicU64,
    /// Of the process, as the control plane last looked; the data plane reads no files.
    pub resident_bytes: AtomicU64,
    pub open_fds: AtomicU64,
    /// Client connections one core may hold; the rest of the descriptors is for upstreams.
    pub connections_max: usize,
    pub version: &'static str,
}

/// The cache's size, as the control plane last looked.
#[derive(Default)]
pub struct CacheGauges {
    pub memory_entries: AtomicU64,
    pub memory_bytes: AtomicU64,
    pub disk_entries: AtomicU64,
    pub disk_bytes: AtomicU64,
    pub disk_skipped: AtomicU64,
    pub memory_evicted: AtomicU64,
    pub disk_evicted: AtomicU64,
    pub recovered: AtomicU64,
    pub recovery_ms: AtomicU64,
    /// 1 while new answers go to the disk.
    pub disk_open: AtomicU64,
    /// Answers kept since the start; counted by whoever keeps them.
    pub stored: AtomicU64,
    /// Those that were not, by `Unstorable`.
    pub not_stored: [AtomicU64; Unstorable::ALL.len()],
}

impl CacheGauges {
    pub fn unkept(&self, why: Unstorable) {
        if let Some(cell) = self.not_stored.get(why as usize) {
            cell.fetch_add(1, Relaxed);
        }
    }
}

/// One core as the others see it. On a cache line of its own, since its core writes it all the time.
#[repr(align(128))]
pub struct Seat {
    pub door: Sender,
    /// Client connections it holds or is about to get.
    pub load: AtomicUsize,
    /// Those of them that it serves; only its own core counts here. What dies with it.
    pub held: AtomicUsize,
    pub meter: Arc<Meter>,
    /// Index into [`Driver::ALL`].
    pub driver: AtomicU8,
}

impl Seat {
    #[must_use]
    pub fn driver(&self) -> Driver {
        Driver::ALL.get(usize::from(self.driver.load(Relaxed))).copied().unwrap_or(Driver::Epoll)
    }
}

/// Buffers that are only used between two waits, so that all connections share them.
pub struct Scratch {
    pub read: Box<[u8]>,
    pub out: Output,
}

/// What is about to be written: a head, and what the filter leaves of a body.
pub struct Output {
    pub write: Vec<u8>,
    pub think: Out,
}

pub struct Core {
    me: Weak<Core>,
    pub index: usize,
    pub shared: Arc<Shared>,
    pub meter: Arc<Meter>,
    pub clock: Clock,
    pub deadlines: Rc<Deadlines>,
    pub buffers: Buffers,
    /// Bodies that are held whole.
    pub budget: Budget,
    /// Logs of flights that can still be joined and kept.
    pub logs: Budget,
    pub pool: Pool,
    pub journal: Journal,
    pub scratch: RefCell<Scratch>,
    snapshot: RefCell<Arc<Snapshot>>,
    pub draining: Cell<bool>,
    /// The drain has lasted long enough: every wait is due.
    pub grace_over: Cell<bool>,
    next_id: Cell<u64>,
    /// Models somebody was told about, so that a line is written once each; bounded.
    told: RefCell<HashSet<Box<str>>>,
    /// What the current snapshot's rules say of the models asked for; bounded.
    verdicts: RefCell<HashMap<Box<str>, Verdict>>,
    pub bells: Rc<Bells>,
    /// Upstream calls for followers, which outlive the connection that began them.
    pub flying: Cell<usize>,
    /// Requests that were answered from the cache, with their answers as they were written.
    pub recall: RefCell<Recall>,
    /// The upstream with this identity refuses requests that ask for token counts, and until when that is believed.
    pub counts_refused: Cell<Option<(u64, Micros)>>,
    /// Made when the first request of a gateway with a cache comes.
    fingerprinter: RefCell<Option<Fingerprinter>>,
}

/// An id as sixteen digits.
#[must_use]
pub fn digits(id: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    (0..16).map(|at| char::from(DIGITS[(id >> (60 - 4 * at)) as usize & 15])).collect()
}

impl Core {
    #[must_use]
    pub fn new(
        index: usize,
        shared: Arc<Shared>,
        snapshot: Arc<Snapshot>,
        journal: Journal,
        deadlines: Rc<Deadlines>,
    ) -> Rc<Self> {
        let meter = Arc::clone(&shared.cores[index].meter);
        let clock = Clock::new();
        let bells = Rc::new(Bells::new(index, shared.cores.iter().map(|seat| seat.door.clone())));
        // Ids must differ between cores and between runs; they are names, not secrets.
        let seed = clock.wall_us(clock.now()).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((index as u64) << 56);
        Rc::new_cyclic(|me| Self {
            me: me.clone(),
            index,
            meter,
            clock,
            deadlines,
            buffers: Buffers::default(),
            budget: Budget::new(HELD_BODY_BYTES_MAX),
            logs: Budget::new(FLIGHT_LOGS_BYTES_MAX),
            pool: Pool::default(),
            journal,
            scratch: RefCell::new(Scratch {
                read: vec![0; READ_BYTES].into_boxed_slice(),
                out: Output { write: Vec::with_capacity(4_096), think: Out::default() },
            }),
            snapshot: RefCell::new(snapshot),
            draining: Cell::new(shared.draining.load(Relaxed)),
            grace_over: Cell::new(false),
            shared,
            next_id: Cell::new(seed),
            told: RefCell::default(),
            verdicts: RefCell::default(),
            bells,
            flying: Cell::new(0),
            recall: RefCell::default(),
            counts_refused: Cell::new(None),
            fingerprinter: RefCell::default(),
        })
    }

    /// Itself, for tasks that outlive the caller.
    #[must_use]
    pub fn own(&self) -> Option<Rc<Self>> {
        self.me.upgrade()
    }

    /// The configuration of now; a request keeps the one it started with.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    pub fn take_snapshot(&self, snapshot: Arc<Snapshot>) {
        self.verdicts.borrow_mut().clear();
        self.recall.borrow_mut().forget();
        self.counts_refused.set(None);
        *self.snapshot.borrow_mut() = snapshot;
    }

    /// A name for a request that came without one.
    #[must_use]
    pub fn new_id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        // A bijection, so that ids differ, which spreads neighbours apart (splitmix64's finaliser).
        let mixed = (id ^ (id >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) ^ (id >> 31)
    }

    /// Profile and policy of a model by the rules of `snapshot`.
    #[must_use]
    pub fn verdict(&self, snapshot: &Arc<Snapshot>, model: &str) -> Verdict {
        // A request that began under an older snapshot must neither read nor write what belongs to the new one.
        if !Arc::ptr_eq(snapshot, &self.snapshot.borrow()) {
            return snapshot.think.rules.of(model);
        }
        let mut verdicts = self.verdicts.borrow_mut();
        if let Some(verdict) = verdicts.get(model) {
            return verdict.clone();
        }
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        let verdict = snapshot.think.rules.of(model);
        verdicts.insert(model.into(), verdict.clone());
        verdict
    }

    /// This core's maker of fingerprints.
    pub fn with_fingerprinter<R>(
        &self,
        key: impl FnOnce() -> InstallKey,
        make: impl FnOnce(&mut Fingerprinter) -> R,
    ) -> R {
        let mut slot = self.fingerprinter.borrow_mut();
        make(slot.get_or_insert_with(|| Fingerprinter::new(key())))
    }

    /// Was this said before? A table that is full says yes: the line is a help, not a count.
    #[must_use]
    pub fn told_about(&self, model: &str) -> bool {
        const MODELS_MAX: usize = 256;
        let mut told = self.told.borrow_mut();
        told.len() >= MODELS_MAX || !told.insert(model.into())
    }

    #[must_use]
    pub fn seat(&self) -> &Seat {
        &self.shared.cores[self.index]
    }
}
