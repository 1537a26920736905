//! Bytes of a client that nobody has used yet: a bounded window over a buffer that exists only while it is needed.

use std::io;

use super::{buffers::Buffers, socket::Socket};
use crate::base::bounds::HEAD_BYTES_MAX;

/// The longest head, and a little of what follows it.
pub const INPUT_BYTES_MAX: usize = HEAD_BYTES_MAX + 4 * 1024;

#[derive(Default)]
pub struct Input {
    buffer: Vec<u8>,
    start: usize,
}

impl Input {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The same, to be changed in place (chunk framing squeezed out).
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// No more may be read until something is consumed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffer.len() - self.start >= INPUT_BYTES_MAX
    }

    /// Takes `n` bytes off the front; an empty window gives its buffer back.
    pub fn consume(&mut self, n: usize, stock: &Buffers) {
        self.start = (self.start + n).min(self.buffer.len());
        if self.is_empty() {
            self.start = 0;
            stock.give(std::mem::take(&mut self.buffer));
        }
    }

    /// Reads what is there, as far as there is room; 0 is the end of the stream. Must not be full.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; then no buffer is kept for it.
    pub fn fill(&mut self, socket: &Socket, stock: &Buffers) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer = stock.take();
        }
        if self.buffer.len() == self.buffer.capacity() && self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let free = match self.buffer.capacity() - self.buffer.len() {
            0 => self.buffer.capacity(),
            free => free,
        };
        let room = free.min(INPUT_BYTES_MAX.saturating_sub(self.bytes().len())).max(1);
        let read = socket.recv_append(&mut self.buffer, room);
        if self.is_empty() {
            self.start = 0;
            stock.give(std::mem::take(&mut self.buffer));
        }
        read
    }

    /// Gives the buffer back.
    pub fn clear(&mut self, stock: &Buffers) {
        let held = self.bytes().len();
        self.consume(held, stock);
    }
}
