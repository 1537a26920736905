//! The cache's directory: ours, fit for the configuration, and used by one process at a time.
//!
//! `cache.info` says that the directory is ours and how it is laid out; `cache.lock` is locked while in use and holds the
//! process id; `cache.key` makes fingerprints unguessable; `cache.epoch` counts how often it was cleared; `ledger` and
//! `blocks/` are the disk tier.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::ledger;
use crate::base::bounds::CACHE_DISK_BYTES_PER_ENTRY;
use crate::policy::fingerprint::InstallKey;

const INFO: &str = "cache.info";
const LOCK: &str = "cache.lock";
const KEY: &str = "cache.key";
const EPOCH: &str = "cache.epoch";
const LEDGER: &str = "ledger";
const BLOCKS: &str = "blocks";
const MIB: usize = 1024 * 1024;

/// How the disk tier is laid out. Another layout starts empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub entries: u32,
    pub block_bytes: usize,
    pub blocks: usize,
}

impl Layout {
    /// Blocks are what foyer evicts by: enough of them that one is a small part of all, and few enough files.
    pub(super) fn new(entries: u32, disk_bytes: Option<u64>) -> Self {
        let wanted = disk_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = wanted.unwrap_or(entries as usize * CACHE_DISK_BYTES_PER_ENTRY).max(32 * MIB);
        let block_bytes = (bytes / 128).next_power_of_two().clamp(4 * MIB, 64 * MIB);
        Self { entries, block_bytes, blocks: bytes.div_ceil(block_bytes) }
    }

    fn text(self) -> String {
        format!(
            "thinkgate cache, form 1\nentries {}\nblocks {} of {} bytes\n",
            self.entries, self.blocks, self.block_bytes
        )
    }
}

/// Whether this user could make and use the directory, without making it.
///
/// # Errors
/// Why not.
pub fn could_open(path: &Path) -> Result<(), String> {
    // The first one above it that is there has to take the next.
    let there = path.ancestors().find(|part| part.exists()).filter(|part| !part.as_os_str().is_empty());
    let there = there.unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(format!("{} is no directory", there.display()));
    }
    let name = CString::new(there.as_os_str().as_bytes()).map_err(|_| "the name holds a zero byte".to_owned())?;
    // SAFETY: the pointer is to a text with its end mark, which the call only reads.
    if unsafe { libc::access(name.as_ptr(), libc::W_OK | libc::X_OK) } != 0 {
        return Err(cannot("write to", there, &io::Error::last_os_error()));
    }
    Ok(())
}

/// A directory in use by this process. Dropping it gives it free.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be, locks it, and empties it if its layout is another.
    ///
    /// # Errors
    /// A sentence that names the directory and what to do.
    pub(super) fn open(path: &Path, layout: Layout) -> Result<Self, String> {
        let this = Self::lock(path, true)?;
        let info = path.join(INFO);
        let wanted = layout.text();
        match fs::read_to_string(&info) {
            Ok(text) if text == wanted => {}
            Ok(_) => {
                this.empty()?;
                write_whole(&info, wanted.as_bytes()).map_err(|error| cannot("write to", path, &error))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                write_whole(&info, wanted.as_bytes()).map_err(|error| cannot("write to", path, &error))?;
            }
            Err(error) => return Err(cannot("read", path, &error)),
        }
        Ok(this)
    }

    /// Locks a directory that is ours, or empty if `make`.
    pub(super) fn lock(path: &Path, make: bool) -> Result<Self, String> {
        if make {
            // Answers are private; so is the directory, if we make it.
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| cannot("make", path, &error))?;
        }
        if !is_ours(path, make)? {
            return Err(format!(
                "the cache directory {} holds files that are not thinkgate's; name an empty or new directory with --cache-dir",
                path.display()
            ));
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(|error| cannot("write to", path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = (&mut lock).take(32).read_to_string(&mut owner);
                return Err(format!(
                    "the cache directory {} is in use by process {}; give each process its own with --cache-dir",
                    path.display(),
                    owner.trim()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", path, &error)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|error| cannot("write to", path, &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Removes all entries; the key stays.
    pub(super) fn empty(&self) -> Result<(), String> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot("empty", &self.path, &error)),
            _ => Ok(()),
        };
        // The ledger first: blocks without a ledger are emptied at the next start, a ledger without blocks counts wrong.
        gone(fs::remove_file(self.ledger()))?;
        gone(fs::remove_dir_all(self.blocks()))
    }

    /// What is free on its file system for us. A file system that doesn't say has enough.
    pub(super) fn free_bytes(&self) -> u64 {
        let Ok(path) = CString::new(self.path.as_os_str().as_bytes()) else { return u64::MAX };
        let mut answer = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path ends in NUL and the answer has the room that the call fills.
        let result = unsafe { libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) };
        if result != 0 {
            return u64::MAX;
        }
        // SAFETY: the call succeeded, so it has filled the answer.
        let answer = unsafe { answer.assume_init() };
        answer.f_bavail.saturating_mul(answer.f_frsize)
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.path.join(LEDGER)
    }

    pub(super) fn blocks(&self) -> PathBuf {
        self.path.join(BLOCKS)
    }

    /// Makes the place of the entries, for nobody else to read.
    pub(super) fn make_blocks(&self) -> Result<PathBuf, String> {
        let blocks = self.blocks();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&blocks);
        made.map_err(|error| cannot("write to", &self.path, &error))?;
        Ok(blocks)
    }

    /// How often the cache was cleared. A number that can't be read says nothing about the entries, so they go.
    pub(super) fn epoch(&self) -> Result<u64, String> {
        let text = fs::read_to_string(self.path.join(EPOCH)).unwrap_or_default();
        match text.trim().parse() {
            Ok(epoch) => Ok(epoch),
            Err(_) => {
                self.empty()?;
                self.set_epoch(1)?;
                Ok(1)
            }
        }
    }

    pub(super) fn set_epoch(&self, epoch: u64) -> Result<(), String> {
        let text = epoch.to_string();
        write_whole(&self.path.join(EPOCH), text.as_bytes()).map_err(|error| cannot("write to", &self.path, &error))
    }

    /// The installation's key, made at the first start. One that can't be read whole is replaced: what lies on the disk is
    /// then never found again, and nothing wrong is.
    pub(super) fn key(&self) -> Result<InstallKey, String> {
        let path = self.path.join(KEY);
        if let Ok(bytes) = fs::read(&path)
            && let Ok(key) = <[u8; 32]>::try_from(bytes)
        {
            return Ok(InstallKey(key));
        }
        let key = random_key()?;
        write_whole(&path, &key.0).map_err(|error| cannot("write to", &self.path, &error))?;
        Ok(key)
    }
}

/// 32 bytes of the system's randomness.
pub(super) fn random_key() -> Result<InstallKey, String> {
    let mut key = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut key))
        .map_err(|error| format!("cannot read /dev/urandom: {error}"))?;
    Ok(InstallKey(key))
}

/// Has our mark, or is empty where that will do.
fn is_ours(path: &Path, empty_will_do: bool) -> Result<bool, String> {
    let entries = fs::read_dir(path).map_err(|error| cannot("read", path, &error))?;
    let mut others = false;
    for entry in entries {
        let entry = entry.map_err(|error| cannot("read", path, &error))?;
        match entry.file_name().to_str() {
            Some(INFO) => return Ok(true),
            // A first start that was cut short leaves a lock; a file system's root has a folder of its own.
            Some(LOCK | KEY | EPOCH | "lost+found") => {}
            _ => others = true,
        }
    }
    Ok(empty_will_do && !others)
}

/// Writes beside and renames, so that nobody sees half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} the cache directory {}: {error}", path.display())
}

/// What an unlocked directory says about itself: layout in words, process that uses it, entries in its ledger.
#[derive(Debug)]
pub(super) struct Glance {
    pub info: String,
    pub used_by: Option<String>,
    pub entries: Vec<ledger::Line>,
    pub disk_bytes: u64,
}

/// Looks at a directory without changing it.
pub(super) fn glance(path: &Path) -> Result<Glance, String> {
    if !is_ours(path, false)? {
        return Err(format!("{} holds no thinkgate cache", path.display()));
    }
    let info = fs::read_to_string(path.join(INFO)).map_err(|error| cannot("read", path, &error))?;
    let mut used_by = None;
    if let Ok(mut lock) = File::open(path.join(LOCK))
        && matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
    {
        let mut owner = String::new();
        let _ = (&mut lock).take(32).read_to_string(&mut owner);
        used_by = Some(owner.trim().to_owned());
    }
    let entries = ledger::read(&path.join(LEDGER)).unwrap_or_default();
    Ok(Glance { info, used_by, entries, disk_bytes: disk_bytes(&path.join(BLOCKS)) })
}

/// What the files really take; they are sparse.
fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(path).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.blocks() * 512).sum()
}
