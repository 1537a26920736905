//! The log writer: one thread that takes whole lines from everybody and writes them, so that nobody else waits for a
//! disk or a terminal.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use super::config::settings::AccessLog;
use crate::data_plane::journal::{Batch, Book};

/// Batches that may wait; at 16 KiB each, 16 MiB. Past it lines are dropped and counted.
const BATCHES_MAX: usize = 1_024;

/// Starts the writer. It ends, all written, when the last sender is gone.
///
/// # Errors
/// When the access log cannot be opened.
pub fn start(access: Option<&AccessLog>) -> io::Result<(SyncSender<Batch>, JoinHandle<()>)> {
    let access = match access {
        None => None,
        Some(AccessLog::Stdout) => Some(Access::Stdout),
        Some(AccessLog::File(path)) => Some(Access::File(open(path)?, path.clone())),
    };
    let (sender, receiver) = sync_channel(BATCHES_MAX);
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&receiver, access))?;
    Ok((sender, thread))
}

enum Access {
    Stdout,
    File(File, PathBuf),
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("access log {}: {error}", path.display())))
}

fn write_all(receiver: &Receiver<Batch>, mut access: Option<Access>) {
    while let Ok(batch) = receiver.recv() {
        // A log that cannot be written must not stop the gateway; there is nowhere left to say so.
        let _ = match (batch.book, &mut access) {
            (Book::Access, Some(Access::File(file, path))) => write_rotated(file, path, &batch.lines),
            (Book::Access, _) => io::stdout().write_all(&batch.lines).and_then(|()| io::stdout().flush()),
            (Book::Events, _) => io::stderr().write_all(&batch.lines),
        };
    }
}

/// Appends; a file that was moved away by log rotation is opened anew under its name.
fn write_rotated(file: &mut File, path: &PathBuf, lines: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let ours = file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    let named = std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    if ours != named {
        *file = open(path)?;
    }
    file.write_all(lines)
}

/// A line for people on the standard error stream, from the control plane itself.
pub fn say(text: &str) {
    // If even this fails, there is nobody to tell.
    let _ = writeln!(io::stderr(), "thinkgate: {text}");
}
