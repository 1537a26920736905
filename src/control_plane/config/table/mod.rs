//! The option table: one row an option. Flags, environment variables, keys, help, README, schema and checks come from here.

mod given;
mod readers;
mod rows;

use super::environment::Environment;
use super::kind::{Kind, Raw};
use super::settings::Settings;

pub(super) use given::given;
pub use rows::ROWS;

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    Start,
    Reload,
}

/// An option.
pub struct Row {
    /// Heading in the help.
    pub section: &'static str,
    /// Without its dashes.
    pub flag: Option<&'static str>,
    pub short: Option<char>,
    /// Path in the configuration file.
    pub key: Option<&'static str>,
    /// What stands for the value in the help; empty for switches.
    pub value_name: &'static str,
    /// As a user would write it.
    pub default: Option<&'static str>,
    /// One sentence without its full stop.
    pub help: &'static str,
    pub applies: Applies,
    /// Its subject exists. A row without one is known, hidden from the help, and refused wherever it is given.
    pub built: bool,
    /// Variables of other programs that mean the same, the strongest first. They rank below ours and above the file.
    pub ecosystem: &'static [Ecosystem],
    pub kind: Kind,
}

/// A variable that is not ours.
pub struct Ecosystem {
    pub name: &'static str,
    /// What we would write for its value; `None`: it says nothing to us.
    pub read: fn(&str) -> Option<String>,
    /// Key of a switch without which the variable is not even looked at.
    pub only_with: Option<&'static str>,
    /// Worth a warning at every start, since it means something a little different elsewhere; empty: nothing to say.
    pub note: &'static str,
}

impl Row {
    /// The name that messages use.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.flag, self.key) {
            (Some(flag), _) => format!("--{flag}"),
            (None, Some(key)) => key.to_owned(),
            (None, None) => String::new(),
        }
    }

    /// `THINKGATE_<NAME>`: the flag's name, the key's where there is no flag.
    #[must_use]
    pub fn env(&self) -> String {
        let name = self.flag.or(self.key).unwrap_or_default();
        format!("THINKGATE_{}", name.replace(['-', '.'], "_").to_ascii_uppercase())
    }

    #[must_use]
    pub fn is_switch(&self) -> bool {
        matches!(self.kind, Kind::Switch { .. } | Kind::Shorthand { .. })
    }
}

/// Index of the row with this configuration key.
#[must_use]
pub fn by_key(key: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.key == Some(key))
}

impl Default for Settings {
    /// What no source at all gives. A test asserts that every default is a valid value.
    fn default() -> Self {
        let mut settings = Self::blank();
        let nothing = Environment::default();
        for row in ROWS.iter().filter(|row| row.built) {
            if let Some(default) = row.default
                && let Ok(value) = row.kind.parse(&Raw::Text(default.to_owned()), &nothing)
            {
                row.kind.apply(value, &mut settings);
            }
        }
        settings
    }
}
