//! Every key of a request that is known, what it does to the fingerprint, and why. One row a key, sorted by key.

use super::Uncacheable;

/// A row: a key at the top of the body (or in `options`) and its rule.
#[derive(Debug)]
pub struct Knob {
    pub key: &'static str,
    pub rule: Rule,
    pub why: &'static str,
}

/// What becomes of a key. `null` counts as absent for every listed key. Names in the rules are canonical: a key of one
/// dialect and a key of the other with the same name mean the same. Extensions that only some OpenAI servers read have
/// names of their own: Ollama's `/v1` ignores a `top_k`, its `/api` doesn't.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Counts, under this name.
    In(&'static str),
    /// Counts, but this value is the same as leaving the key out.
    Unless(&'static str, Same),
    /// Doesn't count.
    Out,
    /// Counts, and `null` counts as a value: servers disagree about whether it is the same as nothing.
    Exact(&'static str, Option<Same>),
    /// Nothing but this value can be cached.
    Only(Same, Uncacheable),
    /// Nothing at all can be cached with it.
    Never(Uncacheable),
    /// Doesn't count, but has to be true or false: some servers read `1` and `"true"` too.
    Flag,
    /// OpenAI's `stream_options`: as `Flag`, one level down.
    StreamOptions,
    /// OpenAI's `encoding_format`.
    Encoding,
    Model,
    Messages,
    Prompt,
    Input,
    Images,
    Tools,
    Stop,
    /// Ollama's `format`.
    Format,
    /// OpenAI's `response_format`.
    ResponseFormat,
    /// Ollama's `think`.
    Think,
    /// OpenAI's `reasoning_effort`.
    Effort,
    /// Ollama's `options`: its keys have a table of their own.
    Options,
    /// Text, or nothing else than text.
    Modalities,
}

/// A value that means what absence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    True,
    False,
    Zero,
    One,
    Auto,
    /// `""`, `[]` or `{}`.
    Empty,
}

/// Finds a row; the tables are sorted (a test sees to it).
pub(super) fn find(table: &'static [Knob], key: &str) -> Option<Rule> {
    table.binary_search_by(|knob| knob.key.cmp(key)).ok().map(|at| table[at].rule)
}

macro_rules! knobs {
    ($( $key:literal, $rule:expr, $why:literal; )*) => {
        &[$( Knob { key: $key, rule: { use Rule::*; $rule }, why: $why } ),*]
    };
}

/// `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, with the extensions that servers take at the top.
pub const OPENAI: &[Knob] = knobs! {
    "best_of", Only(Same::One, Uncacheable::ManyAnswers), "the server picks one of several; not the same as asking once";
    "cache_prompt", Out, "llama.cpp: reuse of its own state, not the answer";
    "conversation", Never(Uncacheable::State), "a conversation that the server remembers";
    "dimensions", In("dimensions"), "length of the vectors";
    "echo", Unless("echo", Same::False), "puts the prompt into the answer";
    "enable_thinking", In("enable_thinking"), "whether the model thinks";
    "encoding_format", Encoding, "how vectors are written; an entry is written either way, and what else servers offer is no vector of floats";
    "format", In("openai format"), "not OpenAI's; Ollama's servers read it on their own paths only";
    "frequency_penalty", In("frequency_penalty"), "sampling";
    "function_call", In("function_call"), "the old spelling; answers have another shape than with tools";
    "functions", In("functions"), "the old spelling; answers have another shape than with tools";
    "input", Input, "what is embedded";
    "keep_alive", Out, "how long the model stays loaded; a hit needs no model";
    "logit_bias", Unless("logit_bias", Same::Empty), "sampling";
    "logprobs", Only(Same::False, Uncacheable::LogProbs), "entries hold none";
    "max_completion_tokens", In("max_completion_tokens"), "where the answer ends; some servers ignore it, so it is not max_tokens";
    "max_tokens", In("max_tokens"), "where the answer ends";
    "messages", Messages, "the whole conversation";
    "metadata", Out, "labels for the provider's own records";
    "min_p", In("openai min_p"), "sampling";
    "modalities", Modalities, "an entry holds text only";
    "model", Model, "who answers";
    "n", Only(Same::One, Uncacheable::ManyAnswers), "an entry is one answer";
    "n_probs", Only(Same::Zero, Uncacheable::LogProbs), "entries hold none";
    "num_ctx", In("openai num_ctx"), "how much of the conversation the model sees";
    "num_keep", In("openai num_keep"), "what a full context forgets";
    "options", In("openai options"), "Ollama's sampling in an OpenAI request: read by some servers only";
    "parallel_tool_calls", Exact("parallel_tool_calls", None), "how many calls an answer may have; servers differ in what they do without it";
    "presence_penalty", In("presence_penalty"), "sampling";
    "previous_response_id", Never(Uncacheable::State), "a conversation that the server remembers";
    "prompt", Prompt, "what is completed";
    "prompt_cache_key", Out, "the provider's own cache: price and speed";
    "prompt_cache_options", Out, "the provider's own cache: price and speed";
    "prompt_cache_retention", Out, "the provider's own cache: price and speed";
    "prompt_logprobs", Never(Uncacheable::LogProbs), "entries hold none";
    "reasoning_effort", Effort, "whether and how long the model thinks";
    "repeat_last_n", In("openai repeat_last_n"), "sampling";
    "repeat_penalty", In("openai repeat_penalty"), "sampling";
    "repetition_penalty", In("repetition_penalty"), "sampling; servers read this name or the other";
    "request_fingerprint", Out, "the gateway's own: names an asynchronous job";
    "response_format", ResponseFormat, "the shape of the answer";
    "return_hidden_states", Only(Same::False, Uncacheable::LogProbs), "entries hold none";
    "return_token_ids", Only(Same::False, Uncacheable::LogProbs), "entries hold none";
    "return_tokens", Only(Same::False, Uncacheable::LogProbs), "entries hold none";
    "return_tokens_as_token_ids", Only(Same::False, Uncacheable::LogProbs), "entries hold none";
    "safety_identifier", Out, "who asks, for the provider's abuse watch; the tenant is in the key already";
    "seed", In("seed"), "sampling";
    "service_tier", Out, "price and speed";
    "session_id", Never(Uncacheable::State), "a conversation that the server remembers";
    "stop", Stop, "where the answer ends";
    "store", Only(Same::False, Uncacheable::SideEffect), "asks the provider to keep a copy, which a hit would not do";
    "stream", Flag, "one entry serves stream and plain";
    "stream_options", StreamOptions, "how the stream is written; usage is added on the way out";
    "suffix", Unless("suffix", Same::Empty), "what follows the completed text";
    "temperature", In("temperature"), "sampling";
    "thread_id", Never(Uncacheable::State), "a conversation that the server remembers";
    "tool_choice", Exact("tool_choice", Some(Same::Auto)), "whether the answer is a call";
    "tools", Tools, "what the model can call";
    "top_k", In("openai top_k"), "sampling";
    "top_logprobs", Only(Same::Zero, Uncacheable::LogProbs), "entries hold none";
    "top_p", In("top_p"), "sampling";
    "typical_p", In("openai typical_p"), "sampling";
    "user", Out, "who asks, for the provider's abuse watch; the tenant is in the key already";
};

/// `/api/chat`, `/api/generate`, `/api/embed`, `/api/embeddings`.
pub const OLLAMA: &[Knob] = knobs! {
    "context", Unless("context", Same::Empty), "the state of an earlier generate";
    "dimensions", In("dimensions"), "length of the vectors";
    "format", Format, "the shape of the answer";
    "images", Images, "what the model sees, by content";
    "input", Input, "what is embedded";
    "keep_alive", Out, "how long the model stays loaded; a hit needs no model";
    "logprobs", Only(Same::False, Uncacheable::LogProbs), "entries hold none";
    "messages", Messages, "the whole conversation";
    "model", Model, "who answers";
    "options", Options, "sampling";
    "prompt", Prompt, "what is completed";
    "raw", Unless("raw", Same::False), "whether the template is applied";
    "request_fingerprint", Out, "the gateway's own: names an asynchronous job";
    "shift", Unless("shift", Same::True), "what happens when the context is full";
    "stream", Flag, "one entry serves stream and plain";
    "suffix", Unless("suffix", Same::Empty), "what follows the completed text";
    "system", Unless("system", Same::Empty), "replaces the model's system text";
    "template", Unless("template", Same::Empty), "replaces the model's template";
    "think", Think, "whether and how long the model thinks";
    "tools", Tools, "what the model can call";
    "top_logprobs", Only(Same::Zero, Uncacheable::LogProbs), "entries hold none";
    "truncate", Unless("truncate", Same::True), "what happens when the input is too long";
};

/// Ollama's `options`.
pub const OPTIONS: &[Knob] = knobs! {
    "draft_num_predict", Out, "speculative decoding: speed";
    "f16_kv", Out, "ignored by servers for years";
    "frequency_penalty", In("frequency_penalty"), "sampling";
    "low_vram", Out, "where the model runs";
    "main_gpu", Out, "where the model runs";
    "min_p", In("min_p"), "sampling";
    "num_batch", Out, "how the prompt is read: speed";
    "num_ctx", In("num_ctx"), "how much of the conversation the model sees";
    "num_gpu", Out, "where the model runs";
    "num_keep", In("num_keep"), "what a full context forgets";
    "num_predict", In("max_tokens"), "where the answer ends";
    "num_thread", Out, "where the model runs";
    "numa", Out, "where the model runs";
    "presence_penalty", In("presence_penalty"), "sampling";
    "repeat_last_n", In("repeat_last_n"), "sampling";
    "repeat_penalty", In("repeat_penalty"), "sampling";
    "seed", In("seed"), "sampling";
    "stop", Stop, "where the answer ends";
    "temperature", In("temperature"), "sampling";
    "top_k", In("top_k"), "sampling";
    "top_p", In("top_p"), "sampling";
    "typical_p", In("typical_p"), "sampling";
    "use_mlock", Out, "where the model runs";
    "use_mmap", Out, "how the model is loaded";
};
