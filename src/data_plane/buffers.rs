//! A core's stock of buffers: taken when there is something to hold, given back as soon as there is not, so that a
//! stream that waits for its model holds none.

use std::cell::RefCell;

/// What a fresh buffer can hold: most requests fit, head and body.
pub const BUFFER_BYTES: usize = 8 * 1024;
/// A buffer that grew past this is freed, not kept.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Buffers kept a core: 256 × 64 KiB is the most that idle stock can cost.
const KEPT_MAX: usize = 256;

#[derive(Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room for [`BUFFER_BYTES`] at least.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Back into stock, or freed when it is too large, too small or one too many.
    pub fn give(&self, mut buffer: Vec<u8>) {
        if (BUFFER_BYTES..=KEPT_BYTES_MAX).contains(&buffer.capacity()) {
            let mut free = self.free.borrow_mut();
            if free.len() < KEPT_MAX {
                buffer.clear();
                free.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_worth_keeping() {
        let stock = Buffers::default();
        let mut buffer = stock.take();
        assert!(buffer.capacity() >= BUFFER_BYTES);
        buffer.extend_from_slice(b"secret of another request");
        stock.give(buffer);
        assert!(stock.take().is_empty());
        stock.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        stock.give(Vec::new());
        assert!(stock.free.borrow().is_empty());
        for _ in 0..KEPT_MAX + 9 {
            stock.give(Vec::with_capacity(BUFFER_BYTES));
        }
        assert_eq!(stock.free.borrow().len(), KEPT_MAX);
    }
}
