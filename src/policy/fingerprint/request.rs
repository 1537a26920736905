//! The top of a request in canonical form: every key by its rule, sorted by canonical name.

use super::chat;
use super::knobs::{OLLAMA, OPENAI, OPTIONS, Rule, Same, find};
use super::sink::{Sink, sort};
use super::tree::{Node, Value};
use super::{Scope, Uncacheable};
use crate::wire::answer::{Family, Kind};

/// One part of the request that counts; `key` is how the body calls it, `name` what it means.
struct Part<'t> {
    name: &'static str,
    key: &'t str,
    rule: Rule,
    value: Value<'t>,
}

/// Names of keys that no table lists; they count under their own key and dialect, so they can't pass for a canonical one.
const UNLISTED: &str = "?";
const UNLISTED_OPTION: &str = "?options";

/// Writes endpoint, model and every part that counts. `only`: as if this element were all that is to be embedded.
pub(super) fn write(
    sink: &mut Sink,
    scope: &Scope<'_>,
    body: Value<'_>,
    only: Option<usize>,
) -> Result<(), Uncacheable> {
    sink.tag(scope.kind.family() as u8);

    let model = match scope.model {
        Some(model) => Some(model),
        None => body.get("model").and_then(Value::text),
    };
    sink.text(model.filter(|model| !model.is_empty()).ok_or(Uncacheable::NoPrompt)?);

    let mut parts = Vec::with_capacity(24);
    let table = if scope.kind.is_openai() { OPENAI } else { OLLAMA };
    collect(table, UNLISTED, body, &mut parts)?;
    parts.sort_unstable_by_key(|part| (part.name, part.key));
    require_prompt(scope.kind.family(), &parts)?;
    if !scope.sampled {
        require_certainty(scope.kind.family(), &parts)?;
    }
    for part in &parts {
        sink.tag(b'=');
        sink.text(part.name);
        match (part.rule, only.and_then(|at| part.value.items().nth(at))) {
            (Rule::Input, Some(item)) => one_or_many(sink, item)?,
            _ => write_part(sink, part, scope.kind)?,
        }
    }
    sink.tag(b'.');
    Ok(())
}

/// Takes the members of the body or of `options`; `Out` and values that mean absence stay behind.
fn collect<'t>(
    table: &'static [super::Knob],
    unlisted: &'static str,
    object: Value<'t>,
    parts: &mut Vec<Part<'t>>,
) -> Result<(), Uncacheable> {
    let mut members: Vec<_> = object.members().collect();
    sort(&mut members);
    for (key, value) in members {
        let Some(rule) = find(table, key) else {
            parts.push(Part { name: unlisted, key, rule: Rule::In(unlisted), value });
            continue;
        };
        if let Rule::Exact(name, same) = rule {
            if !same.is_some_and(|same| is(value, same)) {
                parts.push(Part { name, key, rule: Rule::In(name), value });
            }
            continue;
        }
        if value.is_null() {
            continue;
        }
        let name = match rule {
            Rule::Out | Rule::Model => continue,
            Rule::Never(refusal) => return Err(refusal),
            Rule::Flag if is_switch(value) => continue,
            Rule::StreamOptions if value.is_object() && is_switch_or_absent(value.get("include_usage")) => {
                // A replay counts once, at the end.
                match value.get("continuous_usage_stats") {
                    None => continue,
                    Some(stats) if stats.is_null() || is(stats, Same::False) => continue,
                    Some(_) => return Err(Uncacheable::NoSwitch),
                }
            }
            Rule::Flag | Rule::StreamOptions => return Err(Uncacheable::NoSwitch),
            Rule::Encoding => match value.text() {
                Some("float") => continue,
                Some("base64") if !has_unlisted_in(table, object) => continue,
                _ => return Err(Uncacheable::Encoding),
            },
            Rule::Only(same, refusal) => {
                if !is(value, same) {
                    return Err(refusal);
                }
                continue;
            }
            Rule::Unless(_, same) if is(value, same) => continue,
            Rule::In(name) | Rule::Unless(name, _) | Rule::Exact(name, _) => name,
            Rule::Options if value.is_object() && unlisted == UNLISTED => {
                collect(OPTIONS, UNLISTED_OPTION, value, parts)?;
                continue;
            }
            Rule::Options => "options",
            Rule::Modalities => {
                if !value.items().all(|item| item.text() == Some("text")) || !value.is_array() {
                    return Err(Uncacheable::Modality);
                }
                continue;
            }
            Rule::Messages => "messages",
            Rule::Prompt => "prompt",
            Rule::Input => "input",
            Rule::Images | Rule::Tools if is(value, Same::Empty) => continue,
            Rule::Images => "images",
            Rule::Tools => "tools",
            Rule::Stop => "stop",
            Rule::Format if is(value, Same::Empty) && value.text().is_some() => continue,
            Rule::ResponseFormat if only_type(value, "text") => continue,
            Rule::Format | Rule::ResponseFormat => "format",
            Rule::Think | Rule::Effort => "think",
        };
        parts.push(Part { name, key, rule, value });
    }
    Ok(())
}

/// A key that no table knows: what it does is unknown.
pub(super) fn has_unlisted(kind: Kind, body: Value<'_>) -> bool {
    has_unlisted_in(if kind.is_openai() { OPENAI } else { OLLAMA }, body)
}

fn has_unlisted_in(table: &'static [super::Knob], object: Value<'_>) -> bool {
    object.members().any(|(key, _)| find(table, key).is_none())
}

fn is_switch(value: Value<'_>) -> bool {
    matches!(value.node(), Node::Bool(_))
}

fn is_switch_or_absent(value: Option<Value<'_>>) -> bool {
    value.is_none_or(|value| value.is_null() || is_switch(value))
}

/// Does this value mean what absence means?
fn is(value: Value<'_>, same: Same) -> bool {
    let number = |wanted: f64| match value.node() {
        Node::Int(number) => number as f64 == wanted,
        Node::Uint(number) => number as f64 == wanted,
        Node::Float(number) => number == wanted,
        _ => false,
    };
    match same {
        Same::True => matches!(value.node(), Node::Bool(true)),
        Same::False => matches!(value.node(), Node::Bool(false)),
        Same::Zero => number(0.0),
        Same::One => number(1.0),
        Same::Auto => value.text() == Some("auto"),
        Same::Empty => match value.node() {
            Node::Text(text) => text.is_empty(),
            Node::Array => value.items().next().is_none(),
            Node::Object => value.members().next().is_none(),
            _ => false,
        },
    }
}

/// `{"type": kind}` and nothing else.
fn only_type(value: Value<'_>, kind: &str) -> bool {
    let mut members = value.members();
    matches!(members.next(), Some(("type", value)) if value.text() == Some(kind)) && members.next().is_none()
}

/// Something must be asked: Ollama takes an empty request as "load the model".
fn require_prompt(family: Family, parts: &[Part<'_>]) -> Result<(), Uncacheable> {
    let has = |name| parts.iter().any(|part| part.name == name && !is(part.value, Same::Empty));
    let asked = match family {
        Family::Chat => has("messages"),
        Family::Completion | Family::Generate => has("prompt") || (has("images") && family == Family::Generate),
        Family::Embed => has("input"),
        Family::EmbedOne => has("prompt"),
    };
    if asked { Ok(()) } else { Err(Uncacheable::NoPrompt) }
}

/// A temperature of 0, by word: what is left out is above 0 with every server. Vectors are never sampled.
fn require_certainty(family: Family, parts: &[Part<'_>]) -> Result<(), Uncacheable> {
    let cold = |part: &Part<'_>| part.name == "temperature" && is(part.value, Same::Zero);
    let certain = matches!(family, Family::Embed | Family::EmbedOne) || parts.iter().any(cold);
    if certain { Ok(()) } else { Err(Uncacheable::Sampled) }
}

fn write_part(sink: &mut Sink, part: &Part<'_>, kind: Kind) -> Result<(), Uncacheable> {
    let value = part.value;
    match part.rule {
        Rule::In(UNLISTED | UNLISTED_OPTION) => {
            sink.tag(kind.is_openai().into());
            sink.text(part.key);
            sink.value(value)
        }
        Rule::Messages => chat::messages(sink, value, kind.is_openai()),
        Rule::Images => {
            sink.tag(b'a');
            value.items().try_for_each(|image| chat::image(sink, image, None))?;
            sink.tag(b'.');
            Ok(())
        }
        Rule::Prompt => prompt(sink, value, kind.family()),
        Rule::Tools => tools(sink, value),
        Rule::Stop | Rule::Input => one_or_many(sink, value),
        Rule::Format => format(sink, value),
        Rule::ResponseFormat => response_format(sink, value),
        Rule::Think | Rule::Effort => match value.node() {
            Node::Bool(false) => {
                sink.text("none");
                Ok(())
            }
            _ => sink.value(value),
        },
        _ => sink.value(value),
    }
}

/// A prompt, or a list of exactly one.
fn prompt(sink: &mut Sink, value: Value<'_>, family: Family) -> Result<(), Uncacheable> {
    if family == Family::Completion && value.is_array() {
        let mut items = value.items();
        let (first, second) = (items.next(), items.next());
        match first {
            Some(only) if second.is_none() && !matches!(only.node(), Node::Int(_) | Node::Uint(_)) => {
                return sink.value(only);
            }
            Some(first) if first.text().is_some() || first.is_array() => return Err(Uncacheable::ManyAnswers),
            _ => {}
        }
    }
    sink.value(value)
}

/// One text is the same as a list of one text.
fn one_or_many(sink: &mut Sink, value: Value<'_>) -> Result<(), Uncacheable> {
    if value.text().is_some() {
        sink.tag(b'a');
        sink.value(value)?;
        sink.tag(b'.');
        return Ok(());
    }
    // A text may speak of a place; what is described by an object may lie there.
    if std::iter::once(value).chain(value.items()).any(|item| item.is_object() && chat::names_a_place(item)) {
        return Err(Uncacheable::RemoteContent);
    }
    sink.value(value)
}

/// A function tool is its function; `strict: false` is the default.
fn tools(sink: &mut Sink, value: Value<'_>) -> Result<(), Uncacheable> {
    if !value.is_array() {
        return sink.value(value);
    }
    sink.tag(b'a');
    for tool in value.items() {
        // Others are run by the server, on what it finds there and then.
        if tool.get("type").and_then(Value::text).is_some_and(|kind| !matches!(kind, "function" | "custom")) {
            return Err(Uncacheable::SideEffect);
        }
        let plain = tool.members().all(|(key, value)| match key {
            "function" => value.is_object(),
            "type" => value.text() == Some("function"),
            _ => false,
        });
        match tool.get("function") {
            Some(function) if plain && tool.members().count() <= 2 => {
                sink.tag(b'F');
                sink.object_without(function, |key, value| match key {
                    "description" | "parameters" | "strict" if value.is_null() => true,
                    "strict" => is(value, Same::False),
                    _ => false,
                })?;
            }
            _ => sink.value(tool)?,
        }
    }
    sink.tag(b'.');
    Ok(())
}

/// Ollama: `"json"`, or a schema.
fn format(sink: &mut Sink, value: Value<'_>) -> Result<(), Uncacheable> {
    if value.text() == Some("json") {
        sink.tag(b'J');
        return Ok(());
    }
    if value.is_object() {
        return schema(sink, value, None, |_, _| true);
    }
    sink.value(value)
}

/// OpenAI: `json_object`, or a schema with a name. The name that a translation invents (`response`) and `strict: false`
/// count as absent.
fn response_format(sink: &mut Sink, value: Value<'_>) -> Result<(), Uncacheable> {
    if only_type(value, "json_object") {
        sink.tag(b'J');
        return Ok(());
    }
    let known = value.members().count() == 2 && value.get("type").and_then(Value::text) == Some("json_schema");
    let wrapper = value.get("json_schema").filter(|_| known);
    let inner = wrapper.and_then(|wrapper| wrapper.get("schema")).filter(|schema| schema.is_object());
    match (wrapper, inner) {
        (Some(wrapper), Some(inner)) => schema(sink, inner, Some(wrapper), |key, value| match key {
            "schema" => true,
            "name" | "description" | "strict" if value.is_null() => true,
            "name" => value.text() == Some("response"),
            "strict" => is(value, Same::False),
            _ => false,
        }),
        _ => sink.value(value),
    }
}

fn schema(
    sink: &mut Sink,
    schema: Value<'_>,
    around: Option<Value<'_>>,
    skip: impl Fn(&str, Value<'_>) -> bool,
) -> Result<(), Uncacheable> {
    sink.tag(b'S');
    sink.value(schema)?;
    match around {
        Some(around) => sink.object_without(around, skip),
        None => {
            sink.tag(b'o');
            sink.count(0);
            Ok(())
        }
    }
}
