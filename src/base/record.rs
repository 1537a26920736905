//! What goes up from the cores to the control plane: lines for the logs, in batches.

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
