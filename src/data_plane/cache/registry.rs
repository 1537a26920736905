//! The flights that can be joined, of all cores: chains that are never changed, only replaced, so that nobody waits.

use std::{rc::Rc, sync::Arc};

use arc_swap::{ArcSwapOption, Guard};

use super::{
    bells::Bells,
    flight::{Flight, Follower, Form, Leader, Wish},
};
use crate::{base::bounds::FLIGHT_CHAINS, policy::fingerprint::Fingerprint};

type Chain = Vec<Arc<Flight>>;
type Chains = Box<[ArcSwapOption<Chain>]>;

pub struct Registry {
    chains: Chains,
    /// Flights that nobody joins any more and that have not ended: only to be found when their core dies.
    detached: Chains,
}

/// What became of a wish to know an answer.
pub enum Boarded {
    /// Somebody has asked already.
    Joined(Follower),
    /// Somebody has asked and been answered this moment; whether the answer is kept will be known at once.
    Settling(Arc<Flight>),
    /// The caller has to start the leader.
    Leads(Follower, Leader),
}

impl Default for Registry {
    fn default() -> Self {
        let empty = || (0..FLIGHT_CHAINS).map(|_| ArcSwapOption::empty()).collect();
        Self { chains: empty(), detached: empty() }
    }
}

impl Registry {
    /// Joins the flight of this fingerprint, or opens one whose pieces have the form `asked`.
    #[must_use]
    pub fn board(&self, bells: &Rc<Bells>, wish: &Wish, asked: Form, finishes: bool) -> Option<Boarded> {
        let chain = chain(&self.chains, wish.print);
        let mut opened = None;
        loop {
            let now = chain.load();
            let standing = flights(&now).find(|flight| flight.print == wish.print);
            let fit = standing.filter(|flight| flight.tells_enough_for(wish));
            if let Some(flight) = fit.filter(|flight| wish.waits && flight.is_settling()) {
                return Some(Boarded::Settling(Arc::clone(flight)));
            }
            let joinable = fit.filter(|flight| flight.is_joinable());
            if let Some(follower) = joinable.and_then(|flight| flight.follow(bells, wish.due)) {
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
                standing.into_iter().for_each(|flight| self.detach(flight));
                return Some(Boarded::Leads(follower, leader));
            }
            opened = Some((follower, leader));
        }
    }

    /// Makes room for a new flight: who follows the old one goes on, but nobody joins it any more.
    pub fn displace(&self, print: Fingerprint) {
        let chain = chain(&self.chains, print);
        let standing: Vec<_> = flights(&chain.load()).filter(|flight| flight.print == print).cloned().collect();
        standing.iter().for_each(|flight| self.detach(flight));
        take_out(chain, |flight| flight.print == print);
    }

    /// Takes a flight that has ended out.
    pub fn remove(&self, flight: &Arc<Flight>) {
        for chains in [&self.chains, &self.detached] {
            take_out(chain(chains, flight.print), |standing| Arc::ptr_eq(standing, flight));
        }
    }

    /// Remembers a flight that makes room for another.
    fn detach(&self, flight: &Arc<Flight>) {
        let chain = chain(&self.detached, flight.print);
        // One that ends meanwhile takes itself out afterwards, or is not put in.
        while flight.end().is_none() {
            let now = chain.load();
            if replaced(chain, &now, flights(&now).chain([flight]).cloned().collect()) {
                break;
            }
        }
        if flight.end().is_some() {
            take_out(chain, |standing| Arc::ptr_eq(standing, flight));
        }
    }

    /// Would this flight be joined?
    #[must_use]
    pub fn holds(&self, flight: &Arc<Flight>) -> bool {
        flights(&chain(&self.chains, flight.print).load()).any(|standing| Arc::ptr_eq(standing, flight))
    }

    /// Ends the flights whose leader was on a core that died. `ring`: tells a core that there is news of a flight.
    pub fn bury(&self, dead: usize, ring: &dyn Fn(usize, u64)) {
        for chain in self.chains.iter().chain(&self.detached) {
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
}

/// Fingerprints are hashes already.
fn chain(chains: &Chains, Fingerprint(print): Fingerprint) -> &ArcSwapOption<Chain> {
    &chains[usize::from(u16::from_le_bytes([print[0], print[1]])) % FLIGHT_CHAINS]
}

fn take_out(chain: &ArcSwapOption<Chain>, which: impl Fn(&Arc<Flight>) -> bool) {
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

fn flights(chain: &Option<Arc<Chain>>) -> impl Iterator<Item = &Arc<Flight>> {
    chain.iter().flat_map(|chain| chain.iter())
}

/// Puts `next` in the place of `now`, unless somebody was faster.
fn replaced(chain: &ArcSwapOption<Chain>, now: &Guard<Option<Arc<Chain>>>, next: Chain) -> bool {
    let next = (!next.is_empty()).then(|| Arc::new(next));
    let before = chain.compare_and_swap(now, next);
    before.as_ref().map(Arc::as_ptr) == now.as_ref().map(Arc::as_ptr)
}
