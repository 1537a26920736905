//! Where an option's value came from.

/// Where a value came from, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Flag,
    Environment,
    /// A variable of another program, such as `OLLAMA_URL`.
    Ecosystem,
    File,
    Default,
}

/// What applies to one option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub source: Source,
    /// `--timeout`, `TIMEOUT_SECONDS`, `thinkgate.yaml:3: timeouts.total`, `default`.
    pub name: String,
}

impl Default for Origin {
    fn default() -> Self {
        Self { source: Source::Default, name: "default".to_owned() }
    }
}
