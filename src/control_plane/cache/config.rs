//! What the options say of the cache.

use std::{path::PathBuf, time::Duration};

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
