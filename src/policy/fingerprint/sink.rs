//! The canonical form, written straight into a keyed hash.
//!
//! Every value is a tag, a length where it has one, and its bytes, so that no two different values have the same form.

use super::tree::{Node, Reader, Value};
use super::{Fingerprint, InstallKey, Uncacheable};

/// Strings longer than this go to the hash directly and not by way of `pending`.
const DIRECT_BYTES: usize = 16 * 1024;
/// BLAKE3 hashes many kilobytes at once several times as fast as one by one.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// Collects the canonical form; `finish` turns it into a fingerprint and makes the sink ready for the next.
pub(super) struct Sink {
    key: InstallKey,
    hasher: blake3::Hasher,
    pending: Vec<u8>,
    /// For JSON that stands as text in a value.
    pub(super) within: Reader,
}

impl Sink {
    pub(super) fn new(key: InstallKey) -> Self {
        Self {
            hasher: blake3::Hasher::new_keyed(&key.0),
            key,
            pending: Vec::with_capacity(4096),
            within: Reader::default(),
        }
    }

    pub(super) fn restart(&mut self) {
        self.pending.clear();
        self.hasher = blake3::Hasher::new_keyed(&self.key.0);
    }

    pub(super) fn finish(&mut self) -> Fingerprint {
        self.flush();
        let mut short = [0; 16];
        short.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        Fingerprint(short)
    }

    fn flush(&mut self) {
        self.hasher.update(&self.pending);
        self.pending.clear();
    }

    pub(super) fn tag(&mut self, tag: u8) {
        self.pending.push(tag);
    }

    pub(super) fn count(&mut self, count: usize) {
        self.pending.extend_from_slice(&(count as u64).to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        if self.pending.len() + bytes.len() > PENDING_BYTES_MAX {
            self.flush();
        }
        if bytes.len() > DIRECT_BYTES {
            // What stands before it goes first.
            self.flush();
            self.hasher.update(bytes);
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.tag(b's');
        self.bytes(text.as_bytes());
    }

    /// Something or nothing.
    pub(super) fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.tag(b'-'),
        }
    }

    fn integer(&mut self, value: i128) {
        self.tag(b'i');
        self.pending.extend_from_slice(&value.to_le_bytes());
    }

    /// A whole number has one form, however it was written: `1`, `1.0`, `1e0`; so has zero. From 2^53 on different
    /// integers share an `f64`, and some upstreams read them exactly.
    fn float(&mut self, value: f64) -> Result<(), Uncacheable> {
        if value.fract() != 0.0 {
            self.tag(b'd');
            self.pending.extend_from_slice(&value.to_bits().to_le_bytes());
        } else if value.abs() < 2f64.powi(53) {
            self.integer(value as i128);
        } else {
            return Err(Uncacheable::Number);
        }
        Ok(())
    }

    /// A JSON value whose members' order doesn't matter, but for a schema's `properties`.
    pub(super) fn value(&mut self, value: Value<'_>) -> Result<(), Uncacheable> {
        self.nested(value, &mut Vec::new())
    }

    /// An object without those members that `skip` names.
    pub(super) fn object_without(
        &mut self,
        object: Value<'_>,
        skip: impl Fn(&str, Value<'_>) -> bool,
    ) -> Result<(), Uncacheable> {
        let mut members: Vec<_> = object.members().filter(|(key, value)| !skip(key, *value)).collect();
        sort(&mut members);
        self.tag(b'o');
        self.count(members.len());
        for (key, value) in members {
            self.text(key);
            self.value(value)?;
        }
        Ok(())
    }

    /// `stack` holds the members of all objects on the way down, so that one allocation serves a whole value. The
    /// recursion is as deep as the tree, which is bounded.
    fn nested<'t>(&mut self, value: Value<'t>, stack: &mut Vec<(&'t str, Value<'t>)>) -> Result<(), Uncacheable> {
        match value.node() {
            Node::Null => self.tag(b'n'),
            Node::Bool(value) => self.tag(if value { b't' } else { b'f' }),
            Node::Int(value) => self.integer(value.into()),
            Node::Uint(value) => self.integer(value.into()),
            Node::Float(value) => self.float(value)?,
            Node::Text(text) => self.text(text),
            Node::Array => {
                self.tag(b'a');
                for item in value.items() {
                    self.nested(item, stack)?;
                }
                self.tag(b'.');
            }
            Node::Object => {
                let base = stack.len();
                stack.extend(value.members());
                sort(&mut stack[base..]);
                self.tag(b'o');
                self.count(stack.len() - base);
                for at in base..stack.len() {
                    let (key, value) = stack[at];
                    self.text(key);
                    match value.node() {
                        Node::Object if key == "properties" => self.properties(value, stack)?,
                        _ => self.nested(value, stack)?,
                    }
                }
                stack.truncate(base);
            }
        }
        Ok(())
    }

    /// The one object whose members' order counts: models write what a schema lists in the order of its `properties`, so
    /// that it decides whether they reason before they answer.
    fn properties<'t>(&mut self, value: Value<'t>, stack: &mut Vec<(&'t str, Value<'t>)>) -> Result<(), Uncacheable> {
        self.tag(b'O');
        self.count(value.members().count());
        for (key, value) in value.members() {
            self.text(key);
            self.nested(value, stack)?;
        }
        Ok(())
    }
}

/// By name; no name occurs twice (`tree`).
pub(super) fn sort<V>(members: &mut [(&str, V)]) {
    members.sort_unstable_by_key(|(key, _)| *key);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The hash is that of one buffer, whatever takes which way.
        #[test]
        fn nothing_overtakes(lengths in prop::collection::vec(prop_oneof![0..200_usize, 15_000..18_000_usize, 60_000..70_000_usize], 1..12)) {
            let key = InstallKey([7; 32]);
            let mut sink = Sink::new(key.clone());
            let mut buffer = Vec::new();
            for (at, length) in lengths.into_iter().enumerate() {
                let bytes = vec![at as u8; length];
                sink.tag(b't');
                sink.bytes(&bytes);
                buffer.push(b't');
                buffer.extend((length as u64).to_le_bytes());
                buffer.extend(bytes);
            }
            let wanted = blake3::keyed_hash(&key.0, &buffer);
            prop_assert_eq!(&sink.finish().0[..], &wanted.as_bytes()[..16]);
        }
    }
}
