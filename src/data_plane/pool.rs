//! Idle connections to upstreams, of one core: nothing to lock, the newest first, checked before use, aged out.

use std::cell::RefCell;

use super::{channel::Channel, clock::Micros};

struct Idle {
    channel: Channel,
    upstream: u64,
    usable_until: Micros,
}

/// Contract: [`Pool::lease`] hands a connection out for one exchange; the borrower either gives it back with
/// [`Pool::give_back`] after a whole answer that allows another, or drops it.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
}

impl Pool {
    /// A connection to the upstream with this identity that was alive a moment ago. It may still turn out to be
    /// closed: then nothing of an answer has come and the request may be sent again where that is safe.
    #[must_use]
    pub fn lease(&self, upstream: u64, now: Micros) -> Option<Channel> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let at = idle.iter().rposition(|one| one.upstream == upstream)?;
            let one = idle.remove(at);
            if one.usable_until > now && one.channel.is_reusable() {
                return Some(one.channel);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end, the oldest of too many being dropped.
    pub fn give_back(&self, channel: Channel, upstream: u64, usable_until: Micros, idle_max: usize) {
        let mut idle = self.idle.borrow_mut();
        if idle_max == 0 {
            return;
        }
        if idle.len() >= idle_max {
            idle.remove(0);
        }
        idle.push(Idle { channel, upstream, usable_until });
    }

    /// Drops what is too old, or belongs to an upstream that no configuration names any more.
    pub fn age_out(&self, now: Micros, current: u64) {
        self.idle.borrow_mut().retain(|one| one.usable_until > now && one.upstream == current);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
