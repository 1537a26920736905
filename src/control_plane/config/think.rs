//! `think.models` and `think.profiles`: the two options with a structure of their own.

use std::collections::BTreeMap;

use serde_norway::{Mapping, Value as Tree};

use super::nearest;
use super::settings::{ModelRule, ThinkPolicy};
use crate::base::bounds::{MODEL_RULES_MAX, PROFILE_LIST_MAX, PROFILES_MAX};
use crate::wire::think::{Anchor, Profile, ProfileDef, Start};

/// Longest glob or profile name; model names in the wild stay under it.
const NAME_BYTES_MAX: usize = 256;

/// A list of `{match, profile, policy?}`.
pub(super) fn models(tree: &Tree) -> Result<Vec<ModelRule>, String> {
    let items = tree.as_sequence().ok_or("needs a list of {match, profile, policy}")?;
    if items.len() > MODEL_RULES_MAX {
        return Err(format!("has more than {MODEL_RULES_MAX} rules"));
    }
    items.iter().enumerate().map(|(at, item)| model(item).map_err(|error| format!("[{at}] {error}"))).collect()
}

fn model(item: &Tree) -> Result<ModelRule, String> {
    let fields = Fields::of(item, &["match", "profile", "policy"])?;
    let policy = match fields.text("policy")? {
        None => None,
        Some(text) => Some(
            ThinkPolicy::from_name(&text)
                .ok_or_else(|| format!("policy {text:?} is none of {}", ThinkPolicy::NAMES.join(", ")))?,
        ),
    };
    Ok(ModelRule {
        glob: name(fields.text("match")?.ok_or("has no match")?).map_err(|error| format!("match {error}"))?,
        profile: name(fields.text("profile")?.ok_or("has no profile")?).map_err(|error| format!("profile {error}"))?,
        policy,
    })
}

/// A mapping from name to profile.
pub(super) fn profiles(tree: &Tree) -> Result<BTreeMap<String, ProfileDef>, String> {
    let mapping = tree.as_mapping().ok_or("needs a mapping from name to profile")?;
    if mapping.len() > PROFILES_MAX {
        return Err(format!("has more than {PROFILES_MAX} profiles"));
    }
    let mut profiles = BTreeMap::new();
    for (key, value) in mapping {
        let key = name(key.as_str().ok_or("has a name that is no text")?.to_owned())?;
        let def = profile(value).map_err(|error| format!("{key}: {error}"))?;
        profiles.insert(key, def);
    }
    Ok(profiles)
}

pub(super) const STARTS: &[(&str, Start)] = &[("outside", Start::Outside), ("inside", Start::Inside)];
pub(super) const ANCHORS: &[(&str, Anchor)] = &[("start", Anchor::Start), ("anywhere", Anchor::Anywhere)];
const FIELDS: &[&str] = &["pairs", "start", "anchor", "trim", "drop_leading_close", "ends", "label", "glue"];

fn profile(tree: &Tree) -> Result<ProfileDef, String> {
    // `name:` with nothing behind it is the profile `think` under another name.
    let empty = Tree::Mapping(Mapping::new());
    let fields = Fields::of(if tree.is_null() { &empty } else { tree }, FIELDS)?;
    let mut def = ProfileDef::default();
    if let Some(pairs) = fields.get("pairs") {
        def.pairs = self::pairs(pairs).map_err(|error| format!("pairs {error}"))?;
    }
    if let Some(text) = fields.text("start")? {
        def.start = one_of(&text, STARTS).map_err(|error| format!("start {error}"))?;
    }
    if let Some(text) = fields.text("anchor")? {
        def.anchor = one_of(&text, ANCHORS).map_err(|error| format!("anchor {error}"))?;
    }
    if let Some(trim) = fields.switch("trim")? {
        def.trim = trim;
    }
    if let Some(drop) = fields.switch("drop_leading_close")? {
        def.drop_leading_close = drop;
    }
    if let Some(label) = fields.text("label")? {
        def.label = label;
    }
    if let Some(ends) = fields.get("ends") {
        def.ends = delimiters(ends).map_err(|error| format!("ends {error}"))?;
    }
    if let Some(glue) = fields.get("glue") {
        def.glue = delimiters(glue).map_err(|error| format!("glue {error}"))?;
    }
    // Lengths, and delimiters that could be taken for one another, are the filter's own rules.
    Profile::new(&def).map_err(|error| error.to_string())?;
    Ok(def)
}

fn pairs(tree: &Tree) -> Result<Vec<(String, String)>, String> {
    let items = tree.as_sequence().ok_or("needs a list of [open, close]")?;
    if items.is_empty() || items.len() > PROFILE_LIST_MAX {
        return Err(format!("needs 1-{PROFILE_LIST_MAX} of [open, close]"));
    }
    items
        .iter()
        .map(|item| match item.as_sequence().map(Vec::as_slice) {
            Some([Tree::String(open), Tree::String(close)]) => Ok((open.clone(), close.clone())),
            _ => Err("needs a list of [open, close]".to_owned()),
        })
        .collect()
}

fn delimiters(tree: &Tree) -> Result<Vec<String>, String> {
    let items = tree.as_sequence().ok_or("needs a list of texts")?;
    if items.len() > PROFILE_LIST_MAX {
        return Err(format!("has more than {PROFILE_LIST_MAX} entries"));
    }
    items.iter().map(|item| Ok(item.as_str().ok_or("needs a list of texts")?.to_owned())).collect()
}

fn name(text: String) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control);
    if fits { Ok(text) } else { Err(format!("needs a name of 1-{NAME_BYTES_MAX} bytes without control characters")) }
}

fn one_of<T: Copy>(text: &str, names: &[(&str, T)]) -> Result<T, String> {
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        format!("{text:?} is none of {}", names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
    })
}

/// A mapping whose keys are all known.
struct Fields<'a>(&'a Mapping);

impl<'a> Fields<'a> {
    fn of(tree: &'a Tree, known: &[&str]) -> Result<Self, String> {
        let mapping = tree.as_mapping().ok_or_else(|| format!("needs a mapping with {}", known.join(", ")))?;
        for key in mapping.keys() {
            let key = key.as_str().ok_or("has a key that is no text")?;
            if !known.contains(&key) {
                return Err(nearest::unknown("key", key, known));
            }
        }
        Ok(Self(mapping))
    }

    fn get(&self, key: &str) -> Option<&'a Tree> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Tree::String(text)) => Ok(Some(text.clone())),
            Some(Tree::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{key} needs a text")),
        }
    }

    fn switch(&self, key: &str) -> Result<Option<bool>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Tree::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(format!("{key} needs true or false")),
        }
    }
}
