//! Names of the built-in think profiles that `think.models` may use.

pub(super) const BUILT_IN: &[&str] = &[
    "think",
    "think_prefilled",
    "think_anywhere",
    "think_notrim",
    "think_tool",
    "kimi_k2",
    "many",
    "kimi_unicode",
    "mistral",
    "seed",
    "mm_m3",
    "gemma4",
    "cohere",
    "granite33",
    "hunyuan_a13b",
    "harmony",
    "apertus",
    "granite_prose",
    "thought_token",
    "longcat",
];
