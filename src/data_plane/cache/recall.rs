//! What a core remembers of requests whose answer was in the cache: the very same bytes need not be understood again,
//! nor their answer be written anew.
//!
//! Nothing is answered from here alone: the cache is asked for the entry every time, and only if it is the one that was
//! written before, the writing is spared.

use std::sync::Arc;

use bytes::Bytes;

use super::finished::Finished;
use crate::{
    base::bounds::{RECALL_BYTES_MAX, RECALL_SLOTS},
    policy::{fingerprint::Fingerprint, snapshot::Snapshot},
    wire::{dialect::Endpoint, think::Policy},
};

/// All of a request that its answer hangs on.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub snapshot: &'a Arc<Snapshot>,
    pub endpoint: Endpoint,
    pub think_header: Option<Policy>,
    pub tenant: &'a [u8],
    pub body: &'a [u8],
}

/// One request and its answer.
pub struct Known {
    snapshot: Arc<Snapshot>,
    endpoint: Endpoint,
    think_header: Option<Policy>,
    tenant: Box<[u8]>,
    body: Box<[u8]>,
    pub print: Fingerprint,
    pub model: Option<Box<str>>,
    /// The entry that the answer was written from. Held, so that its address is nobody else's.
    entry: Bytes,
    pub finished: Finished,
}

impl Known {
    fn bytes(&self) -> usize {
        self.tenant.len() + self.body.len() + self.entry.len() + self.finished.body.len()
    }

    fn is(&self, question: &Question<'_>) -> bool {
        *self.body == *question.body
            && *self.tenant == *question.tenant
            && self.endpoint == question.endpoint
            && self.think_header == question.think_header
            && Arc::ptr_eq(&self.snapshot, question.snapshot)
    }

    /// Is this the entry that the answer was written from?
    #[must_use]
    pub fn is_of(&self, entry: &Bytes) -> bool {
        self.entry.as_ptr() == entry.as_ptr() && self.entry.len() == entry.len()
    }
}

#[derive(Default)]
struct Slot {
    /// Hash of the request that was here last; what comes once is not worth remembering.
    seen: u64,
    known: Option<Box<Known>>,
}

/// One core's memory; takes room when the first answer is remembered.
#[derive(Default)]
pub struct Recall {
    slots: Vec<Slot>,
    bytes: usize,
}

impl Recall {
    /// The same request, if it is remembered.
    pub fn find(&mut self, question: &Question<'_>) -> Option<&mut Known> {
        let hash = hash(question.body);
        let slot = self.slots.get_mut(place(hash))?;
        slot.known.as_deref_mut().filter(|known| known.is(question))
    }

    /// Remembers a request at the second time. `model`: what it asks for, for the log.
    pub fn note(
        &mut self,
        question: &Question<'_>,
        model: Option<&str>,
        print: Fingerprint,
        entry: Bytes,
        finished: Finished,
    ) {
        let hash = hash(question.body);
        if self.slots.is_empty() {
            self.slots.resize_with(RECALL_SLOTS, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(place(hash)) else { return };
        if slot.seen != hash {
            slot.seen = hash;
            return;
        }
        let known = Known {
            snapshot: Arc::clone(question.snapshot),
            endpoint: question.endpoint,
            think_header: question.think_header,
            tenant: question.tenant.into(),
            body: question.body.into(),
            print,
            model: model.map(Into::into),
            entry,
            finished,
        };
        let (before, now) = (slot.known.as_ref().map_or(0, |known| known.bytes()), known.bytes());
        if now > RECALL_BYTES_MAX {
            return;
        }
        slot.known = Some(Box::new(known));
        self.bytes = self.bytes + now - before;
        if self.bytes > RECALL_BYTES_MAX {
            // Rare, and learned again within two requests each.
            *self = Self::default();
        }
    }

    /// What belongs to an older configuration is of no use any more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

fn place(hash: u64) -> usize {
    (hash >> 32) as usize % RECALL_SLOTS
}

/// Four multiplications at a time. Requests that share a hash share a slot and nothing else.
fn hash(bytes: &[u8]) -> u64 {
    const ODD: [u64; 4] = [0x9E37_79B9_7F4A_7C15, 0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB, 0xD6E8_FEB8_6659_FD93];
    let fold = |left: u64, right: u64| {
        let product = u128::from(left) * u128::from(right);
        (product >> 64) as u64 ^ product as u64
    };
    let mut lanes = ODD;
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut last = [0; 32];
    last[..rest.len()].copy_from_slice(rest);
    for block in blocks.iter().chain([&last]) {
        for ((lane, odd), word) in lanes.iter_mut().zip(ODD).zip(block.as_chunks::<8>().0) {
            *lane = fold(*lane ^ u64::from_le_bytes(*word), odd);
        }
    }
    lanes.into_iter().fold(bytes.len() as u64, |sum, lane| fold(sum ^ lane, ODD[0]))
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn every_byte_counts() {
        for length in [0, 1, 7, 8, 31, 32, 33, 100] {
            let bytes = vec![b'x'; length];
            let plain = hash(&bytes);
            for at in 0..length {
                let mut other = bytes.clone();
                other[at] = b'y';
                assert_ne!(hash(&other), plain, "{length} {at}");
            }
            assert_ne!(hash(&vec![b'x'; length + 1]), plain);
        }
        assert_ne!(hash(b""), hash(b"\0"));
    }
}
