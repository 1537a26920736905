//! The parts of upstream replies that an answer is made of. Unknown members are passed over.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// OpenAI: a chunk of a stream or a whole body, of chat, completions or embeddings.
#[derive(Deserialize)]
pub(super) struct OpenAi<'a> {
    #[serde(borrow)]
    pub choices: Option<Vec<Choice<'a>>>,
    pub usage: Option<UsageWire>,
    pub error: Option<IgnoredAny>,
    #[serde(borrow)]
    pub data: Option<Vec<Embedding<'a>>>,
    #[serde(borrow)]
    pub model: Option<Cow<'a, str>>,
    // What a search found, as Perplexity and xAI put it.
    pub citations: Option<Many>,
    pub search_results: Option<Many>,
    pub related_questions: Option<Many>,
    pub images: Option<Many>,
}

/// Something that an entry has no place for, if there is anything of it.
pub(super) struct Many(pub bool);

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Empty;
        impl<'de> Visitor<'de> for Empty {
            type Value = bool;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
                Ok(value)
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
                Ok(!text.is_empty())
            }
            fn visit_unit<E: Error>(self) -> Result<bool, E> {
                Ok(false)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<bool, A::Error> {
                let mut any = false;
                while access.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(any)
            }
            /// An object counts if one of its members does: `{"content": null}` is nothing.
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<bool, A::Error> {
                let mut any = false;
                while let Some((_, Many(more))) = access.next_entry::<IgnoredAny, Many>()? {
                    any |= more;
                }
                Ok(any)
            }
        }
        deserializer.deserialize_any(Empty).map(Many)
    }
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    pub index: Option<u64>,
    #[serde(borrow, alias = "message")]
    pub delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
    #[serde(borrow)]
    pub finish_reason: Option<Cow<'a, str>>,
    pub error: Option<IgnoredAny>,
    pub logprobs: Option<Many>,
    pub token_ids: Option<Many>,
    pub hidden_states: Option<Many>,
}

#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
    #[serde(borrow)]
    pub reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    pub reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    pub reasoning_details: Option<Vec<Detail<'a>>>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<CallWire<'a>>>,
    #[serde(borrow)]
    pub refusal: Option<Text<'a>>,
    pub function_call: Option<IgnoredAny>,
    pub audio: Option<IgnoredAny>,
    pub annotations: Option<Many>,
    pub images: Option<Many>,
    pub thinking_blocks: Option<Many>,
    pub extra_content: Option<Many>,
}

/// OpenRouter's: text, or something sealed that an entry can't hold.
#[derive(Deserialize)]
pub(super) struct Detail<'a> {
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
    #[serde(borrow)]
    pub summary: Option<Text<'a>>,
    pub signature: Option<IgnoredAny>,
    pub data: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct CallWire<'a> {
    pub index: Option<u64>,
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub function: Option<FunctionWire<'a>>,
    /// Gemini's signature of its thoughts, without which it takes no further turn.
    pub extra_content: Option<Many>,
}

#[derive(Deserialize)]
pub(super) struct FunctionWire<'a> {
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct UsageWire {
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    pub total_tokens: Option<u64>,
    pub prompt_tokens_details: Option<DetailsWire>,
    pub completion_tokens_details: Option<DetailsWire>,
}

#[derive(Deserialize)]
pub(super) struct DetailsWire {
    pub cached_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Embedding<'a> {
    pub index: Option<u64>,
    #[serde(borrow)]
    pub embedding: &'a RawValue,
}

/// Ollama: a line of a stream or a whole body, of chat, generate, embed or embeddings.
#[derive(Deserialize)]
pub(super) struct Ollama<'a> {
    #[serde(borrow)]
    pub model: Option<Cow<'a, str>>,
    pub logprobs: Option<Many>,
    #[serde(borrow)]
    pub message: Option<Message<'a>>,
    #[serde(borrow)]
    pub response: Option<Text<'a>>,
    #[serde(borrow)]
    pub thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<CallWire<'a>>>,
    pub done: Option<bool>,
    #[serde(borrow)]
    pub done_reason: Option<Cow<'a, str>>,
    pub context: Option<Vec<u32>>,
    pub prompt_eval_count: Option<u64>,
    pub eval_count: Option<u64>,
    pub error: Option<IgnoredAny>,
    #[serde(borrow)]
    pub embeddings: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub embedding: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub content: Option<Text<'a>>,
    #[serde(borrow)]
    pub thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<CallWire<'a>>>,
    pub images: Option<Many>,
}

/// A string as bytes: half of a surrogate pair may stand alone, its other half in the next event (T8). The halves are
/// three bytes each, as UTF-8 would spell them if it could.
pub(super) struct Text<'a>(pub Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Cow<'de, [u8]>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(bytes))
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Cow::Owned(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(TextVisitor).map(Text)
    }
}

/// A string, or Mistral's list of parts.
pub(super) enum Content<'a> {
    Text(Text<'a>),
    Parts(Vec<Part<'a>>),
}

#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
    #[serde(borrow)]
    pub thinking: Option<Vec<ThinkingPart<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct ThinkingPart<'a> {
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of parts")
            }
            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Content::Text(Text(Cow::Borrowed(bytes))))
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Content::Text(Text(Cow::Owned(bytes.to_vec()))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = access.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_bytes(ContentVisitor)
    }
}
