//! How much a core may hold of bodies that have to be known whole, and of answers under way that may be kept. One of them
//! is bounded; so must their sum be.

use std::{cell::Cell, rc::Rc};

/// A core's account.
#[derive(Clone)]
pub struct Budget {
    held: Rc<Cell<usize>>,
    bytes_max: usize,
}

/// What one body has drawn; given back when dropped, also when a panic passes by.
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

/// The account is drawn to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Budget {
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { held: Rc::default(), bytes_max }
    }

    #[must_use]
    pub fn open(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }
}

impl Charge {
    /// Draws for a body that has grown by `bytes`.
    ///
    /// # Errors
    /// [`Exhausted`]: nothing was drawn.
    pub fn draw(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let held = self.budget.held.get() + bytes;
        if held > self.budget.bytes_max {
            return Err(Exhausted);
        }
        self.budget.held.set(held);
        self.bytes += bytes;
        Ok(())
    }

    /// The body is held no longer.
    pub fn give_back(&mut self) {
        let held = self.budget.held.get();
        debug_assert!(held >= self.bytes, "more given back than drawn");
        self.budget.held.set(held - std::mem::take(&mut self.bytes));
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_comes_back() {
        const BYTES: usize = 1_000;
        let budget = Budget::new(BYTES);
        let mut one = budget.open();
        let mut other = budget.open();
        one.draw(BYTES - 1).unwrap();
        other.draw(1).unwrap();
        assert_eq!(other.draw(1), Err(Exhausted));
        drop(one);
        other.draw(BYTES - 1).unwrap();
        other.give_back();
        assert_eq!(budget.held.get(), 0);
    }
}
