//! The flights that can be joined, of all cores: chains that are never changed, only replaced, so that nobody waits.

use std::{rc::Rc, sync::Arc};

use arc_swap::{ArcSwapOption, Guard};

use super::{
    bells::Bells,
    flight::{Flight, Follower, Form, Leader, Wish},
};
use crate::{base::bounds::FLIGHT_CHAINS, policy::fingerprint::Fingerprint};

type Chain = Vec<Arc<Flight>>;

pub struct Registry {
    chains: Box<[ArcSwapOption<Chain>]>,
}

/// What became of a wish to know an answer.
pub enum Boarded {
    /// Somebody has asked already.
    Joined(Follower),
    /// The caller has to start the leader.
    Leads(Follower, Leader),
}

impl Default for Registry {
    fn default() -> Self {
        Self { chains: (0..FLIGHT_CHAINS).map(|_| ArcSwapOption::empty()).collect() }
    }
}

impl Registry {
    /// Joins the flight of this fingerprint, or opens one whose pieces have the form `asked`.
    #[must_use]
    pub fn board(&self, bells: &Rc<Bells>, wish: &Wish, asked: Form, finishes: bool) -> Option<Boarded> {
        let chain = self.chain(wish.print);
        let mut opened = None;
        loop {
            let now = chain.load();
            let standing = flights(&now).find(|flight| flight.print == wish.print && flight.serves(wish));
            if let Some(follower) = standing.and_then(|flight| flight.follow(bells, wish.due)) {
                return Some(Boarded::Joined(follower));
            }
            let (follower, leader) = match opened.take() {
                Some(opened) => opened,
                None => {
                    let (flight, leader) = Flight::new(bells, wish, asked, finishes);
                    (flight.follow(bells, wish.due)?, leader)
                }
            };
            // One flight for a fingerprint: whoever stands there cannot serve us.
            let others = flights(&now).filter(|flight| flight.print != wish.print);
            let next = others.chain([&leader.flight]).cloned().collect();
            if replaced(chain, &now, next) {
                return Some(Boarded::Leads(follower, leader));
            }
            opened = Some((follower, leader));
        }
    }

    /// Makes room for a new flight: who follows the old one goes on, but nobody joins it any more.
    pub fn displace(&self, print: Fingerprint) {
        self.take_out(print, |flight| flight.print == print);
    }

    /// Takes a flight out, if it is still the one that stands there.
    pub fn remove(&self, flight: &Arc<Flight>) {
        self.take_out(flight.print, |standing| Arc::ptr_eq(standing, flight));
    }

    fn take_out(&self, print: Fingerprint, which: impl Fn(&Arc<Flight>) -> bool) {
        let chain = self.chain(print);
        loop {
            let now = chain.load();
            if !flights(&now).any(&which) {
                return;
            }
            if replaced(chain, &now, flights(&now).filter(|flight| !which(flight)).cloned().collect()) {
                return;
            }
        }
    }

    /// Would this flight be joined?
    #[must_use]
    pub fn holds(&self, flight: &Arc<Flight>) -> bool {
        flights(&self.chain(flight.print).load()).any(|standing| Arc::ptr_eq(standing, flight))
    }

    /// Ends the flights whose leader was on a core that died. `ring`: tells a core that there is news of a flight.
    pub fn bury(&self, dead: usize, ring: &dyn Fn(usize, u64)) {
        for chain in &self.chains {
            flights(&chain.load()).for_each(|flight| flight.bury(dead, ring));
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.chains.iter().map(|chain| flights(&chain.load()).count()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fingerprints are hashes already.
    fn chain(&self, Fingerprint(print): Fingerprint) -> &ArcSwapOption<Chain> {
        &self.chains[usize::from(u16::from_le_bytes([print[0], print[1]])) % FLIGHT_CHAINS]
    }
}

fn flights(chain: &Option<Arc<Chain>>) -> impl Iterator<Item = &Arc<Flight>> {
    chain.iter().flat_map(|chain| chain.iter())
}

/// Puts `next` in the place of `now`, unless somebody was faster.
fn replaced(chain: &ArcSwapOption<Chain>, now: &Guard<Option<Arc<Chain>>>, next: Chain) -> bool {
    let next = (!next.is_empty()).then(|| Arc::new(next));
    let before = chain.compare_and_swap(now, next);
    before.as_ref().map(Arc::as_ptr) == now.as_ref().map(Arc::as_ptr)
}
