//! Counts what lies on the disk, and says what must leave when there is one too many.
//!
//! A file of as many slots as there may be entries, written round and round: a new entry takes the slot of the oldest,
//! which leaves the cache. The file is read at a start to know what is there. A slot has a checksum of its own, so a torn
//! or foreign one is an empty one.

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

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    slots: u32,
    next: u64,
    /// Who lies in which slot; entries that were written again have an older slot that no longer names them.
    holders: Vec<Option<Fingerprint>>,
    lines: HashMap<Fingerprint, Line>,
}

impl Ledger {
    /// Opens or makes the file. All its room is taken at once, so that a full disk is met here and not later.
    pub(super) fn open(path: &Path, slots: u32) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let wanted = u64::from(slots) * SLOT_BYTES as u64;
        let mut lines = read_all(&file)?;
        lines.sort_unstable_by_key(|line| line.number);
        file.set_len(wanted)?;
        reserve(&file, wanted)?;
        let mut this = Self {
            file,
            slots,
            next: lines.last().map_or(1, |line| line.number.saturating_add(1)),
            holders: vec![None; slots as usize],
            lines: HashMap::new(),
        };
        for line in lines {
            let slot = this.slot(line.number);
            this.holders[slot] = Some(line.print);
            this.lines.insert(line.print, line);
        }
        Ok(this)
    }

    fn slot(&self, number: u64) -> usize {
        (number % u64::from(self.slots)) as usize
    }

    /// Writes an entry down. `Ok(Some(..))`: this one is too old now and must leave the cache.
    pub(super) fn add(&mut self, print: Fingerprint, expires_ms: u64, bytes: u32) -> io::Result<Option<Fingerprint>> {
        let line = Line { print, expires_ms, bytes, number: self.next };
        let slot = self.slot(line.number);
        self.file.write_all_at(&line.write(), slot as u64 * SLOT_BYTES as u64)?;
        self.next += 1;
        let displaced = self.holders[slot].replace(print);
        self.lines.insert(print, line);
        let leaves = displaced.filter(|old| {
            // Written again since, it lies in a younger slot and stays.
            self.lines.get(old).is_some_and(|held| self.slot(held.number) == slot && held.number < line.number)
        });
        if let Some(old) = leaves {
            self.lines.remove(&old);
        }
        Ok(leaves)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let wanted = u64::from(self.slots) * SLOT_BYTES as u64;
        self.file.set_len(0)?;
        self.file.set_len(wanted)?;
        reserve(&self.file, wanted)?;
        self.holders.fill(None);
        self.lines.clear();
        Ok(())
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
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
                let left = ledger.add(print(number), 1, 2).map_err(|error| TestCaseError::fail(error.to_string()))?;
                oracle.push_back(number);
                let out = if oracle.len() > SLOTS { oracle.pop_front() } else { None };
                prop_assert_eq!(left, out.filter(|out| !oracle.contains(out)).map(print));
                let mut wanted: Vec<_> = oracle.iter().map(|number| print(*number)).collect();
                wanted.sort_unstable();
                wanted.dedup();
                let mut got: Vec<_> = ledger.lines().map(|line| line.print).collect();
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
