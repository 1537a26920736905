//! Counts what lies on the disk, and says what must leave when there is one too many.
//!
//! A file of as many slots as there may be entries, written round and round: a new entry takes the slot of the oldest,
//! which leaves the cache. The file is read at a start to know what is there. A slot has a checksum of its own, so a torn
//! or foreign one is an empty one.
//!
//! It is written a moment after the entry is on its way to the disk, so a kill can leave a few entries that are found
//! but not counted; they leave with their block.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::policy::fingerprint::Fingerprint;

const SLOT_BYTES: usize = 40;

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub print: Fingerprint,
    pub expires_ms: u64,
    pub bytes: u32,
    /// Counts up over the life of the file, from 1.
    number: u64,
}

impl Line {
    fn write(self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[..16].copy_from_slice(&self.print.0);
        slot[16..24].copy_from_slice(&self.expires_ms.to_le_bytes());
        slot[24..28].copy_from_slice(&self.bytes.to_le_bytes());
        slot[28..36].copy_from_slice(&self.number.to_le_bytes());
        let check = check(&slot[..36]);
        slot[36..].copy_from_slice(&check);
        slot
    }

    fn read(slot: &[u8; SLOT_BYTES]) -> Option<Self> {
        let part = |at: usize| -> [u8; 8] { std::array::from_fn(|byte| slot[at + byte]) };
        let line = Self {
            print: Fingerprint(std::array::from_fn(|byte| slot[byte])),
            expires_ms: u64::from_le_bytes(part(16)),
            bytes: u32::from_le_bytes(std::array::from_fn(|byte| slot[24 + byte])),
            number: u64::from_le_bytes(part(28)),
        };
        (line.number > 0 && check(&slot[..36]) == slot[36..]).then_some(line)
    }
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let hash = blake3::hash(bytes);
    std::array::from_fn(|at| hash.as_bytes()[at])
}

/// The lines of a file that still count: the newest of each entry, oldest first.
pub(super) fn read(path: &Path) -> io::Result<Vec<Line>> {
    let mut lines = read_all(&File::open(path)?)?;
    lines.sort_unstable_by_key(|line| line.number);
    let newest: HashMap<_, _> = lines.iter().map(|line| (line.print, line.number)).collect();
    lines.retain(|line| newest.get(&line.print) == Some(&line.number));
    Ok(lines)
}

fn read_all(file: &File) -> io::Result<Vec<Line>> {
    let mut bytes = Vec::new();
    let mut file = file;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.as_chunks::<SLOT_BYTES>().0.iter().filter_map(Line::read).collect())
}

/// See the module. In memory it is about 60 bytes for an entry.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    slots: u32,
    next: u64,
    /// What each slot says; grows as slots are used.
    held: Vec<Option<Held>>,
    /// The slot that counts for an entry; it has older ones if it was written again.
    newest: HashMap<Fingerprint, u32>,
}

/// A slot in memory; seconds are fine enough for counting.
#[derive(Clone, Copy, Debug)]
struct Held {
    print: Fingerprint,
    expires_s: u32,
    bytes: u32,
}

impl Ledger {
    /// Opens or makes the file. All its room is taken at once, so that a full disk is met here and not later.
    pub(super) fn open(path: &Path, slots: u32) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut lines = read_all(&file)?;
        lines.sort_unstable_by_key(|line| line.number);
        let next = lines.last().map_or(1, |line| line.number.saturating_add(1));
        let mut this = Self { file, slots, next, held: Vec::new(), newest: HashMap::new() };
        this.reserve()?;
        for line in lines {
            this.hold(line);
        }
        Ok(this)
    }

    fn slot(&self, number: u64) -> u32 {
        ((number - 1) % u64::from(self.slots)) as u32
    }

    /// Takes a line into memory; who lay in its slot before?
    fn hold(&mut self, line: Line) -> Option<Held> {
        let slot = self.slot(line.number);
        if self.held.len() <= slot as usize {
            self.held.resize(slot as usize + 1, None);
        }
        let expires_s = u32::try_from(line.expires_ms / 1000).unwrap_or(u32::MAX);
        self.newest.insert(line.print, slot);
        self.held[slot as usize].replace(Held { print: line.print, expires_s, bytes: line.bytes })
    }

    /// Writes an entry down. `Ok(Some(..))`: this one is too old now and must leave the cache.
    pub(super) fn add(&mut self, print: Fingerprint, expires_ms: u64, bytes: u32) -> io::Result<Option<Fingerprint>> {
        let line = Line { print, expires_ms, bytes, number: self.next };
        let slot = self.slot(line.number);
        self.file.write_all_at(&line.write(), u64::from(slot) * SLOT_BYTES as u64)?;
        self.next += 1;
        let before = self.hold(line).map(|held| held.print);
        // Written again since, it has a younger slot and stays.
        let leaves = before.filter(|old| *old != print && self.newest.get(old) == Some(&slot));
        if let Some(old) = leaves {
            self.newest.remove(&old);
        }
        Ok(leaves)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.reserve()?;
        self.held = Vec::new();
        self.newest = HashMap::new();
        Ok(())
    }

    fn reserve(&self) -> io::Result<()> {
        let wanted = u64::from(self.slots) * SLOT_BYTES as u64;
        self.file.set_len(wanted)?;
        reserve(&self.file, wanted)
    }

    /// Every entry that has not expired, with its bytes.
    pub(super) fn live(&self, now_ms: u64) -> impl Iterator<Item = (Fingerprint, u32)> {
        let slots = self.newest.values().filter_map(|slot| self.held.get(*slot as usize).copied().flatten());
        slots.filter(move |held| u64::from(held.expires_s) * 1000 > now_ms).map(|held| (held.print, held.bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }
}

/// Takes the room on the disk where the file system can.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let Ok(bytes) = libc::off_t::try_from(bytes) else { return Ok(()) };
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and no memory is handed over.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => Ok(()),
        _ if result == 0 => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn print(number: u16) -> Fingerprint {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        Fingerprint(bytes)
    }

    struct Place(std::path::PathBuf);

    impl Place {
        fn new() -> Self {
            static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Self(std::env::temp_dir().join(format!("thinkgate-ledger-{}-{number}", std::process::id())))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    proptest! {
        /// Against the plainest oracle: a queue of the last so many writes.
        #[test]
        fn the_oldest_leave(writes in proptest::collection::vec(0u16..12, 0..60), reopen in 0usize..60) {
            let place = Place::new();
            const SLOTS: usize = 7;
            let mut ledger = Ledger::open(&place.0, SLOTS as u32).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let mut oracle: VecDeque<u16> = VecDeque::new();
            for (at, number) in writes.into_iter().enumerate() {
                if at == reopen {
                    ledger = Ledger::open(&place.0, SLOTS as u32).map_err(|error| TestCaseError::fail(error.to_string()))?;
                }
                let left = ledger.add(print(number), 1000, 2).map_err(|error| TestCaseError::fail(error.to_string()))?;
                oracle.push_back(number);
                let out = if oracle.len() > SLOTS { oracle.pop_front() } else { None };
                prop_assert_eq!(left, out.filter(|out| !oracle.contains(out)).map(print));
                let mut wanted: Vec<_> = oracle.iter().map(|number| print(*number)).collect();
                wanted.sort_unstable();
                wanted.dedup();
                let mut got: Vec<_> = ledger.live(0).map(|(print, _)| print).collect();
                got.sort_unstable();
                prop_assert_eq!(&got, &wanted);
                let mut read: Vec<_> = read(&place.0).unwrap_or_default().iter().map(|line| line.print).collect();
                read.sort_unstable();
                prop_assert_eq!(read, wanted);
            }
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), slots in 1u32..9) {
            let place = Place::new();
            prop_assert!(std::fs::write(&place.0, &bytes).is_ok());
            let mut ledger = Ledger::open(&place.0, slots).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(ledger.is_empty());
            prop_assert!(ledger.add(print(1), 1, 1).is_ok());
        }
    }
}
