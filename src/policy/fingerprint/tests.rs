use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Fingerprint, Fingerprinter, InstallKey, Knob, OLLAMA, OPENAI, OPTIONS, Rule, Scope, Uncacheable};
use crate::base::bounds::FINGERPRINT_VALUES_MAX;
use crate::wire::answer::Kind;

fn scope(kind: Kind) -> Scope<'static> {
    Scope { tenant: b"t", route: b"r", credential: b"", profile: b"", model: None, kind, sampled: true }
}

fn print(kind: Kind, body: &[u8]) -> Result<Fingerprint, Uncacheable> {
    Fingerprinter::new(InstallKey([7; 32])).fingerprint(&scope(kind), body)
}

fn of(kind: Kind, body: &Value) -> Fingerprint {
    print(kind, body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {body}"))
}

fn openai(body: &Value) -> Fingerprint {
    of(Kind::OpenAiChat, body)
}

fn ollama(body: &Value) -> Fingerprint {
    of(Kind::OllamaChat, body)
}

fn refused(kind: Kind, body: &Value) -> Option<Uncacheable> {
    print(kind, body.to_string().as_bytes()).err()
}

/// The same JSON value, written another way: keys turned, blanks between, characters escaped, whole numbers with a point.
fn respell(value: &Value, style: u64, out: &mut String) {
    let blank = ["", " ", "\n\t", "  "][(style % 4) as usize];
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            let turn = (style / 4) as usize % members.len().max(1);
            members.rotate_left(turn);
            if style.is_multiple_of(3) {
                members.reverse();
            }
            out.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(blank);
                respell(&Value::String(key.clone()), style, out);
                out.push_str(blank);
                out.push(':');
                respell(value, style.rotate_left(5) ^ at as u64, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(blank);
                respell(item, style.rotate_left(7) ^ at as u64, out);
            }
            out.push(']');
        }
        Value::String(text) if style & 16 != 0 => {
            out.push('"');
            for unit in text.encode_utf16() {
                out.push_str(&format!("\\u{unit:04X}"));
            }
            out.push('"');
        }
        Value::Number(number) if style & 32 != 0 && number.as_i64().is_some_and(|number| number.abs() < 1 << 40) => {
            out.push_str(&format!("{number}.0"));
        }
        other => out.push_str(&other.to_string()),
    }
}

fn respelled(value: &Value, style: u64) -> Vec<u8> {
    let mut out = String::new();
    respell(value, style, &mut out);
    out.into_bytes()
}

/// What two chat requests have in common, whoever spells it.
#[derive(Clone, Debug)]
struct Chat {
    model: String,
    turns: Vec<Turn>,
    numbers: Vec<(usize, f64)>,
    stop: Option<Vec<String>>,
    format: u8,
    think: u8,
    tools: bool,
}

#[derive(Clone, Debug)]
enum Turn {
    Said { role: u8, text: String },
    Shown { text: String, image: Vec<u8> },
    Called { name: String, argument: i32, result: String },
}

/// (OpenAI's name, Ollama's name, whether it is whole)
const NUMBERS: [(&str, &str, bool); 6] = [
    ("temperature", "temperature", false),
    ("max_tokens", "num_predict", true),
    ("seed", "seed", true),
    ("top_p", "top_p", false),
    ("presence_penalty", "presence_penalty", false),
    ("frequency_penalty", "frequency_penalty", false),
];
const SCHEMA: &str = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;

impl Chat {
    fn numbers(&self, ollama: bool, into: &mut Map<String, Value>) {
        for (at, value) in &self.numbers {
            let (openai_name, ollama_name, whole) = NUMBERS[*at];
            let value = if whole { json!((value * 100.0) as i64) } else { json!(value) };
            into.insert((if ollama { ollama_name } else { openai_name }).to_owned(), value);
        }
    }

    fn tools() -> Value {
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])
    }

    fn openai(&self) -> Value {
        let mut body = Map::new();
        let mut messages = Vec::new();
        for (at, turn) in self.turns.iter().enumerate() {
            match turn {
                Turn::Said { role, text } => {
                    messages.push(json!({"role": role_name(*role, "system"), "content": text}));
                }
                Turn::Shown { text, image } => messages.push(json!({"role": "user", "content": [
                    {"type": "text", "text": text},
                    {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{}", base64(image))}},
                ]})),
                Turn::Called { name, argument, result } => {
                    let id = format!("call_{at}");
                    messages.push(json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [
                        {"id": id, "type": "function", "function": {
                            "name": name, "arguments": format!("{{ \"n\": {argument}, \"m\": [] }}")}},
                    ]}));
                    messages.push(json!({"role": "tool", "tool_call_id": id, "content": result}));
                }
            }
        }
        body.insert("messages".into(), messages.into());
        body.insert("model".into(), self.model.clone().into());
        self.numbers(false, &mut body);
        if let Some(stop) = &self.stop {
            body.insert("stop".into(), if stop.len() == 1 { stop[0].clone().into() } else { json!(stop) });
        }
        match self.format % 3 {
            1 => body.insert("response_format".into(), json!({"type": "json_object"})),
            2 => body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": {
                "name": "response", "strict": false, "schema": serde_json::from_str::<Value>(SCHEMA).unwrap_or_default()}})),
            _ => None,
        };
        match self.think % 4 {
            1 => body.insert("reasoning_effort".into(), "none".into()),
            2 => body.insert("reasoning_effort".into(), "high".into()),
            3 => body.insert("reasoning_effort".into(), Value::Null),
            _ => None,
        };
        if self.tools {
            body.insert("tools".into(), Self::tools());
            body.insert("tool_choice".into(), "auto".into());
        }
        Value::Object(body)
    }

    fn ollama(&self) -> Value {
        let mut body = Map::new();
        let mut options = Map::new();
        let mut messages = Vec::new();
        for (at, turn) in self.turns.iter().enumerate() {
            match turn {
                Turn::Said { role, text } => {
                    messages.push(json!({"role": role_name(*role, "System"), "content": text}));
                }
                Turn::Shown { text, image } => {
                    messages.push(json!({"role": "user", "content": text, "images": [base64(image)]}));
                }
                Turn::Called { name, argument, result } => {
                    let id = format!("tool-{at}");
                    messages.push(json!({"role": "assistant", "content": "", "tool_calls": [
                        {"id": id, "function": {"index": 0, "name": name, "arguments": {"m": [], "n": argument}}}]}));
                    messages.push(json!({"role": "tool", "tool_name": name, "tool_call_id": id, "content": result}));
                }
            }
        }
        body.insert("model".into(), self.model.clone().into());
        body.insert("messages".into(), messages.into());
        self.numbers(true, &mut options);
        if let Some(stop) = &self.stop {
            options.insert("stop".into(), json!(stop));
        }
        if !options.is_empty() {
            body.insert("options".into(), options.into());
        }
        match self.format % 3 {
            1 => body.insert("format".into(), "json".into()),
            2 => body.insert("format".into(), serde_json::from_str::<Value>(SCHEMA).unwrap_or_default()),
            _ => body.insert("format".into(), "".into()),
        };
        match self.think % 4 {
            1 => body.insert("think".into(), false.into()),
            2 => body.insert("think".into(), "high".into()),
            _ => None,
        };
        if self.tools {
            body.insert("tools".into(), Self::tools());
        }
        body.insert("keep_alive".into(), "5m".into());
        Value::Object(body)
    }
}

fn role_name(role: u8, system: &'static str) -> &'static str {
    ["user", system, "assistant"][usize::from(role) % 3]
}

/// Enough of an encoder for a test: groups of three bytes only.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks_exact(3)
        .flat_map(|group| {
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift) as usize & 63] as char)
        })
        .collect()
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (0u8..3, ".{0,12}").prop_map(|(role, text)| Turn::Said { role, text }),
        (".{1,8}", proptest::collection::vec(any::<u8>(), 3..12)).prop_map(|(text, image)| Turn::Shown { text, image }),
        ("[a-z]{1,6}", any::<i32>(), ".{0,8}").prop_map(|(name, argument, result)| Turn::Called {
            name,
            argument,
            result
        }),
    ]
}

fn chat() -> impl Strategy<Value = Chat> {
    (
        "[a-z]{1,8}",
        proptest::collection::vec(turn(), 1..5),
        proptest::collection::btree_map(0usize..6, -2.0..2.0f64, 0..4),
        proptest::option::of(proptest::collection::vec(".{1,4}", 1..3)),
        0u8..3,
        0u8..4,
        any::<bool>(),
    )
        .prop_map(|(model, turns, numbers, stop, format, think, tools)| Chat {
            model,
            turns,
            numbers: numbers.into_iter().collect(),
            stop,
            format,
            think,
            tools,
        })
}

/// Every path to a scalar in a value.
fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            path.push(key.clone());
            leaves(value, path, found);
            path.pop();
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| {
            path.push(at.to_string());
            leaves(value, path, found);
            path.pop();
        }),
        _ => found.push(path.clone()),
    }
}

proptest! {
    #[test]
    fn dialects_and_spellings_meet(chat in chat(), style: u64, stream: bool) {
        let (mut one, mut other) = (chat.openai(), chat.ollama());
        let wanted = openai(&one);
        prop_assert_eq!(wanted, ollama(&other));
        one["stream"] = stream.into();
        one["stream_options"] = json!({"include_usage": stream});
        one["user"] = "someone".into();
        one["metadata"] = json!({"trace": style});
        one["n"] = 1.into();
        other["stream"] = (!stream).into();
        prop_assert_eq!(Ok(wanted), print(Kind::OpenAiChat, &respelled(&one, style)));
        prop_assert_eq!(Ok(wanted), print(Kind::OllamaChat, &respelled(&other, style.rotate_left(9))));
    }

    /// A name twice in any object, however deep: decoders disagree about which one counts.
    #[test]
    fn twins_are_refused(chat in chat(), pick: prop::sample::Index, from_ollama: bool) {
        let (kind, body) =
            if from_ollama { (Kind::OllamaChat, chat.ollama()) } else { (Kind::OpenAiChat, chat.openai()) };
        let text = body.to_string();
        // Behind a string that ends in a brace stands no letter.
        let opens = |at: &usize| text.as_bytes()[at + 2].is_ascii_alphabetic();
        let places: Vec<_> = text.match_indices("{\"").map(|(at, _)| at).filter(opens).map(|at| at + 1).collect();
        let at = *pick.get(&places);
        let key = text[at + 1..].split('"').next().unwrap_or_default();
        let twin = format!("{}\"{key}\":\"other\",{}", &text[..at], &text[at..]);
        prop_assert_eq!(print(kind, twin.as_bytes()), Err(Uncacheable::DuplicateKey), "{}", twin);
        let twin = format!("{}\"\\u{:04x}{}\":null,{}", &text[..at], key.as_bytes()[0], &key[1..], &text[at..]);
        prop_assert_eq!(print(kind, twin.as_bytes()), Err(Uncacheable::DuplicateKey), "{}", twin);
    }

    /// Whatever scalar of a request is changed, the key changes, unless the table says that it doesn't count.
    #[test]
    fn every_leaf_counts(chat in chat(), pick: prop::sample::Index, from_ollama: bool) {
        let (kind, body) =
            if from_ollama { (Kind::OllamaChat, chat.ollama()) } else { (Kind::OpenAiChat, chat.openai()) };
        let mut found = Vec::new();
        leaves(&body, &mut Vec::new(), &mut found);
        let path = pick.get(&found);
        let last = path.last().map(String::as_str).unwrap_or_default();
        prop_assume!(path[0] != "keep_alive" && last != "index");
        let mut changed = body.clone();
        let place = path.iter().fold(&mut changed, |value, step| match value {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap_or(0)],
            other => &mut other[step.as_str()],
        });
        *place = match &*place {
            Value::Null => json!("not null"),
            Value::Bool(value) => json!(!value),
            Value::Number(number) => json!(number.as_f64().unwrap_or(0.0) + 1.5),
            Value::String(text) => json!(format!("{text}x")),
            other => other.clone(),
        };
        // A call's id is a label: what counts is which result belongs to it, and this change parts them.
        let before = print(kind, body.to_string().as_bytes());
        let after = print(kind, changed.to_string().as_bytes());
        prop_assert!(before.is_ok());
        prop_assert_ne!(before, after, "{:?}", path);
    }

    #[test]
    fn two_chats_differ(one in chat(), other in chat()) {
        let same = one.ollama() == other.ollama();
        prop_assert_eq!(openai(&one.openai()) == ollama(&other.ollama()), same);
    }

    #[test]
    fn any_bytes(bytes: Vec<u8>, at in 0usize..7) {
        let _ = print(Kind::ALL[at], &bytes);
    }

    #[test]
    fn any_cut_or_flip(chat in chat(), at: prop::sample::Index, byte: u8) {
        let mut text = chat.openai().to_string().into_bytes();
        let at = at.index(text.len());
        prop_assert!(print(Kind::OpenAiChat, &text[..at]).is_err());
        text[at] = byte;
        let _ = print(Kind::OpenAiChat, &text);
    }
}

fn hello() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
}

fn with(key: &str, value: Value) -> Value {
    let mut body = hello();
    body[key] = value;
    body
}

#[test]
fn tables_are_sorted_and_names_are_used_once_a_dialect() {
    for table in [OPENAI, OLLAMA, OPTIONS] {
        assert!(table.windows(2).all(|pair| pair[0].key < pair[1].key));
        assert!(table.iter().all(|knob| !knob.why.is_empty()));
    }
    let name = |knob: &Knob| match knob.rule {
        Rule::In(name) | Rule::Unless(name, _) | Rule::Exact(name, _) => Some(name),
        _ => None,
    };
    for tables in [vec![OPENAI], vec![OLLAMA, OPTIONS]] {
        let mut names: Vec<_> = tables.into_iter().flatten().filter_map(name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}

#[test]
fn every_row_does_what_it_says() {
    for knob in OPENAI {
        let value = json!("some value");
        let body = with(knob.key, value);
        let changed = print(Kind::OpenAiChat, body.to_string().as_bytes());
        let plain = Ok(openai(&hello()));
        let null = print(Kind::OpenAiChat, with(knob.key, Value::Null).to_string().as_bytes());
        match knob.rule {
            Rule::Out => assert_eq!(changed, plain, "{}", knob.key),
            Rule::Only(_, refusal) | Rule::Never(refusal) => assert_eq!(changed, Err(refusal), "{}", knob.key),
            Rule::Flag | Rule::StreamOptions => assert_eq!(changed, Err(Uncacheable::NoSwitch), "{}", knob.key),
            Rule::Encoding => assert_eq!(changed, Err(Uncacheable::Encoding), "{}", knob.key),
            _ => assert_ne!(changed, plain, "{}", knob.key),
        }
        if matches!(knob.rule, Rule::Exact(..)) {
            assert_ne!(null, plain, "{}", knob.key);
        } else if !matches!(knob.rule, Rule::Model | Rule::Messages) {
            assert_eq!(null, plain, "{}", knob.key);
        }
    }
    for knob in OPTIONS {
        let changed = ollama(&with("options", json!({ knob.key: 3 })));
        assert_eq!(changed == ollama(&hello()), knob.rule == Rule::Out, "{}", knob.key);
    }
}

#[test]
fn scope_counts() {
    let body = hello().to_string();
    let mut printer = Fingerprinter::new(InstallKey([7; 32]));
    let base = scope(Kind::OpenAiChat);
    let scopes = [
        base,
        Scope { tenant: b"other", ..base },
        Scope { route: b"other", ..base },
        Scope { credential: b"other", ..base },
        Scope { profile: b"think 2", ..base },
        Scope { model: Some("other"), ..base },
        // No part runs into the next.
        Scope { tenant: b"tr", route: b"", ..base },
    ];
    let mut prints: Vec<_> = scopes.iter().map(|scope| printer.fingerprint(scope, body.as_bytes())).collect();
    prints.push(Fingerprinter::new(InstallKey([8; 32])).fingerprint(&base, body.as_bytes()));
    for (at, one) in prints.iter().enumerate() {
        assert!(one.is_ok());
        assert!(prints[..at].iter().all(|other| other != one), "{at}");
    }
    // A resolved model replaces the body's.
    let named = Scope { model: Some("m"), ..base };
    assert_eq!(printer.fingerprint(&named, body.as_bytes()), prints[0]);
    let aliased = body.replace("\"m\"", "\"alias\"");
    assert_eq!(printer.fingerprint(&named, aliased.as_bytes()), prints[0]);
}

#[test]
fn defaults_are_absence() {
    let plain = openai(&hello());
    for (key, value) in [
        ("n", json!(1.0)),
        ("logprobs", json!(false)),
        ("top_logprobs", json!(0)),
        ("tools", json!([])),
        ("tool_choice", json!("auto")),
        ("response_format", json!({"type": "text"})),
        ("logit_bias", json!({})),
        ("modalities", json!(["text"])),
        ("store", json!(false)),
    ] {
        assert_eq!(openai(&with(key, value)), plain, "{key}");
    }
    assert_eq!(ollama(&with("options", json!({}))), plain);
    assert_eq!(ollama(&with("options", json!({"num_gpu": 99}))), plain);
    assert_eq!(ollama(&with("truncate", json!(true))), plain);
}

#[test]
fn differences_that_must_stay() {
    let plain = openai(&hello());
    for (key, value) in [
        ("temperature", json!(0)),
        ("unheard_of", Value::Null),
        ("parallel_tool_calls", json!(false)),
        ("tool_choice", json!("none")),
        ("top_k", json!(1)),
        ("options", json!({"temperature": 0})),
        ("functions", json!([{"name": "f"}])),
    ] {
        assert_ne!(openai(&with(key, value)), plain, "{key}");
    }
    assert_ne!(openai(&with("max_tokens", json!(5))), openai(&with("max_completion_tokens", json!(5))));
    assert_ne!(openai(&with("top_k", json!(5))), ollama(&with("options", json!({"top_k": 5}))));
    assert_ne!(openai(&with("x", json!(1))), ollama(&with("x", json!(1))));
    assert_ne!(openai(&with("?", json!(1))), openai(&with("x", json!(1))));
    let strict =
        |strict| json!({"type": "json_schema", "json_schema": {"name": "response", "strict": strict, "schema": {}}});
    assert_ne!(openai(&with("response_format", strict(true))), openai(&with("response_format", strict(false))));
    // The last message decides, and so does the order.
    let said = |texts: [&str; 2]| json!({"model": "m", "messages": texts.map(|text| json!({"role": "user", "content": text}))});
    assert_ne!(openai(&said(["a", "b"])), openai(&said(["b", "a"])));
    assert_ne!(openai(&said(["ab", ""])), openai(&said(["a", "b"])));
}

#[test]
fn labels_of_calls_are_only_labels() {
    let talk = |first: &str, second: &str, answered: &str| {
        json!({"model": "m", "messages": [
            {"role": "assistant", "tool_calls": [
                {"id": first, "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": second, "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": answered, "content": "1"}]})
    };
    assert_eq!(openai(&talk("a", "b", "a")), openai(&talk("x", "y", "x")));
    assert_ne!(openai(&talk("a", "b", "a")), openai(&talk("a", "b", "b")));
}

#[test]
fn refusals() {
    use Uncacheable as U;
    let chat = Kind::OpenAiChat;
    for (body, wanted) in [
        (json!([]), U::Unreadable),
        (json!({"messages": [{"role": "user", "content": "x"}]}), U::NoPrompt),
        (json!({"model": "m", "messages": []}), U::NoPrompt),
        (json!({"model": "m", "messages": ["x"]}), U::Unreadable),
        (with("n", json!(2)), U::ManyAnswers),
        (with("logprobs", json!(true)), U::LogProbs),
        (with("store", json!(true)), U::SideEffect),
        (with("modalities", json!(["text", "audio"])), U::Modality),
        (with("seed", json!(1e30)), U::Number),
        (
            json!({"model": "m", "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}]}]}),
            U::RemoteContent,
        ),
        (
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "video_url", "video_url": "x"}]}]}),
            U::RemoteContent,
        ),
    ] {
        assert_eq!(refused(chat, &body), Some(wanted), "{body}");
    }
    let twice = br#"{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}"#;
    assert_eq!(print(chat, twice), Err(U::DuplicateKey));
    assert_eq!(print(chat, br#"{"model":"m","model":"n","messages":[{}]}"#), Err(U::DuplicateKey));
    let deep = format!("{{\"model\":\"m\",\"x\":{}{}}}", "[".repeat(100), "]".repeat(100));
    assert_eq!(print(chat, deep.as_bytes()), Err(U::Unreadable));
    assert_eq!(print(chat, &vec![b'['; 1 << 20]), Err(U::Unreadable));
    assert_eq!(print(chat, &vec![b' '; 9 << 20]), Err(U::TooLarge));
    let many = format!("{{\"model\":\"m\",\"x\":[{}1]}}", "1,".repeat(FINGERPRINT_VALUES_MAX));
    assert_eq!(print(chat, many.as_bytes()), Err(U::Unreadable));
    // Ollama loads or unloads a model on these.
    assert_eq!(refused(Kind::OllamaChat, &json!({"model": "m", "keep_alive": 0})), Some(U::NoPrompt));
    assert_eq!(refused(Kind::OllamaGenerate, &json!({"model": "m", "prompt": ""})), Some(U::NoPrompt));
    assert_eq!(refused(Kind::OllamaEmbed, &json!({"model": "m", "input": []})), Some(U::NoPrompt));
    assert_eq!(refused(Kind::OpenAiCompletions, &json!({"model": "m", "prompt": ["a", "b"]})), Some(U::ManyAnswers));
}

/// Pairs that some server answers differently: each of these was once one key.
#[test]
fn servers_tell_them_apart() {
    let schema = |properties: &str| {
        format!(
            r#"{{"type":"json_schema","json_schema":{{"name":"x","schema":{{"type":"object","properties":{properties}}}}}}}"#
        )
    };
    let asked = |rest: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"q"}}]{rest}}}"#);
    let said = |message: &str| format!(r#"{{"model":"m","messages":[{message}]}}"#);
    let function = |rest: &str| {
        asked(&format!(
            r#","tools":[{{"type":"function","function":{{"name":"f","parameters":{{"properties":{{"a":{{}}}}}}{rest}}}}}]"#
        ))
    };
    let order = |properties: &str| asked(&format!(r#","response_format":{}"#, schema(properties)));
    let (openai, ollama) = (Kind::OpenAiChat, Kind::OllamaChat);
    let called = |rest: &str| {
        said(&format!(
            r#"{{"role":"assistant","content":"","tool_calls":[{{"function":{{"name":"f","arguments":{{"a":1}}{rest}}}}}]}}"#
        ))
    };
    for (kind, one, other) in [
        // The order of properties is the order in which they are answered.
        (openai, order(r#"{"reasoning":{},"answer":{}}"#), order(r#"{"answer":{},"reasoning":{}}"#)),
        (
            ollama,
            asked(r#","format":{"properties":{"r":{},"a":{}}}"#),
            asked(r#","format":{"properties":{"a":{},"r":{}}}"#),
        ),
        // Go takes a name in any case, and null for nothing.
        (
            ollama,
            said(r#"{"role":"user","content":"q","images":["AAAA"]}"#),
            said(r#"{"role":"user","content":"q","images":["AAAA"],"Images":null}"#),
        ),
        (openai, said(r#"{"role":"user","content":"q"}"#), said(r#"{"role":"user","content":"q","Tool_Calls":null}"#)),
        (openai, function(""), function(r#","Parameters":null"#)),
        (ollama, called(""), called(r#","Arguments":null"#)),
        (
            openai,
            asked(r#","response_format":{"type":"json_schema","json_schema":{"schema":{}}}"#),
            asked(r#","response_format":{"type":"json_schema","json_schema":{"schema":{},"Schema":null}}"#),
        ),
        // Defaults that servers don't agree on.
        (openai, asked(""), asked(r#","parallel_tool_calls":true"#)),
        (openai, asked(""), asked(r#","parallel_tool_calls":null"#)),
        (openai, asked(""), asked(r#","tool_choice":null"#)),
        (openai, said(r#"{"role":"user","content":"q"}"#), said(r#"{"role":"USER","content":"q"}"#)),
        (
            openai,
            said(r#"{"role":"assistant","content":"q","reasoning":"t"}"#),
            said(r#"{"role":"assistant","content":"q","reasoning_content":"t"}"#),
        ),
        (
            openai,
            said(r#"{"role":"assistant","content":"q","reasoning":"t"}"#),
            said(r#"{"role":"assistant","content":[{"type":"text","text":"q"}],"reasoning":"t"}"#),
        ),
        (
            openai,
            said(r#"{"role":"tool","tool_call_id":"1","content":"q"}"#),
            said(r#"{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"q"}]}"#),
        ),
    ] {
        let (first, second) = (print(kind, one.as_bytes()), print(kind, other.as_bytes()));
        assert!(first.is_ok(), "{first:?} {one}");
        assert_ne!(first, second, "{one} {other}");
    }
}

#[test]
fn what_no_key_can_tell() {
    use Uncacheable as U;
    let said = |message: Value| json!({"model": "m", "messages": [message]});
    let file = json!({"type": "file", "file": {"file_id": "file-1"}});
    let svg = json!({"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}});
    for (body, wanted) in [
        (with("stream", json!(1)), U::NoSwitch),
        (with("stream", json!("true")), U::NoSwitch),
        (with("stream_options", json!({"include_usage": 1})), U::NoSwitch),
        (with("stream_options", json!({"include_usage": true, "continuous_usage_stats": true})), U::NoSwitch),
        (with("n_probs", json!(3)), U::LogProbs),
        (with("prompt_logprobs", json!(0)), U::LogProbs),
        (with("return_token_ids", json!(true)), U::LogProbs),
        (with("previous_response_id", json!("resp_1")), U::State),
        (with("session_id", json!("s")), U::State),
        (with("tools", json!([{"type": "mcp", "server_url": "https://example.org"}])), U::SideEffect),
        (with("tools", json!([{"type": "web_search"}])), U::SideEffect),
        (said(json!({"role": "user", "content": [file]})), U::RemoteContent),
        (said(json!({"role": "user", "content": [svg]})), U::RemoteContent),
        (said(json!({"role": "assistant", "audio": {"id": "audio_1"}})), U::RemoteContent),
        (json!({"model": "m", "messages": [{"role": "user", "content": "a", "Content": "b"}]}), U::DuplicateKey),
        (json!({"model": "m", "messages": [], "Messages": []}), U::DuplicateKey),
    ] {
        assert_eq!(refused(Kind::OpenAiChat, &body), Some(wanted), "{body}");
    }
    for (rest, wanted) in [
        (json!({"encoding_format": "bytes"}), U::Encoding),
        (json!({"encoding_format": "base64", "output_dtype": "int8"}), U::Encoding),
        (json!({"input": [{"image": "https://example.org/cat.png"}]}), U::RemoteContent),
    ] {
        let mut body = json!({"model": "m", "input": "https://example.org is a text"});
        assert_eq!(refused(Kind::OpenAiEmbeddings, &body), None);
        rest.as_object().into_iter().flatten().for_each(|(key, value)| body[key] = value.clone());
        assert_eq!(refused(Kind::OpenAiEmbeddings, &body), Some(wanted), "{body}");
    }
    let mut maker = Fingerprinter::new(InstallKey([7; 32]));
    let mut apart = |body: Value| maker.inputs(&scope(Kind::OpenAiEmbeddings), body.to_string().as_bytes()).len();
    assert_eq!(apart(json!({"model": "m", "input": ["a", "b"], "user": "u"})), 2);
    assert_eq!(apart(json!({"model": "m", "input": ["a", "b"], "late_chunking": true})), 0);
}

#[test]
fn completions_and_embeddings() {
    let text = |prompt| of(Kind::OpenAiCompletions, &json!({"model": "m", "prompt": prompt}));
    assert_eq!(text(json!("a")), text(json!(["a"])));
    assert_ne!(text(json!([1, 2])), text(json!([1, 3])));
    let generate = of(Kind::OllamaGenerate, &json!({"model": "m", "prompt": "a"}));
    assert_ne!(text(json!("a")), generate);
    let one = of(Kind::OpenAiEmbeddings, &json!({"model": "m", "input": "a", "encoding_format": "base64"}));
    let other = of(Kind::OllamaEmbed, &json!({"model": "m", "input": ["a"], "truncate": true}));
    assert_eq!(one, other);
    assert_ne!(one, of(Kind::OllamaEmbeddings, &json!({"model": "m", "prompt": "a"})));
    assert_ne!(one, of(Kind::OllamaEmbed, &json!({"model": "m", "input": ["a", "a"]})));
}

#[test]
fn one_printer_for_many_requests() {
    let mut printer = Fingerprinter::new(InstallKey([7; 32]));
    let scope = scope(Kind::OpenAiChat);
    let long = with("messages", json!([{"role": "user", "content": "word ".repeat(10_000)}])).to_string();
    let short = hello().to_string();
    let first = printer.fingerprint(&scope, short.as_bytes());
    assert!(printer.fingerprint(&scope, b"{").is_err());
    let second = printer.fingerprint(&scope, long.as_bytes());
    assert_ne!(first, second);
    assert_eq!(printer.fingerprint(&scope, short.as_bytes()), first);
    assert_eq!(printer.fingerprint(&scope, long.as_bytes()), second);
}

#[test]
fn sampled_answers_are_shared_only_where_that_is_wanted() {
    let mut maker = Fingerprinter::new(InstallKey([3; 32]));
    let mut made = |kind, sampled, body: &str| {
        maker.fingerprint(&Scope { sampled, ..scope(kind) }, body.as_bytes()).map_err(|why| why == Uncacheable::Sampled)
    };
    let openai = |rest: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"q"}}]{rest}}}"#);
    for (kind, rest, cold) in [
        (Kind::OpenAiChat, r#","temperature":0"#, true),
        (Kind::OpenAiChat, r#","temperature":0.0"#, true),
        (Kind::OpenAiChat, r#","temperature":0e3"#, true),
        (Kind::OpenAiChat, "", false),
        (Kind::OpenAiChat, r#","temperature":null"#, false),
        (Kind::OpenAiChat, r#","temperature":1e-9"#, false),
        (Kind::OpenAiChat, r#","temperature":"0""#, false),
        (Kind::OpenAiChat, r#","options":{"temperature":0}"#, false),
        (Kind::OllamaChat, r#","options":{"temperature":0}"#, true),
        (Kind::OllamaChat, r#","options":{"temperature":0.5}"#, false),
        (Kind::OllamaChat, r#","temperature":0"#, false),
        (Kind::OllamaChat, "", false),
    ] {
        assert_eq!(made(kind, false, &openai(rest)).err(), (!cold).then_some(true), "{kind:?} {rest}");
        assert_eq!(made(kind, true, &openai(rest)).err(), None, "{kind:?} {rest}");
    }
    let same = openai(r#","temperature":0"#);
    assert_eq!(made(Kind::OpenAiChat, false, &same), made(Kind::OpenAiChat, true, &same), "the key is the same");
    assert!(made(Kind::OpenAiEmbeddings, false, r#"{"model":"m","input":"x"}"#).is_ok(), "vectors are not sampled");
}
