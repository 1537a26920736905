//! The canned model: what it thinks, what it says, what it costs. No randomness: the same request, the same words.

use serde_json::{Map, Value, json};

/// Thinks inside `<think>` tags in its text, as a server without a reasoning parser sends it.
pub const INLINE: &str = "demo";
/// Thinks in a field of its own (`reasoning_content`, `thinking`).
pub const FIELDS: &str = "demo-fields";
/// Does not think.
pub const PLAIN: &str = "demo-plain";
pub const NAMES: [&str; 3] = [INLINE, FIELDS, PLAIN];

/// Numbers in an embedding.
const DIMENSIONS: usize = 8;

/// Where the thinking goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    Inline,
    Fields,
    Off,
}

impl Thinking {
    /// By model name, with or without Ollama's tag; `None` for an unknown model.
    pub fn of_model(name: &str) -> Option<Self> {
        match name.strip_suffix(":latest").unwrap_or(name) {
            INLINE => Some(Self::Inline),
            FIELDS => Some(Self::Fields),
            PLAIN => Some(Self::Off),
            _ => None,
        }
    }
}

/// One token of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    Thought(String),
    Text(String),
}

/// A call of the first tool that the request offered.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    pub name: String,
    pub arguments: Value,
}

/// A whole answer, ready to be sent at any pace.
#[derive(Debug)]
pub struct Turn {
    pub tokens: Vec<Token>,
    pub tool_call: Option<ToolCall>,
    /// `max_tokens` ended it.
    pub cut: bool,
    pub prompt_tokens: usize,
}

impl Turn {
    pub fn thought(&self) -> String {
        self.tokens
            .iter()
            .filter_map(|token| if let Token::Thought(text) = token { Some(text.as_str()) } else { None })
            .collect()
    }

    pub fn text(&self) -> String {
        self.tokens
            .iter()
            .filter_map(|token| if let Token::Text(text) = token { Some(text.as_str()) } else { None })
            .collect()
    }
}

/// What a request of either dialect comes down to.
pub struct Ask<'a> {
    pub thinking: Thinking,
    pub messages: &'a [Value],
    /// The first of `tools`, `null` without.
    pub tool: &'a Value,
    pub tokens_max: Option<u64>,
}

/// Answers the last message. A tool is called once: after its result comes text.
pub fn answer(ask: &Ask<'_>) -> Turn {
    let last = ask.messages.last().unwrap_or(&Value::Null);
    let question = content_text(&last["content"]);
    let tool_call = (last["role"] != "tool").then(|| tool_call(ask.tool)).flatten();
    let mut tokens = thinking_tokens(&question, ask.thinking);
    if tool_call.is_none() {
        tokens.extend(words(&reply(&question)).map(Token::Text));
    }
    let tokens_max = ask.tokens_max.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let cut = tokens.len() > tokens_max;
    tokens.truncate(tokens_max);
    let prompt_tokens = ask.messages.iter().map(|message| words(&content_text(&message["content"])).count() + 4).sum();
    Turn { tokens, tool_call: tool_call.filter(|_| !cut), cut, prompt_tokens }
}

fn thinking_tokens(question: &str, thinking: Thinking) -> Vec<Token> {
    let thought = format!(
        "The user asks: {question}\nLet me take it slowly. First what is known, then what follows from it. \
         If a < b and b < c, then a < c; nothing here contradicts that. I should answer in a few short sentences."
    );
    match thinking {
        Thinking::Off => Vec::new(),
        Thinking::Fields => words(&thought).map(Token::Thought).collect(),
        Thinking::Inline => {
            let opening = ["<think>", "\n"].into_iter().map(str::to_owned);
            let closing = ["\n", "</think>", "\n\n"].into_iter().map(str::to_owned);
            opening.chain(words(&thought)).chain(closing).map(Token::Text).collect()
        }
    }
}

fn reply(question: &str) -> String {
    let question = question.to_lowercase();
    if question.contains("sky") {
        "Sunlight holds every colour. Air scatters short waves more than long ones, so blue reaches your eye from all \
         over the sky, while red goes straight on. At dusk the path through the air is long, the blue is gone, and you see \
         the red."
            .to_owned()
    } else if question.contains("hello") || question.contains("hi") {
        "Hello! I am the demo model: small, polite, and built into the gateway.".to_owned()
    } else {
        "I am a canned model, so take this as a sample: é, 🦙, \"quotes\", a < b && c > d, back\\slash,\n\tand a new line."
            .to_owned()
    }
}

/// Pieces as a tokenizer would cut them: a word with the blank before it.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest[first.len_utf8()..].find([' ', '\n']).map_or(rest.len(), |at| at + first.len_utf8());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        Some(word.to_owned())
    })
}

/// Text of a message's `content`: a string, or the text parts of an array.
fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn tool_call(tool: &Value) -> Option<ToolCall> {
    let function = &tool["function"];
    let name = function["name"].as_str()?.to_owned();
    let mut arguments = Map::new();
    if let Some(properties) = function["parameters"]["properties"].as_object() {
        for (key, schema) in properties {
            arguments.insert(key.clone(), sample(schema));
        }
    }
    Some(ToolCall { name, arguments: Value::Object(arguments) })
}

fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("Paris"),
    }
}

/// A unit vector that depends on every byte of `text`.
pub fn embedding(text: &str) -> Vec<f32> {
    let mut state = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    let mut vector = Vec::with_capacity(DIMENSIONS);
    for dimension in 0..DIMENSIONS {
        for byte in text.bytes().chain([dimension as u8]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        vector.push(((state >> 40) as f32) / ((1_u32 << 23) as f32) - 1.0);
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter().map(|x| x / norm).collect()
}

/// Model tokens in `text`, by the same cut as the answers.
pub fn count(text: &str) -> usize {
    words(text).count()
}
