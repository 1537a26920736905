//! Something wrong with what the user gave: where it was, and what to do about it. Never holds a secret's text.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As the user knows it: `--timeout`, `THINKGATE_TIMEOUT`, `thinkgate.yaml:3: timeouts.total`.
    pub origin: String,
    pub message: String,
}

impl Problem {
    pub(super) fn new(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin: origin.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line a finding, whatever a file or variable had in it.
        let message = format!("{}: {}", self.origin, self.message);
        f.write_str(&message.replace(|c: char| c.is_control(), " "))
    }
}
