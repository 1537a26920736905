//! A JSON text as a flat list of values, with depth and number bounded while it is read.
//!
//! simd-json's tape was planned here. It reserves about fifty bytes of index, stack and tape for every byte of a hostile
//! body (`[[[[…`) before it can notice, and needs a mutable copy of the text; this reader stops at its bound and borrows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::base::bounds::{FINGERPRINT_VALUES_MAX, JSON_DEPTH_MAX};

/// One value; an array or object is followed by what it holds, an object's members as key and value in turn.
#[derive(Debug)]
pub(super) enum Node<'b> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(Cow<'b, str>),
    /// `end` is the index of the first node after it.
    Array {
        end: usize,
    },
    Object {
        end: usize,
    },
}

/// All values of one JSON text, the root first.
#[derive(Debug)]
pub(super) struct Tree<'b>(Vec<Node<'b>>);

impl<'b> Tree<'b> {
    /// Reads a whole text. `None`: not JSON, deeper than [`JSON_DEPTH_MAX`], more than [`FINGERPRINT_VALUES_MAX`] values,
    /// or a string that is not Unicode (a lone surrogate).
    pub(super) fn read(text: &'b [u8]) -> Option<Self> {
        // A chat request has a value for every sixty bytes or so; guessing high costs less than growing.
        let mut nodes = Vec::with_capacity((text.len() / 32).clamp(16, 4096));
        let mut reader = serde_json::Deserializer::from_slice(text);
        Build { nodes: &mut nodes, depth: 0 }.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(Self(nodes))
    }

    pub(super) fn root(&self) -> Value<'_, 'b> {
        Value { nodes: &self.0, at: 0 }
    }
}

/// A place in a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'t, 'b> {
    nodes: &'t [Node<'b>],
    at: usize,
}

impl<'t, 'b> Value<'t, 'b> {
    pub(super) fn node(self) -> &'t Node<'b> {
        &self.nodes[self.at]
    }

    pub(super) fn text(self) -> Option<&'t str> {
        match self.node() {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self.node(), Node::Null)
    }

    pub(super) fn is_object(self) -> bool {
        matches!(self.node(), Node::Object { .. })
    }

    /// The elements; nothing for a value that is not an array.
    pub(super) fn items(self) -> Items<'t, 'b> {
        let end = if let Node::Array { end } = self.node() { *end } else { self.at + 1 };
        Items { nodes: self.nodes, at: self.at + 1, end }
    }

    pub(super) fn is_array(self) -> bool {
        matches!(self.node(), Node::Array { .. })
    }

    /// Keys and values in the order of the text; nothing for a value that is not an object.
    pub(super) fn members(self) -> Members<'t, 'b> {
        let end = if let Node::Object { end } = self.node() { *end } else { self.at + 1 };
        Members(Items { nodes: self.nodes, at: self.at + 1, end })
    }

    /// The first member of this name.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        self.members().find_map(|(name, value)| (name == key).then_some(value))
    }

    fn end(self) -> usize {
        match self.node() {
            Node::Array { end } | Node::Object { end } => *end,
            _ => self.at + 1,
        }
    }
}

/// See [`Value::items`].
pub(super) struct Items<'t, 'b> {
    nodes: &'t [Node<'b>],
    at: usize,
    end: usize,
}

impl<'t, 'b> Iterator for Items<'t, 'b> {
    type Item = Value<'t, 'b>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { nodes: self.nodes, at: self.at };
        self.at = value.end();
        Some(value)
    }
}

/// See [`Value::members`].
pub(super) struct Members<'t, 'b>(Items<'t, 'b>);

impl<'t, 'b> Iterator for Members<'t, 'b> {
    type Item = (&'t str, Value<'t, 'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?.text()?;
        Some((key, self.0.next()?))
    }
}

/// Appends one value to `nodes`.
struct Build<'n, 'b> {
    nodes: &'n mut Vec<Node<'b>>,
    depth: usize,
}

impl<'b> Build<'_, 'b> {
    fn push<E: Error>(&mut self, node: Node<'b>) -> Result<usize, E> {
        if self.nodes.len() >= FINGERPRINT_VALUES_MAX {
            return Err(E::custom("too many values"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn inner<E: Error>(&mut self) -> Result<Build<'_, 'b>, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(E::custom("too deep"));
        }
        Ok(Build { nodes: self.nodes, depth: self.depth + 1 })
    }
}

impl<'b> DeserializeSeed<'b> for Build<'_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Build<'_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.push(Node::Null).map(drop)
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.push(Node::Bool(value)).map(drop)
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.push(Node::Int(value)).map(drop)
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.push(Node::Uint(value)).map(drop)
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        self.push(Node::Float(value)).map(drop)
    }

    fn visit_borrowed_str<E: Error>(mut self, value: &'b str) -> Result<(), E> {
        self.push(Node::Text(Cow::Borrowed(value))).map(drop)
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        self.push(Node::Text(Cow::Owned(value.to_owned()))).map(drop)
    }

    fn visit_seq<A: SeqAccess<'b>>(mut self, mut access: A) -> Result<(), A::Error> {
        let at = self.push(Node::Null)?;
        while access.next_element_seed(self.inner()?)?.is_some() {}
        self.nodes[at] = Node::Array { end: self.nodes.len() };
        Ok(())
    }

    fn visit_map<A: MapAccess<'b>>(mut self, mut access: A) -> Result<(), A::Error> {
        let at = self.push(Node::Null)?;
        while access.next_key_seed(self.inner()?)?.is_some() {
            access.next_value_seed(self.inner()?)?;
        }
        self.nodes[at] = Node::Object { end: self.nodes.len() };
        Ok(())
    }
}
