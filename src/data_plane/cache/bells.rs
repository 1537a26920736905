//! What flights need of a core: who of its tasks waits for news of which flight, and the doors of the other cores.

use std::{cell::RefCell, collections::HashMap, task::Waker};

use crate::data_plane::mailbox::{Letter, Sender};

pub struct Bells {
    /// Of this core.
    pub index: usize,
    doors: Box<[Sender]>,
    /// Tasks of this core, by the flight's id.
    sleepers: RefCell<HashMap<u64, Vec<Waker>>>,
}

impl Bells {
    /// `doors`: one a core, in their order.
    #[must_use]
    pub fn new(index: usize, doors: impl Iterator<Item = Sender>) -> Self {
        Self { index, doors: doors.collect(), sleepers: RefCell::default() }
    }

    #[must_use]
    pub fn cores(&self) -> usize {
        self.doors.len()
    }

    /// The task will be woken at the next news of a flight.
    pub fn sleep(&self, flight: u64, waker: &Waker) {
        let mut sleepers = self.sleepers.borrow_mut();
        let tasks = sleepers.entry(flight).or_default();
        if !tasks.iter().any(|known| known.will_wake(waker)) {
            tasks.push(waker.clone());
        }
    }

    /// There is news of a flight for the tasks of this core.
    pub fn wake(&self, flight: u64) {
        // Waking only queues tasks, so the table may stay borrowed; the list keeps its memory for the next time.
        if let Some(tasks) = self.sleepers.borrow_mut().get_mut(&flight) {
            tasks.drain(..).for_each(Waker::wake);
        }
    }

    /// There is news for the tasks of some core, perhaps this one.
    pub fn ring(&self, index: usize, flight: u64) {
        if index == self.index {
            self.wake(flight);
        } else if let Some(door) = self.doors.get(index) {
            // A mailbox that is full makes the sleeper wait for the next housekeeping of its core.
            let _ = door.send(Letter::Flight(flight));
        }
    }

    /// A wake-up between cores can get lost when a mailbox is full; a second look now and then makes up for it. Who still
    /// waits says so again, so nothing of flights that are over stays.
    pub fn wake_all(&self) {
        let sleepers = std::mem::take(&mut *self.sleepers.borrow_mut());
        sleepers.into_values().flatten().for_each(Waker::wake);
    }

    /// Nobody on this core waits for the flight any more.
    pub fn forget(&self, flight: u64) {
        let mut sleepers = self.sleepers.borrow_mut();
        if sleepers.get(&flight).is_some_and(Vec::is_empty) {
            sleepers.remove(&flight);
        }
    }
}
