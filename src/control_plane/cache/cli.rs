//! `thinkgate cache status` and `thinkgate cache clear`: on the directory, whether a gateway runs or not.

use std::fmt::Write;
use std::path::Path;

use super::directory::{Directory, glance};

/// What lies in a cache directory, in lines for a terminal. Changes nothing, so it works beside a running gateway.
///
/// # Errors
/// The directory can't be read or holds no cache.
pub fn status(dir: &Path, now_ms: u64) -> Result<String, String> {
    let glance = glance(dir)?;
    let live: Vec<_> = glance.entries.iter().filter(|line| line.expires_ms > now_ms).collect();
    let answers: u64 = live.iter().map(|line| u64::from(line.bytes)).sum();
    let mut text = String::new();
    let _ = writeln!(text, "directory  {}", dir.display());
    let _ = match &glance.used_by {
        Some(process) => writeln!(text, "in use     by process {process}"),
        None => writeln!(text, "in use     no"),
    };
    let _ = writeln!(text, "entries    {} live, {} expired", live.len(), glance.entries.len() - live.len());
    let _ = writeln!(text, "answers    {}", size(answers));
    let _ = writeln!(text, "on disk    {}", size(glance.disk_bytes));
    if let Some(last) = live.iter().map(|line| line.expires_ms).max() {
        let _ = writeln!(text, "last ends  in {} s", (last - now_ms).div_ceil(1000));
    }
    glance.info.lines().skip(1).for_each(|line| {
        let _ = writeln!(text, "layout     {line}");
    });
    Ok(text)
}

/// Removes all entries of a cache directory that no gateway uses.
///
/// # Errors
/// It is in use, can't be changed, or holds no cache.
pub fn clear(dir: &Path) -> Result<String, String> {
    let entries = glance(dir)?.entries.len();
    Directory::lock(dir, false)?.empty()?;
    Ok(format!("{entries} entries removed from {}\n", dir.display()))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
