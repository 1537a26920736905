//! A JSON text as a flat list of values: simd-json's tape behind the few questions that are asked of it here.
//!
//! The tape's memory is reused; its size and depth are bounded before anything is made of it. Measured against a reader
//! built on serde_json, which did not look for twins: a quarter less time for chats of 1 KB and lists of tools, the same
//! for 200 KB of text. Without reused memory it would be four times slower there.

use simd_json::{Buffers, StaticNode, Tape, fill_tape};

use super::Uncacheable;
use crate::base::bounds::{FINGERPRINT_VALUES_MAX, JSON_DEPTH_MAX, TREE_KEPT_BYTES_MAX};

/// Up to here comparing all with all is faster than sorting.
const FEW_MEMBERS: usize = 8;

/// Reads texts one after the other; keeps its memory.
pub(super) struct Reader {
    /// simd-json takes escapes out of strings in place.
    copy: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Default for Reader {
    fn default() -> Self {
        Self { copy: Vec::new(), buffers: Buffers::default(), tape: Tape(Vec::new()) }
    }
}

impl Reader {
    /// Shows the root of a whole text to `see`.
    ///
    /// # Errors
    /// `Unreadable`: not JSON, deeper than [`JSON_DEPTH_MAX`], perhaps more than [`FINGERPRINT_VALUES_MAX`] values, an
    /// integer beyond 64 bits, or a string that is not Unicode (a lone surrogate). `DuplicateKey`: see there.
    pub(super) fn read<R>(&mut self, text: &[u8], see: impl FnOnce(Value<'_>) -> R) -> Result<R, Uncacheable> {
        if text.len() > FINGERPRINT_VALUES_MAX && marks(text) > FINGERPRINT_VALUES_MAX {
            return Err(Uncacheable::Unreadable);
        }
        self.copy.clear();
        self.copy.extend_from_slice(text);
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let whole = fill_tape(&mut self.copy, &mut self.buffers, &mut tape).is_ok();
        let root = Value { nodes: &tape.0, at: 0 };
        let seen = if !whole || root.nodes.is_empty() || !is_shallow(root.nodes) {
            Err(Uncacheable::Unreadable)
        } else if has_twins(root.nodes) {
            Err(Uncacheable::DuplicateKey)
        } else {
            Ok(see(root))
        };
        if text.len() > TREE_KEPT_BYTES_MAX {
            *self = Self::default();
        } else {
            self.tape = tape.reset();
        }
        seen
    }
}

/// At least the number of values in a JSON text less one: each but the root stands behind one of these. Those in strings
/// are counted too; telling them apart is the parser's work, and its memory is what is to be bounded.
fn marks(text: &[u8]) -> usize {
    // Sums of bytes are what compilers turn into vector instructions; 255 of them fit into one.
    let of = |part: &[u8]| part.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{' | b',' | b':'))).sum::<u8>();
    text.chunks(255).map(|part| usize::from(of(part))).sum()
}

/// No value lies deeper than [`JSON_DEPTH_MAX`]; whoever walks a tree by recursion relies on it.
fn is_shallow(nodes: &[simd_json::Node<'_>]) -> bool {
    let mut ends = [0; JSON_DEPTH_MAX];
    let mut depth = 0;
    for (at, node) in nodes.iter().enumerate() {
        while depth > 0 && ends[depth - 1] <= at {
            depth -= 1;
        }
        if let simd_json::Node::Array { count, .. } | simd_json::Node::Object { count, .. } = node {
            if depth == JSON_DEPTH_MAX {
                return false;
            }
            ends[depth] = at + 1 + count;
            depth += 1;
        }
    }
    true
}

/// A name occurs twice in some object, perhaps in another case. Which one counts differs between decoders (Go's takes the
/// last, in any case), so that a request with twins could ask for one thing and have the key of another.
fn has_twins(nodes: &[simd_json::Node<'_>]) -> bool {
    let mut few = [""; FEW_MEMBERS];
    let mut many = Vec::new();
    nodes.iter().enumerate().any(|(at, node)| {
        let simd_json::Node::Object { len, .. } = *node else { return false };
        let names = Value { nodes, at }.members().map(|(name, _)| name);
        if let Some(few) = few.get_mut(..len) {
            few.iter_mut().zip(names).for_each(|(slot, name)| *slot = name);
            return (1..len).any(|nth| few[..nth].iter().any(|earlier| is_twin(earlier, few[nth])));
        }
        many.clear();
        many.extend(names.map(|name| name.chars().map(folded).collect::<String>()));
        many.sort_unstable();
        many.windows(2).any(|pair| pair[0] == pair[1])
    })
}

fn is_twin(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().map(folded).eq(other.chars().map(folded))
}

/// As Go's JSON folds names: ASCII, and the two letters beyond it that fold into it.
fn folded(letter: char) -> char {
    match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    }
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node<'t> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'t str),
    Array,
    Object,
}

/// A place in a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'t> {
    /// A value is followed by what it holds, an object's members as key and value in turn.
    nodes: &'t [simd_json::Node<'t>],
    at: usize,
}

impl<'t> Value<'t> {
    pub(super) fn node(self) -> Node<'t> {
        match self.nodes[self.at] {
            simd_json::Node::String(text) => Node::Text(text),
            simd_json::Node::Array { .. } => Node::Array,
            simd_json::Node::Object { .. } => Node::Object,
            simd_json::Node::Static(StaticNode::Null) => Node::Null,
            simd_json::Node::Static(StaticNode::Bool(value)) => Node::Bool(value),
            simd_json::Node::Static(StaticNode::I64(value)) => Node::Int(value),
            simd_json::Node::Static(StaticNode::U64(value)) => Node::Uint(value),
            simd_json::Node::Static(StaticNode::F64(value)) => Node::Float(value),
        }
    }

    pub(super) fn text(self) -> Option<&'t str> {
        match self.node() {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(self) -> bool {
        self.node() == Node::Null
    }

    pub(super) fn is_object(self) -> bool {
        self.node() == Node::Object
    }

    pub(super) fn is_array(self) -> bool {
        self.node() == Node::Array
    }

    /// The elements; nothing for a value that is not an array.
    pub(super) fn items(self) -> Items<'t> {
        let end = if self.is_array() { self.end() } else { self.at + 1 };
        Items { nodes: self.nodes, at: self.at + 1, end }
    }

    /// Keys and values in the order of the text; nothing for a value that is not an object.
    pub(super) fn members(self) -> Members<'t> {
        let end = if self.is_object() { self.end() } else { self.at + 1 };
        Members(Items { nodes: self.nodes, at: self.at + 1, end })
    }

    /// The first member of this name.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        self.members().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The index of the first node behind this value.
    fn end(self) -> usize {
        match self.nodes[self.at] {
            simd_json::Node::Array { count, .. } | simd_json::Node::Object { count, .. } => self.at + 1 + count,
            _ => self.at + 1,
        }
    }
}

/// See [`Value::items`].
pub(super) struct Items<'t> {
    nodes: &'t [simd_json::Node<'t>],
    at: usize,
    end: usize,
}

impl<'t> Iterator for Items<'t> {
    type Item = Value<'t>;

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
pub(super) struct Members<'t>(Items<'t>);

impl<'t> Iterator for Members<'t> {
    type Item = (&'t str, Value<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?.text()?;
        Some((key, self.0.next()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::*;

    fn copy(value: Value<'_>) -> Json {
        match value.node() {
            Node::Null => Json::Null,
            Node::Bool(value) => value.into(),
            Node::Int(value) => value.into(),
            Node::Uint(value) => value.into(),
            Node::Float(value) => value.into(),
            Node::Text(text) => text.into(),
            Node::Array => value.items().map(copy).collect(),
            Node::Object => Json::Object(value.members().map(|(key, value)| (key.to_owned(), copy(value))).collect()),
        }
    }

    fn read(reader: &mut Reader, text: &[u8]) -> Result<Json, Uncacheable> {
        reader.read(text, copy)
    }

    /// Numbers by value: `-0` and `0`, `1e2` and `100` may be read as different types.
    fn same(one: &Json, other: &Json) -> bool {
        match (one, other) {
            (Json::Number(one), Json::Number(other)) => one == other || one.as_f64() == other.as_f64(),
            (Json::Array(one), Json::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
            }
            (Json::Object(one), Json::Object(other)) => {
                one.len() == other.len()
                    && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
            }
            _ => one == other,
        }
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
            "[ -~]{0,80}".prop_map(Json::from),
        ];
        leaf.prop_recursive(5, 40, 12, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Json::from),
                prop::collection::vec((any::<String>(), inner), 0..12)
                    .prop_map(|members| Json::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        /// Both writings of serde_json, one reader for all of them.
        #[test]
        fn reads_what_serde_json_writes(values in prop::collection::vec(json(), 1..6)) {
            let mut reader = Reader::default();
            for value in &values {
                for text in [value.to_string(), format!("{value:#}")] {
                    let read = read(&mut reader, text.as_bytes());
                    prop_assert!(read.as_ref().is_ok_and(|read| same(read, value)), "{text}: {read:?}");
                }
            }
        }

        /// Whatever is made of a text, what is read is JSON, and the same value.
        #[test]
        fn reads_no_more_than_serde_json(
            value in json(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"[]{},:\" \\u0e-.\n\x00\xffdt"[..])), 1..4),
        ) {
            let mut text = value.to_string().into_bytes();
            for (at, byte) in edits {
                let at = at.index(text.len());
                text[at] = byte;
            }
            match (read(&mut Reader::default(), &text), serde_json::from_slice::<Json>(&text)) {
                (Ok(read), Ok(other)) => prop_assert!(same(&read, &other), "{read} {other}"),
                (Ok(read), Err(error)) => prop_assert!(false, "{read}, {error}"),
                (Err(Uncacheable::DuplicateKey), other) => prop_assert!(other.is_ok()),
                // An integer of many digits becomes a float in serde_json.
                (Err(_), Ok(other)) => prop_assert!(other.to_string().contains('e') || big(&other), "{other}"),
                (Err(_), Err(_)) => {}
            }
        }

        #[test]
        fn counts_marks(text: Vec<u8>) {
            prop_assert_eq!(marks(&text), text.iter().filter(|byte| b"[{,:".contains(byte)).count());
        }
    }

    fn big(value: &Json) -> bool {
        match value {
            Json::Number(number) => number.is_f64() && number.as_f64().is_some_and(|number| number.abs() > 9e18),
            Json::Array(items) => items.iter().any(big),
            Json::Object(members) => members.values().any(big),
            _ => false,
        }
    }

    #[test]
    fn bounds() {
        let mut reader = Reader::default();
        let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(read(&mut reader, nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(read(&mut reader, nested(JSON_DEPTH_MAX + 1).as_bytes()), Err(Uncacheable::Unreadable));
        let siblings = format!("[{}1]", "[[]],".repeat(1000));
        assert!(read(&mut reader, siblings.as_bytes()).is_ok(), "not one in the other");
        for (text, kept) in [("x".repeat(TREE_KEPT_BYTES_MAX / 2), true), ("x".repeat(TREE_KEPT_BYTES_MAX), false)] {
            assert_eq!(read(&mut reader, json!([text]).to_string().as_bytes()), Ok(json!([text])));
            assert_eq!(reader.copy.capacity() > 0, kept);
        }
        for count in [FINGERPRINT_VALUES_MAX - 1, FINGERPRINT_VALUES_MAX + 1] {
            let many = format!("[{}1]", "1,".repeat(count));
            assert_eq!(read(&mut reader, many.as_bytes()).is_ok(), count < FINGERPRINT_VALUES_MAX);
        }
    }

    #[test]
    fn twins() {
        let mut reader = Reader::default();
        for (text, twins) in [
            (r#"{"a":1,"b":1}"#, false),
            (r#"{"a":{"a":1},"b":{"a":1}}"#, false),
            (r#"{"a":1,"a":1}"#, true),
            (r#"{"a":1,"b":[[{"c":1,"\u0063":2}]]}"#, true),
            (r#"{"keys":1,"Keys":1}"#, true),
            ("{\"keys\":1,\"\u{212a}ey\u{17f}\":1}", true),
            ("{\"k\u{e9}\":1,\"\u{212a}\u{e9}\":1}", true),
            ("{\"k\u{e9}\":1,\"k\u{c9}\":1}", false),
            (r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"A":10}"#, true),
            (r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}"#, false),
            (r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"a":10}"#, true),
        ] {
            assert_eq!(read(&mut reader, text.as_bytes()).err(), twins.then_some(Uncacheable::DuplicateKey), "{text}");
        }
    }

    #[test]
    fn what_is_no_json() {
        let mut reader = Reader::default();
        for text in [
            "",
            " ",
            "nul",
            "[1,]",
            "{\"a\":}",
            "\"\u{1}\"",
            "\"\\ud800\"",
            "01",
            "1 2",
            "[1]]",
            "{} {}",
            "[\"a\nb\"]",
            "\u{feff}1",
        ] {
            assert_eq!(read(&mut reader, text.as_bytes()), Err(Uncacheable::Unreadable), "{text:?}");
        }
        assert_eq!(read(&mut reader, b"\"\xff\""), Err(Uncacheable::Unreadable));
        assert_eq!(read(&mut reader, b"[99999999999999999999]"), Err(Uncacheable::Unreadable));
        assert_eq!(read(&mut reader, b"[18446744073709551615,-9223372036854775808]"), Ok(json!([u64::MAX, i64::MIN])));
    }
}
