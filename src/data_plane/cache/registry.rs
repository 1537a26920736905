//! The flights that can be joined, of all cores: a map without locks.

use std::sync::Arc;

use papaya::{HashMap, Operation};

use super::flight::{Flight, Follower, Leader, Wish};
use crate::{
    data_plane::core::{Core, Shared},
    policy::fingerprint::Fingerprint,
};

#[derive(Default)]
pub struct Registry {
    flights: HashMap<Fingerprint, Arc<Flight>>,
}

/// What became of a wish to know an answer.
pub enum Boarded {
    /// Somebody has asked already.
    Joined(Follower),
    /// The caller has to start the leader.
    Leads(Follower, Leader),
}

impl Registry {
    /// Joins the flight of this fingerprint, or opens one.
    #[must_use]
    pub fn board(&self, core: &Core, wish: &Wish, finishes: bool) -> Option<Boarded> {
        let flights = self.flights.pin();
        loop {
            let standing = flights.get(&wish.print).filter(|flight| flight.serves(wish));
            if let Some(follower) = standing.and_then(Flight::follow) {
                return Some(Boarded::Joined(follower));
            }
            let (flight, leader) = Flight::new(core, wish, finishes);
            let follower = flight.follow()?;
            // Whoever stands there now cannot serve us, or came in this very moment.
            let outcome = flights.compute(wish.print, |standing| match standing {
                Some((_, other)) if other.serves(wish) => Operation::Abort(()),
                _ => Operation::Insert(Arc::clone(&flight)),
            });
            if !matches!(outcome, papaya::Compute::Aborted(())) {
                return Some(Boarded::Leads(follower, leader));
            }
        }
    }

    /// Makes room for a new flight: who follows the old one goes on, but nobody joins it any more.
    pub fn displace(&self, print: Fingerprint) {
        self.flights.pin().remove(&print);
    }

    /// Takes a flight out, if it is still the one that stands there.
    pub fn remove(&self, flight: &Arc<Flight>) {
        let flights = self.flights.pin();
        let _ = flights.compute(flight.print, |standing| match standing {
            Some((_, other)) if Arc::ptr_eq(other, flight) => Operation::Remove,
            _ => Operation::Abort(()),
        });
    }

    /// Would this flight be joined?
    #[must_use]
    pub fn holds(&self, flight: &Arc<Flight>) -> bool {
        self.flights.pin().get(&flight.print).is_some_and(|standing| Arc::ptr_eq(standing, flight))
    }

    /// Ends the flights whose leader was on a core that died.
    pub fn bury(&self, dead: usize, shared: &Shared) {
        self.flights.pin().values().for_each(|flight| flight.bury(dead, shared));
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.flights.pin().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
