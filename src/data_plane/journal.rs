//! What a core wants written down: lines, gathered here and handed on in batches, so that no request waits for a file
//! or wakes another thread. A full queue costs lines, which are counted, never time.

use std::{
    cell::{Cell, RefCell},
    sync::mpsc::SyncSender,
};

/// A batch is handed on when it is this long, or at the next tick.
const BATCH_BYTES: usize = 16 * 1024;
/// A batch may not grow past this even if nothing takes it.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Where a batch belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Book {
    /// One line a request.
    Access,
    /// Debug and warning lines.
    Events,
}

/// Whole lines for one book.
pub struct Batch {
    pub book: Book,
    pub lines: Vec<u8>,
}

/// One core's open batches.
pub struct Journal {
    access: RefCell<Vec<u8>>,
    events: RefCell<Vec<u8>>,
    writer: RefCell<Option<SyncSender<Batch>>>,
    dropped: Cell<u64>,
}

impl Journal {
    #[must_use]
    pub fn new(writer: SyncSender<Batch>) -> Self {
        Self {
            access: RefCell::default(),
            events: RefCell::default(),
            writer: RefCell::new(Some(writer)),
            dropped: Cell::new(0),
        }
    }

    fn open(&self, book: Book) -> &RefCell<Vec<u8>> {
        match book {
            Book::Access => &self.access,
            Book::Events => &self.events,
        }
    }

    /// Appends what `write` writes, which is one line with its line feed.
    pub fn line(&self, book: Book, write: impl FnOnce(&mut Vec<u8>)) {
        let full = {
            let mut batch = self.open(book).borrow_mut();
            if batch.len() > BATCH_BYTES_MAX {
                self.dropped.set(self.dropped.get() + 1);
                return;
            }
            write(&mut batch);
            batch.len() >= BATCH_BYTES
        };
        if full {
            self.hand_on(book);
        }
    }

    fn hand_on(&self, book: Book) {
        let lines = self.open(book).replace(Vec::new());
        if lines.is_empty() {
            return;
        }
        let writer = self.writer.borrow();
        let Some(writer) = writer.as_ref() else { return };
        if let Err(refused) = writer.try_send(Batch { book, lines }) {
            let batch = match refused {
                std::sync::mpsc::TrySendError::Full(batch) | std::sync::mpsc::TrySendError::Disconnected(batch) => {
                    batch
                }
            };
            // Kept for the next tick while there is room; past that, `line` drops and counts.
            self.open(book).replace(batch.lines);
        }
    }

    /// Hands on whatever there is.
    pub fn flush(&self) {
        self.hand_on(Book::Access);
        self.hand_on(Book::Events);
    }

    /// Hands on what is left and lets go of the writer, which ends when everybody has: tasks of the core may outlive it.
    pub fn close(&self) {
        self.flush();
        self.writer.borrow_mut().take();
    }

    /// Lines dropped since the last call.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.dropped.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let (sender, receiver) = sync_channel(4);
        let journal = Journal::new(sender);
        for n in 0..3 {
            journal.line(Book::Access, |out| out.extend_from_slice(format!("line {n}\n").as_bytes()));
        }
        assert!(receiver.try_recv().is_err(), "nothing leaves before a tick or a full batch");
        journal.flush();
        assert_eq!(receiver.try_recv().unwrap().lines, b"line 0\nline 1\nline 2\n");
    }

    #[test]
    fn a_stuck_writer_costs_lines_and_no_memory() {
        let (sender, _receiver) = sync_channel(1);
        let journal = Journal::new(sender);
        for _ in 0..2_000 {
            journal.line(Book::Events, |out| out.extend_from_slice(&[b'x'; 1_024]));
        }
        assert!(journal.events.borrow().len() <= BATCH_BYTES_MAX + 1_024);
        assert!(journal.take_dropped() > 1_000);
        assert_eq!(journal.take_dropped(), 0);
    }
}
