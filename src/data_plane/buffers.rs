//! A core's stock of buffers: taken when there is something to hold, given back as soon as there is not, so that a
//! stream that waits for its model holds none.

use std::cell::RefCell;

/// What a fresh buffer can hold: most requests fit, head and body.
pub const BUFFER_BYTES: usize = 8 * 1024;
/// What a small one can hold. A request is kept until its answer begins, which takes a model seconds.
pub const SMALL_BYTES: usize = 2 * 1024;
/// A buffer that grew past this is freed, not kept.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Buffers kept a core, of each size: 64 × 64 KiB and 64 × 8 KiB are the most that idle stock can cost. Few are in use at
/// a time, since what a client sent is passed on in the same turn.
const KEPT_MAX: usize = 64;

#[derive(Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
    /// Of [`SMALL_BYTES`] to [`BUFFER_BYTES`].
    small: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room for [`BUFFER_BYTES`] at least.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// An empty buffer with room for `bytes`, and not much more than they need.
    #[must_use]
    pub fn take_small(&self, bytes: usize) -> Vec<u8> {
        if bytes > SMALL_BYTES {
            return Vec::with_capacity(bytes);
        }
        self.small.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES))
    }

    /// Back into stock, or freed when it is too large, too small or one too many.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let stock = match buffer.capacity() {
            SMALL_BYTES..BUFFER_BYTES => &self.small,
            BUFFER_BYTES..=KEPT_BYTES_MAX => &self.free,
            _ => return,
        };
        let mut stock = stock.borrow_mut();
        if stock.len() < KEPT_MAX {
            buffer.clear();
            stock.push(buffer);
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

    #[test]
    fn small_ones_stay_small() {
        let stock = Buffers::default();
        let mut buffer = stock.take_small(900);
        assert_eq!(buffer.capacity(), SMALL_BYTES);
        buffer.extend_from_slice(b"secret of another request");
        stock.give(buffer);
        assert!(stock.take_small(SMALL_BYTES).is_empty());
        assert_eq!(stock.take_small(SMALL_BYTES + 1).capacity(), SMALL_BYTES + 1);
        stock.give(Vec::with_capacity(BUFFER_BYTES));
        assert!(stock.small.borrow().is_empty());
    }
}
