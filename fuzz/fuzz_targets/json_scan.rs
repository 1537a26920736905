//! The scanner against serde_json: what serde_json reads, the scanner reads too, and finds the same strings in the same
//! places; and the facts of a request are the ones that the tree has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use thinkgate::wire::json::scan::{Bad, Cursor, Kind};
use thinkgate::wire::json::string;
use thinkgate::wire::think::request_facts;

/// Build the value again from spans.
fn rebuild(cursor: &mut Cursor) -> Result<Value, Bad> {
    match cursor.peek()? {
        b'{' => {
            let mut map = serde_json::Map::new();
            cursor.object(|cursor, key| {
                let key: String = serde_json::from_slice(key.of(cursor.bytes)).map_err(|_| Bad)?;
                let value = rebuild(cursor)?;
                map.insert(key, value);
                Ok(())
            })?;
            Ok(Value::Object(map))
        }
        b'[' => {
            let mut items = vec![];
            cursor.array(|cursor| {
                items.push(rebuild(cursor)?);
                Ok(())
            })?;
            Ok(Value::Array(items))
        }
        _ => {
            let value = cursor.value()?;
            serde_json::from_slice(value.span.of(cursor.bytes)).map_err(|_| Bad)
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn check_units(raw: &[u8], text: &str) {
    let (mut at, mut units) = (0, vec![]);
    while at < raw.len() {
        let (unit, len) = string::unit(raw, at);
        match unit {
            string::Unit::Byte(byte) => units.push(u16::from(byte)),
            string::Unit::Code(code) => units.push(code),
            string::Unit::Broken => panic!("a legal string has no broken escapes"),
        }
        at += len;
    }
    if text.is_ascii() {
        assert_eq!(units, text.encode_utf16().collect::<Vec<_>>());
    }
    assert!(string::spells(raw, text));
}

fuzz_target!(|data: &[u8]| {
    let facts = request_facts(data);
    let mut cursor = Cursor::new(data, 0);
    let skipped = cursor.value();
    let Ok(tree) = serde_json::from_slice::<Value>(data) else { return };
    if depth(&tree) > 60 {
        return;
    }
    let skipped = skipped.expect("serde_json reads it");
    cursor.finish().expect("serde_json read all of it");
    if let (Kind::String, Value::String(text)) = (skipped.kind, &tree) {
        check_units(skipped.text().unwrap_or_default().of(data), text);
    }
    assert_eq!(rebuild(&mut Cursor::new(data, 0)).expect("serde_json reads it"), tree);
    let model = facts.model.map(|raw| [b"\"", raw, b"\""].concat());
    let model = model.map(|quoted| serde_json::from_slice::<String>(&quoted).expect("the body of a string"));
    assert_eq!(model.as_deref(), tree.get("model").and_then(Value::as_str));
    assert_eq!(facts.stream, tree.get("stream").and_then(Value::as_bool));
});
