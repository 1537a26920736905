//! Kinds of option: how a value is read, which range it has, where in `Settings` it goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_norway::Value as Tree;

use super::environment::Environment;
use super::settings::{ModelRule, Settings, UpstreamUrl};
use super::{address, secret, think, units};
use crate::base::bounds::{LISTEN_MAX, OPTION_LIST_MAX};
use crate::base::secret::Secret;
use crate::wire::think::ProfileDef;

/// One row's kind. `set` writes the checked value; a row that is not built has no place in `Settings` yet.
#[derive(Clone, Copy)]
pub enum Kind {
    /// True or false; as a flag without a value.
    Switch {
        set: fn(&mut Settings, bool),
    },
    /// A switch that stands for a value of another row.
    Shorthand {
        key: &'static str,
        value: &'static str,
    },
    /// Milliseconds, both ends allowed.
    Duration {
        min: u64,
        max: u64,
        /// 0 is allowed beside the range.
        zero_is_off: bool,
        /// Older releases counted seconds here: a bare number under 1000 is one of theirs.
        once_seconds: bool,
        set: fn(&mut Settings, u64),
    },
    /// Bytes, both ends allowed.
    Size {
        min: u64,
        max: u64,
        set: fn(&mut Settings, u64),
    },
    Integer {
        min: u64,
        max: u64,
        set: fn(&mut Settings, u64),
    },
    /// One of `names`; those in `unbuilt` are known and refused.
    Choice {
        names: &'static [&'static str],
        unbuilt: &'static [&'static str],
        set: fn(&mut Settings, usize),
    },
    Url {
        set: fn(&mut Settings, UpstreamUrl),
    },
    Listen {
        set: fn(&mut Settings, Vec<SocketAddr>),
    },
    Path {
        set: fn(&mut Settings, PathBuf),
    },
    Secret {
        set: fn(&mut Settings, Secret),
    },
    Text {
        set: fn(&mut Settings, String),
    },
    /// Names, separated by commas outside the file; `check` returns the stored spelling.
    Names {
        check: fn(&str) -> Result<String, String>,
        set: fn(&mut Settings, Vec<String>),
    },
    Models {
        set: fn(&mut Settings, Vec<ModelRule>),
    },
    Profiles {
        set: fn(&mut Settings, BTreeMap<String, ProfileDef>),
    },
    /// The configuration file's own path: read before everything else.
    ConfigFile,
}

/// What a source gave for a row.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Text(String),
    Tree(Tree),
}

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Number(u64),
    Index(usize),
    Url(UpstreamUrl),
    Listen(Vec<SocketAddr>),
    Path(PathBuf),
    Secret(Secret),
    Text(String),
    Names(Vec<String>),
    Models(Vec<ModelRule>),
    Profiles(BTreeMap<String, ProfileDef>),
}

impl Kind {
    /// Reads and checks one value. The error completes a sentence that begins with where the value came from.
    pub(super) fn parse(&self, raw: &Raw, environment: &Environment) -> Result<Value, String> {
        match self {
            Kind::Models { .. } => Ok(Value::Models(think::models(&tree(raw)?)?)),
            Kind::Profiles { .. } => Ok(Value::Profiles(think::profiles(&tree(raw)?)?)),
            Kind::Names { check, .. } => names(&texts(raw)?, *check).map(Value::Names),
            Kind::Listen { .. } => listen(&texts(raw)?).map(Value::Listen),
            Kind::Secret { .. } => secret::resolve(&text(raw)?, environment).map(Value::Secret),
            // An URL may have a password in it, which no message repeats.
            Kind::Url { .. } => address::upstream(&text(raw)?).map(Value::Url),
            _ => {
                let text = text(raw)?;
                self.parse_text(&text).map_err(|error| format!("{:?} {error}", clip(&text)))
            }
        }
    }

    fn parse_text(&self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Switch { .. } | Kind::Shorthand { .. } => units::switch(text).map(Value::Bool),
            Kind::Duration { min, max, zero_is_off, once_seconds, .. } => {
                let duration = units::duration(text)?;
                if *once_seconds && duration.bare && duration.ms < 1000 {
                    let n = duration.ms;
                    return Err(format!(
                        "is milliseconds; older releases counted seconds here: write {n}s for {n} seconds"
                    ));
                }
                if *zero_is_off && duration.ms == 0 {
                    return Ok(Value::Number(0));
                }
                self.in_range(duration.ms, *min, *max)
            }
            Kind::Size { min, max, .. } => self.in_range(units::size(text)?, *min, *max),
            Kind::Integer { min, max, .. } => self.in_range(units::integer(text)?, *min, *max),
            Kind::Choice { names, unbuilt, .. } => choice(text, names, unbuilt),
            Kind::Path { .. } | Kind::ConfigFile => match text {
                "" => Err("is an empty path".to_owned()),
                path => Ok(Value::Path(PathBuf::from(path))),
            },
            _ => Ok(Value::Text(text.to_owned())),
        }
    }

    fn in_range(&self, number: u64, min: u64, max: u64) -> Result<Value, String> {
        if (min..=max).contains(&number) {
            return Ok(Value::Number(number));
        }
        Err(format!("is out of range; the range is {}", self.range().unwrap_or_default()))
    }

    /// The range as help and messages show it; `None` where any value of the kind will do.
    pub fn range(&self) -> Option<String> {
        match self {
            Kind::Duration { min, max, zero_is_off, .. } => {
                let off = if *zero_is_off { ", or 0 for off" } else { "" };
                Some(format!("{}-{}{off}", units::show_duration(*min), units::show_duration(*max)))
            }
            Kind::Size { min, max, .. } => Some(format!("{}-{}", units::show_size(*min), units::show_size(*max))),
            Kind::Integer { min, max, .. } => Some(format!("{min}-{max}")),
            Kind::Choice { names, unbuilt, .. } => {
                let built: Vec<&str> = names.iter().copied().filter(|name| !unbuilt.contains(name)).collect();
                Some(built.join(", "))
            }
            _ => None,
        }
    }

    /// Writes a value of this kind. A value of another kind can't get here, and would be left out.
    pub(super) fn apply(&self, value: Value, settings: &mut Settings) {
        match (self, value) {
            (Kind::Switch { set }, Value::Bool(value)) => set(settings, value),
            (Kind::Duration { set, .. } | Kind::Size { set, .. } | Kind::Integer { set, .. }, Value::Number(value)) => {
                set(settings, value)
            }
            (Kind::Choice { set, .. }, Value::Index(value)) => set(settings, value),
            (Kind::Url { set }, Value::Url(value)) => set(settings, value),
            (Kind::Listen { set }, Value::Listen(value)) => set(settings, value),
            (Kind::Path { set }, Value::Path(value)) => set(settings, value),
            (Kind::Secret { set }, Value::Secret(value)) => set(settings, value),
            (Kind::Text { set }, Value::Text(value)) => set(settings, value),
            (Kind::Names { set, .. }, Value::Names(value)) => set(settings, value),
            (Kind::Models { set }, Value::Models(value)) => set(settings, value),
            (Kind::Profiles { set }, Value::Profiles(value)) => set(settings, value),
            (Kind::ConfigFile | Kind::Shorthand { .. }, _) => {}
            (_, value) => debug_assert!(false, "a value of another kind: {value:?}"),
        }
    }
}

/// At most this much of a wrong value is repeated.
fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A scalar's text.
pub(super) fn text(raw: &Raw) -> Result<String, String> {
    match raw {
        Raw::Text(text) => Ok(text.clone()),
        Raw::Tree(Tree::String(text)) => Ok(text.clone()),
        Raw::Tree(Tree::Bool(value)) => Ok(value.to_string()),
        Raw::Tree(Tree::Number(number)) => Ok(number.to_string()),
        Raw::Tree(_) => Err("needs one value, not a list or a mapping".to_owned()),
    }
}

/// One or several texts: a list in the file, commas elsewhere.
fn texts(raw: &Raw) -> Result<Vec<String>, String> {
    match raw {
        Raw::Tree(Tree::Sequence(items)) if items.len() > OPTION_LIST_MAX => {
            Err(format!("has more than {OPTION_LIST_MAX} entries"))
        }
        Raw::Tree(Tree::Sequence(items)) => items.iter().map(|item| text(&Raw::Tree(item.clone()))).collect(),
        one => {
            let texts: Vec<String> =
                text(one)?.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect();
            match texts.len() {
                0..=OPTION_LIST_MAX => Ok(texts),
                _ => Err(format!("has more than {OPTION_LIST_MAX} entries")),
            }
        }
    }
}

/// A structured value: as it stands in the file, written as YAML in a variable.
fn tree(raw: &Raw) -> Result<Tree, String> {
    match raw {
        Raw::Tree(tree) => Ok(tree.clone()),
        Raw::Text(text) => super::yaml::parse(text),
    }
}

fn names(texts: &[String], check: fn(&str) -> Result<String, String>) -> Result<Vec<String>, String> {
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        let name = check(text).map_err(|error| format!("{:?} {error}", clip(text)))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn listen(texts: &[String]) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for text in texts {
        let address = address::listen(text).map_err(|error| format!("{:?} {error}", clip(text)))?;
        // Port 0 asks for any free port, so the same text twice means two of them.
        if address.port() != 0 && addresses.contains(&address) {
            return Err(format!("has {address} twice"));
        }
        addresses.push(address);
    }
    match addresses.len() {
        0 => Err("needs at least one address".to_owned()),
        1..=LISTEN_MAX => Ok(addresses),
        _ => Err(format!("has more than {LISTEN_MAX} addresses")),
    }
}

fn choice(text: &str, names: &[&str], unbuilt: &[&str]) -> Result<Value, String> {
    let wanted = text.trim().to_ascii_lowercase();
    if unbuilt.contains(&wanted.as_str()) {
        return Err("is not in this build".to_owned());
    }
    match names.iter().position(|name| *name == wanted) {
        Some(index) => Ok(Value::Index(index)),
        None => {
            let near = super::nearest::nearest(&wanted, names).map(|name| format!("; did you mean {name}?"));
            Err(format!("is none of {}{}", names.join(", "), near.unwrap_or_default()))
        }
    }
}
