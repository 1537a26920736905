//! JSON schema (draft 7) of the configuration file, for editors. It is a help while typing; `thinkgate check` decides.

use serde_json::{Map, Value as Json, json};

use super::kind::Kind;
use super::settings::ThinkPolicy;
use super::table::{ROWS, Row};
use super::think::{ANCHORS, STARTS};
use crate::base::bounds::{DELIMITER_BYTES_MAX, LISTEN_MAX, MODEL_RULES_MAX, PROFILE_LIST_MAX, PROFILES_MAX};

/// The schema as indented JSON with a final line end.
#[must_use]
pub fn schema() -> String {
    let mut root = section();
    for row in ROWS.iter().filter(|row| row.built) {
        if let Some(key) = row.key {
            insert(&mut root, key, property(row));
        }
    }
    root.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.insert("title".to_owned(), json!("thinkgate.yaml"));
    format!("{:#}\n", Json::Object(root))
}

/// An object that takes only what it names.
fn section() -> Map<String, Json> {
    let mut section = Map::new();
    section.insert("type".to_owned(), json!(["object", "null"]));
    section.insert("additionalProperties".to_owned(), json!(false));
    section.insert("properties".to_owned(), json!({}));
    section
}

/// Puts a property at its dotted path.
fn insert(parent: &mut Map<String, Json>, path: &str, property: Json) {
    let Some(Json::Object(properties)) = parent.get_mut("properties") else { return };
    match path.split_once('.') {
        None => {
            properties.insert(path.to_owned(), property);
        }
        Some((first, rest)) => {
            let child = properties.entry(first).or_insert_with(|| Json::Object(section()));
            if let Json::Object(child) = child {
                insert(child, rest, property);
            }
        }
    }
}

fn property(row: &Row) -> Json {
    let mut property = shape(&row.kind);
    if let Json::Object(property) = &mut property {
        let range = row.kind.range().filter(|_| !matches!(row.kind, Kind::Choice { .. }));
        let range = range.map(|range| format!(" ({range})")).unwrap_or_default();
        property.insert("description".to_owned(), json!(format!("{}{range}", row.help)));
        if let Some(default) = row.default {
            property.insert("default".to_owned(), default_of(row, default));
        }
    }
    property
}

fn default_of(row: &Row, default: &str) -> Json {
    match row.kind {
        Kind::Switch { .. } => json!(default == "true"),
        Kind::Integer { .. } => default.parse::<u64>().map_or(json!(default), |number| json!(number)),
        _ => json!(default),
    }
}

fn shape(kind: &Kind) -> Json {
    match kind {
        Kind::Switch { .. } => json!({ "type": "boolean" }),
        Kind::Duration { min, max, zero_is_off, .. } => {
            let min = if *zero_is_off { 0 } else { *min };
            text_or_number(r"^\s*[0-9]+\s*(ms|s|m|h|d)?\s*$", min, *max)
        }
        Kind::Size { min, max, .. } => {
            text_or_number(r"^\s*[0-9]+\s*([KkMmGgTt][Ii][Bb]|[KkMmGg][Bb]|[Bb])?\s*$", *min, *max)
        }
        Kind::Integer { min, max, .. } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Choice { names, unbuilt, .. } => {
            json!({ "enum": names.iter().filter(|name| !unbuilt.contains(name)).collect::<Vec<_>>() })
        }
        Kind::Url { .. } => json!({ "type": "string", "pattern": "^\\s*[Hh][Tt][Tt][Pp][Ss]?://" }),
        Kind::Listen { .. } => json!({ "anyOf": [{ "type": "string" }, texts(1, LISTEN_MAX)] }),
        Kind::Names { .. } => {
            json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        Kind::Models { .. } => models(),
        Kind::Profiles { .. } => profiles(),
        Kind::Path { .. } | Kind::Secret { .. } | Kind::Text { .. } | Kind::Shorthand { .. } | Kind::ConfigFile => {
            json!({ "type": "string" })
        }
    }
}

fn text_or_number(pattern: &str, min: u64, max: u64) -> Json {
    json!({ "anyOf": [
        { "type": "integer", "minimum": min, "maximum": max },
        { "type": "string", "pattern": pattern },
    ] })
}

fn texts(min: usize, max: usize) -> Json {
    json!({ "type": "array", "minItems": min, "maxItems": max, "items": { "type": "string" } })
}

fn names<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(name, _)| *name).collect()
}

fn models() -> Json {
    let name = json!({ "type": "string", "minLength": 1 });
    json!({ "type": "array", "maxItems": MODEL_RULES_MAX, "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["match", "profile"],
        "properties": { "match": name, "profile": name, "policy": { "enum": ThinkPolicy::NAMES } },
    } })
}

fn profiles() -> Json {
    let delimiter = json!({ "type": "string", "minLength": 1, "maxLength": DELIMITER_BYTES_MAX });
    let delimiters = json!({ "type": "array", "maxItems": PROFILE_LIST_MAX, "items": delimiter });
    let pair = json!({ "type": "array", "minItems": 2, "maxItems": 2, "items": delimiter });
    json!({ "type": "object", "maxProperties": PROFILES_MAX, "additionalProperties": {
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {
            "pairs": { "type": "array", "minItems": 1, "maxItems": PROFILE_LIST_MAX, "items": pair },
            "start": { "enum": names(STARTS) },
            "anchor": { "enum": names(ANCHORS) },
            "trim": { "type": "boolean" },
            "drop_leading_close": { "type": "boolean" },
            "ends": delimiters,
            "label": { "type": "string", "maxLength": DELIMITER_BYTES_MAX },
            "glue": delimiters,
        },
    } })
}
