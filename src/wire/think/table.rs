//! The built-in profiles, and which model names get which. A new family is one row in each table at most.

use std::sync::{Arc, OnceLock};

use super::profile::{Anchor, Profile, ProfileDef, Start};

fn pair(open: &str, close: &str) -> (String, String) {
    (open.into(), close.into())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.into()).collect()
}

fn tags(open: &str, close: &str) -> ProfileDef {
    ProfileDef { pairs: vec![pair(open, close)], ..ProfileDef::default() }
}

/// Special tokens: an answer rarely spells them, so they count anywhere.
fn tokens(open: &str, close: &str) -> ProfileDef {
    ProfileDef { anchor: Anchor::Anywhere, ..tags(open, close) }
}

/// The built-in profiles by name.
#[must_use]
pub fn definitions() -> Vec<(&'static str, ProfileDef)> {
    let think = ProfileDef::default;
    let inside = || ProfileDef { start: Start::Inside, ..think() };
    let many = ["think", "thinking", "thought", "Thought", "reasoning", "reason"];
    vec![
        ("think", think()),
        ("think_prefilled", inside()),
        ("think_anywhere", ProfileDef { anchor: Anchor::Anywhere, ..think() }),
        ("think_notrim", ProfileDef { trim: false, ..think() }),
        ("think_tool", ProfileDef { ends: texts(&["<tool_call>"]), ..inside() }),
        ("kimi_k2", ProfileDef { ends: texts(&["<|tool_calls_section_begin|>"]), ..inside() }),
        (
            "kimi_k3",
            ProfileDef {
                glue: texts(&["<|open|>response<|sep|>", "<|close|>response<|sep|>"]),
                ..tags("<|open|>think<|sep|>", "<|close|>think<|sep|>")
            },
        ),
        (
            "many",
            ProfileDef {
                pairs: many.iter().map(|name| (format!("<{name}>"), format!("</{name}>"))).collect(),
                ..think()
            },
        ),
        ("kimi_unicode", tokens("◁think▷", "◁/think▷")),
        ("mistral", tokens("[THINK]", "[/THINK]")),
        ("seed", tags("<seed:think>", "</seed:think>")),
        ("mm_m3", tags("<mm:think>", "</mm:think>")),
        ("gemma4", ProfileDef { label: "thought\n".into(), ..tokens("<|channel>", "<channel|>") }),
        (
            "cohere",
            ProfileDef {
                start: Start::Inside,
                glue: texts(&["<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"]),
                ..tags("<|START_THINKING|>", "<|END_THINKING|>")
            },
        ),
        (
            "cohere_outside",
            ProfileDef {
                glue: texts(&["<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"]),
                ..tags("<|START_THINKING|>", "<|END_THINKING|>")
            },
        ),
        ("granite33", ProfileDef { glue: texts(&["<response>", "</response>"]), ..think() }),
        ("hunyuan_a13b", ProfileDef { glue: texts(&["<answer>", "</answer>"]), ..think() }),
        ("ernie45", ProfileDef { glue: texts(&["<response>", "</response>"]), ..inside() }),
        ("ernie45_outside", ProfileDef { glue: texts(&["<response>", "</response>"]), ..think() }),
        (
            "harmony",
            ProfileDef {
                pairs: vec![
                    pair("<|channel|>analysis<|message|>", "<|end|>"),
                    pair("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"),
                ],
                anchor: Anchor::Anywhere,
                glue: texts(&[
                    "<|start|>assistant<|channel|>final<|message|>",
                    "<|channel|>final<|message|>",
                    "<|start|>assistant<|channel|>commentary<|message|>",
                    "<|channel|>commentary<|message|>",
                    "<|end|>",
                    "<|return|>",
                ]),
                ..think()
            },
        ),
        ("apertus", tokens("<|inner_prefix|>", "<|inner_suffix|>")),
        (
            "granite_prose",
            ProfileDef {
                pairs: vec![
                    pair("Here is my thought process:", "Here is my response:"),
                    pair("Here's my thought process:", "Here's my response:"),
                ],
                ..think()
            },
        ),
        (
            "thought_token",
            ProfileDef {
                glue: texts(&["<|begin_of_solution|>", "<|end_of_solution|>"]),
                ..tags("<|begin_of_thought|>", "<|end_of_thought|>")
            },
        ),
        ("longcat", ProfileDef { start: Start::Inside, ..tags("<longcat_think>", "</longcat_think>") }),
        ("longcat_outside", tags("<longcat_think>", "</longcat_think>")),
        ("pangu", tags("[unused16]", "[unused17]")),
        ("plamo", tags("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>")),
        ("inkling", tokens("<|content_thinking|>", "<|end_message|>")),
    ]
}

/// Model name to profile; the first row that matches counts, so the special stands before the general.
///
/// No row starts inside: whether the prompt opens the block, and whether the upstream parses it away, can't be seen from
/// here. To start inside wrongly swallows an answer; to start outside wrongly shows a thought and counts a dangling close,
/// and the remedy is one line of configuration.
pub const MODELS: &[(&str, &str)] = &[
    ("kimi-k3*", "kimi_k3"),
    ("kimi-vl*", "kimi_unicode"),
    ("kimi-k1*", "kimi_unicode"),
    ("kimi*", "think"),
    ("magistral*2506*", "think"),
    ("magistral*", "mistral"),
    ("ministral*", "mistral"),
    ("gpt[-_]oss*", "harmony"),
    ("llm-jp-4*thinking*", "harmony"),
    ("seed[-_]oss*", "seed"),
    ("minimax-m3*", "mm_m3"),
    ("minimax*", "think"),
    ("gemma4*", "gemma4"),
    ("gemma-4*", "gemma4"),
    ("command-a*", "cohere_outside"),
    ("command-r7b*", "cohere_outside"),
    ("c4ai-command*", "cohere_outside"),
    ("north*", "cohere_outside"),
    ("granite*3.3*", "granite33"),
    ("granite*", "think"),
    ("hunyuan*a13b*", "hunyuan_a13b"),
    ("ernie-4.5*thinking*", "ernie45_outside"),
    ("apertus*", "apertus"),
    ("longcat*", "longcat_outside"),
    ("*pangu*", "pangu"),
    ("plamo*", "plamo"),
    ("inkling*", "inkling"),
    ("open-o1*", "thought_token"),
    ("sky-t1*", "thought_token"),
    ("exaone*deep*", "many"),
    ("gemini*", "many"),
    ("marco-o1*", "many"),
    ("*", "think"),
];

type Builtin = Vec<(&'static str, Arc<Profile>)>;

fn builtins() -> &'static Builtin {
    static BUILT: OnceLock<Builtin> = OnceLock::new();
    BUILT.get_or_init(|| {
        let compiled =
            definitions().into_iter().filter_map(|(name, def)| Some((name, Arc::new(Profile::new(&def).ok()?))));
        compiled.collect()
    })
}

/// The built-in profile of this name.
#[must_use]
pub fn builtin(name: &str) -> Option<Arc<Profile>> {
    builtins().iter().find(|(known, _)| *known == name).map(|(_, profile)| Arc::clone(profile))
}

impl Profile {
    /// The plain `<think>` profile.
    #[must_use]
    pub fn think() -> Arc<Self> {
        builtin("think").unwrap_or_else(|| unreachable!("the table has its first row"))
    }
}

/// The name and the profile that the built-in table gives a model.
#[must_use]
pub fn for_model(model: &str) -> (&'static str, Arc<Profile>) {
    let row = MODELS.iter().find(|(pattern, _)| glob(pattern, model));
    row.and_then(|(_, name)| Some((*name, builtin(name)?))).unwrap_or_else(|| ("think", Profile::think()))
}

/// Does `pattern` match a model's name? Letters match in either case; `*` is any text, `?` any byte, `[a-z]` a class.
/// A pattern without `/` is also tried on what follows the last `/` of the name, so that `qwen3*` finds
/// `hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M`. Time is at most length times length.
#[must_use]
pub fn glob(pattern: &str, model: &str) -> bool {
    let (pattern, model) = (pattern.as_bytes(), model.as_bytes());
    if wildcard(pattern, model) {
        return true;
    }
    let base = memchr::memrchr(b'/', model).filter(|_| !pattern.contains(&b'/'));
    base.is_some_and(|slash| wildcard(pattern, &model[slash + 1..]))
}

/// Only the last star is ever tried again: an earlier one can't do better.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        match text.get(t) {
            None if p == pattern.len() => return true,
            None => return false,
            Some(byte) => match one(&pattern[p..], *byte) {
                Some(len) => {
                    p += len;
                    t += 1;
                }
                None => {
                    let Some((after, from)) = star else { return false };
                    (p, t) = (after, from + 1);
                    star = Some((after, from + 1));
                }
            },
        }
    }
}

/// Length of the pattern's first element when it matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    let byte = byte.to_ascii_lowercase();
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => match class(&pattern[1..], byte) {
            Some((hit, len)) => hit.then_some(len + 1),
            None => (byte == b'[').then_some(1),
        },
        literal => (literal.to_ascii_lowercase() == byte).then_some(1),
    }
}

/// Is `byte` in the class whose body starts here, and how long is it with its bracket? `None` when it never closes.
fn class(body: &[u8], byte: u8) -> Option<(bool, usize)> {
    let end = body.iter().position(|&b| b == b']').filter(|&end| end > 0)?;
    let (mut hit, mut at) = (false, 0);
    while at < end {
        let low = body[at].to_ascii_lowercase();
        if at + 2 < end && body[at + 1] == b'-' {
            hit |= (low..=body[at + 2].to_ascii_lowercase()).contains(&byte);
            at += 3;
        } else {
            hit |= low == byte;
            at += 1;
        }
    }
    Some((hit, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_compiles_and_every_row_names_one() {
        for (name, def) in definitions() {
            assert!(Profile::new(&def).is_ok(), "{name}: {}", Profile::new(&def).unwrap_err());
            assert!(builtin(name).is_some());
        }
        assert!(MODELS.iter().all(|(_, name)| builtin(name).is_some()));
    }

    #[test]
    fn names_find_their_family() {
        for (model, profile) in [
            ("kimi-k3-instruct", "kimi_k3"),
            ("moonshotai/Kimi-K3", "kimi_k3"),
            ("moonshotai/Kimi-K2-Thinking", "think"),
            ("openai/gpt-oss-20b:free", "harmony"),
            ("hf.co/unsloth/Seed-OSS-36B-Instruct-GGUF:Q4_K_M", "seed"),
            ("granite-3.3-8b", "granite33"),
            ("ibm/granite3.3:8b", "granite33"),
            ("MiniMax-M3", "mm_m3"),
            ("MiniMaxAI/MiniMax-M2", "think"),
            ("deepseek-r1:8b", "think"),
            ("gpt-4o", "think"),
            ("magistral-small-2507", "mistral"),
            ("magistral-small-2506", "think"),
            ("", "think"),
        ] {
            assert_eq!(for_model(model).0, profile, "{model}");
        }
    }

    #[test]
    fn patterns() {
        assert!(glob("glm-4.[5-7]*", "zai-org/GLM-4.6-Air"));
        assert!(!glob("glm-4.[5-7]*", "glm-4.8"));
        assert!(glob("minimax-m[23]*", "minimax-m2"));
        assert!(glob("*-r1-distill-*", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"));
        assert!(glob("a[b", "a[b") && !glob("a[b", "ab"));
        assert!(glob("a/b*", "a/bc") && !glob("a/b*", "x/a/bc") && glob("*/b*", "a/bc"));
        assert!(glob("?x", "ax") && !glob("?x", "x") && glob("*", "") && !glob("", "x") && glob("", ""));
        assert!(glob("[]", "[]"));
    }

    /// A recursive matcher, as simple as can be.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => naive(rest, text) || text.split_first().is_some_and(|(_, t)| naive(pattern, t)),
            (Some((b'?', rest)), Some((_, t))) => naive(rest, t),
            (Some((p, rest)), Some((b, t))) => p == b && naive(rest, t),
            _ => false,
        }
    }

    #[test]
    fn all_short_patterns_agree_with_the_naive_matcher() {
        fn words(letters: &[u8], len: usize) -> Vec<Vec<u8>> {
            let mut all = vec![vec![]];
            for n in 0..len {
                let longer: Vec<_> = all
                    .iter()
                    .filter(|w| w.len() == n)
                    .flat_map(|w| letters.iter().map(|l| [&w[..], &[*l]].concat()))
                    .collect();
                all.extend(longer);
            }
            all
        }
        for pattern in words(b"ab*?", 5) {
            for text in words(b"ab", 5) {
                assert_eq!(wildcard(&pattern, &text), naive(&pattern, &text), "{pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn many_stars_cost_no_blow_up() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!glob(&pattern, &"a".repeat(20_000)));
    }
}
