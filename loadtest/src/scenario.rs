//! Scenarios: files that say what is asked, how, for how long, and the bound that makes the run a success.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::client::load::{Mode, Sameness, SlowReader};
use crate::client::request::{Outcome, Wanted};
use crate::client::schedule::Spacing;
use crate::script::{Dialect, Script};
use crate::upstream::Outage;

/// Connections of one scenario at most.
pub const CONNECTIONS_MAX: usize = 200_000;

/// The scenarios that come with the tool, in the order of `loadtest list`.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("json", include_str!("../scenarios/json.yaml")),
    ("stream", include_str!("../scenarios/stream.yaml")),
    ("think", include_str!("../scenarios/think.yaml")),
    ("think-paced", include_str!("../scenarios/think-paced.yaml")),
    ("paced", include_str!("../scenarios/paced.yaml")),
    ("crowd", include_str!("../scenarios/crowd.yaml")),
    ("idle", include_str!("../scenarios/idle.yaml")),
    ("steady", include_str!("../scenarios/steady.yaml")),
    ("cache-hot", include_str!("../scenarios/cache-hot.yaml")),
    ("cache-disk", include_str!("../scenarios/cache-disk.yaml")),
    ("join", include_str!("../scenarios/join.yaml")),
    ("mixed", include_str!("../scenarios/mixed.yaml")),
    ("hostile", include_str!("../scenarios/hostile.yaml")),
    ("slow-readers", include_str!("../scenarios/slow-readers.yaml")),
    ("disconnects", include_str!("../scenarios/disconnects.yaml")),
    ("churn", include_str!("../scenarios/churn.yaml")),
    ("faults", include_str!("../scenarios/faults.yaml")),
    ("stalls", include_str!("../scenarios/stalls.yaml")),
    ("outages", include_str!("../scenarios/outages.yaml")),
    ("soak", include_str!("../scenarios/soak.yaml")),
];

/// A scenario as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One word.
    pub name: String,
    /// What it measures, in sentences.
    pub about: String,
    /// Connections at most.
    pub connections: usize,
    #[serde(default)]
    mode: ModeName,
    /// Requests a second of an open loop.
    #[serde(default)]
    rate: f64,
    #[serde(default)]
    spacing: SpacingName,
    /// How long is measured in each round.
    #[serde(deserialize_with = "duration")]
    pub duration: Duration,
    /// How long the load runs before that.
    #[serde(deserialize_with = "duration", default = "one_second")]
    pub warmup: Duration,
    /// How long a request may take.
    #[serde(deserialize_with = "duration", default = "half_a_minute")]
    pub timeout: Duration,
    /// A new connection for each request.
    #[serde(default)]
    pub fresh_connections: bool,
    #[serde(default)]
    slow_reader: Option<SlowReaderText>,
    /// Streams are left after a number of events between these two.
    #[serde(default)]
    pub abandon_after: Option<(u32, u32)>,
    #[serde(default)]
    distinct_requests: Option<u64>,
    #[serde(default)]
    identical_in_a_row: Option<u64>,
    #[serde(default)]
    outage: Option<OutageText>,
    /// The mix.
    pub requests: Vec<Request>,
    /// Names of figures and the most they may be.
    #[serde(default)]
    pub bounds: BTreeMap<String, Bound>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModeName {
    #[default]
    Closed,
    Open,
    Hold,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SpacingName {
    #[default]
    Even,
    Poisson,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlowReaderText {
    bytes: usize,
    #[serde(deserialize_with = "duration")]
    every: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutageText {
    #[serde(deserialize_with = "duration")]
    every: Duration,
    #[serde(deserialize_with = "duration")]
    length: Duration,
}

/// A kind of request in the mix.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The model's name, which is its script.
    pub model: String,
    #[serde(default)]
    dialect: DialectName,
    #[serde(default = "one_kilobyte")]
    body_bytes: usize,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    expect: Expect,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DialectName {
    #[default]
    Openai,
    Ollama,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Expect {
    Named(ExpectName),
    Statuses(Vec<u16>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ExpectName {
    Whole,
    Broken,
    Error,
    WholeOrError,
    Stalled,
}

impl Default for Expect {
    fn default() -> Self {
        Expect::Named(ExpectName::Whole)
    }
}

/// The most a figure may be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Bound {
    /// A number.
    Number(f64),
    /// So many times a peer's figure, written `2 x nginx`.
    Times(String),
}

impl Bound {
    /// The factor and the peer of a relative bound.
    #[must_use]
    pub fn relative(&self) -> Option<(f64, &str)> {
        let Bound::Times(text) = self else { return None };
        let (factor, peer) = text.split_once(" x ")?;
        Some((factor.trim().parse().ok()?, peer.trim()))
    }
}

fn one() -> u32 {
    1
}
fn one_kilobyte() -> usize {
    1024
}
fn one_second() -> Duration {
    Duration::from_secs(1)
}
fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// Reads `250ms`, `5s`, `10m`, `1h`.
///
/// # Errors
/// A sentence with the spellings.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{text}` is no duration: write 250ms, 5s, 10m or 1h")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is no duration: write 250ms, 5s, 10m or 1h"))?;
    number.checked_mul(scale).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with the text, for its author.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = serde_norway::from_str(text).map_err(|error| error.to_string())?;
        scenario.check()?;
        Ok(scenario)
    }

    /// One of the embedded ones, or a file.
    ///
    /// # Errors
    /// When there is neither, or the file is wrong.
    pub fn load(name: &str) -> Result<Self, String> {
        if let Some((_, text)) = EMBEDDED.iter().find(|(known, _)| *known == name) {
            return Self::parse(text);
        }
        match std::fs::read_to_string(name) {
            Ok(text) => Self::parse(&text).map_err(|error| format!("{name}: {error}")),
            Err(error) => {
                let known: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).collect();
                Err(format!("`{name}` is neither a scenario ({}) nor a file: {error}", known.join(", ")))
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.requests.is_empty() {
            return Err("`requests` is empty".into());
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return Err(format!("`connections` must be 1 to {CONNECTIONS_MAX}"));
        }
        if matches!(self.mode, ModeName::Open) && !(0.01..=1e7).contains(&self.rate) {
            return Err("`mode: open` needs a `rate` of requests a second".into());
        }
        if self.slow_reader.is_some_and(|slow| slow.bytes == 0) {
            return Err("`slow_reader.bytes` must be at least 1".into());
        }
        if self.abandon_after.is_some_and(|(low, high)| low > high || low == 0) {
            return Err("`abandon_after` is [least, most], from 1".into());
        }
        if self.distinct_requests.is_some() && self.identical_in_a_row.is_some() {
            return Err("`distinct_requests` and `identical_in_a_row` exclude one another".into());
        }
        if self.duration.is_zero() {
            return Err("`duration` is above 0".into());
        }
        for (name, bound) in &self.bounds {
            crate::figures::known(name)?;
            if matches!(bound, Bound::Times(_)) && bound.relative().is_none() {
                return Err(format!("the bound `{name}` is a number or `2 x nginx`"));
            }
        }
        Ok(())
    }

    /// What decides when requests start.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self.mode {
            ModeName::Closed => Mode::Closed,
            ModeName::Hold => Mode::Hold,
            ModeName::Open => Mode::Open {
                rate: self.rate,
                spacing: match self.spacing {
                    SpacingName::Even => Spacing::Even,
                    SpacingName::Poisson => Spacing::Poisson,
                },
            },
        }
    }

    /// Another rate for an open loop; a closed one becomes open by it.
    pub fn set_rate(&mut self, rate: f64) {
        self.mode = ModeName::Open;
        self.rate = rate;
    }

    /// Which requests are the same to the byte.
    #[must_use]
    pub fn sameness(&self) -> Sameness {
        match (self.distinct_requests, self.identical_in_a_row) {
            (Some(count), _) => Sameness::Cycle(count),
            (None, Some(count)) => Sameness::Group(count),
            (None, None) => Sameness::Unique,
        }
    }

    /// When the mock server refuses connections.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.outage.map(|outage| Outage { every: outage.every, length: outage.length })
    }

    /// How slow readers read.
    #[must_use]
    pub fn slow_reader(&self) -> Option<SlowReader> {
        self.slow_reader.map(|slow| SlowReader {
            bytes: slow.bytes,
            every_ns: u64::try_from(slow.every.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    /// The mix. `model` replaces every model's name, for servers that have names of their own; `script` says what they then answer.
    ///
    /// # Errors
    /// When a model is no script and none is given.
    pub fn wanted(&self, model: Option<&str>) -> Result<Vec<Wanted>, String> {
        self.requests
            .iter()
            .map(|request| {
                Ok(Wanted {
                    script: Script::parse(&request.model)?,
                    model: model.unwrap_or(&request.model).to_owned(),
                    dialect: match request.dialect {
                        DialectName::Openai => Dialect::OpenAi,
                        DialectName::Ollama => Dialect::Ollama,
                    },
                    body_bytes: request.body_bytes,
                    outcome: match &request.expect {
                        Expect::Named(ExpectName::Whole) => Outcome::Whole,
                        Expect::Named(ExpectName::Broken) => Outcome::Broken,
                        Expect::Named(ExpectName::Error) => Outcome::Status(Vec::new()),
                        Expect::Named(ExpectName::WholeOrError) => Outcome::WholeOrStatus,
                        Expect::Named(ExpectName::Stalled) => Outcome::Stalled,
                        Expect::Statuses(list) => Outcome::Status(list.clone()),
                    },
                    weight: request.weight,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_scenario_is_right_and_states_a_bound() {
        for (name, text) in EMBEDDED {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(&scenario.name, name);
            assert!(scenario.bounds.contains_key("errors"), "{name} must bound errors");
            assert!(!scenario.wanted(None).unwrap().is_empty());
            for figure in scenario.bounds.keys() {
                assert!(crate::figures::ALL.iter().any(|row| row.name == figure), "{name}: no figure {figure}");
            }
        }
    }

    #[test]
    fn the_four_workloads_of_the_bar_are_as_written() {
        let load = |name: &str| {
            let scenario = Scenario::load(name).unwrap();
            let wanted = scenario.wanted(None).unwrap().remove(0);
            (scenario.connections, wanted.script, wanted.body_bytes)
        };
        let (connections, script, body) = load("json");
        assert_eq!((connections, script.bytes, body), (64, 1024, 1024));
        let (connections, script, _) = load("stream");
        assert_eq!((connections, script.events, script.bytes, script.pace), (32, 200, 200, Duration::ZERO));
        let (connections, script, _) = load("paced");
        assert_eq!((connections, script.pace), (500, Duration::from_millis(10)));
        assert_eq!(load("idle").0, 2000);
        let (_, script, _) = load("think");
        assert_eq!((script.think, script.events), (50, 200));
    }

    #[test]
    fn mistakes_are_named() {
        let good = "name: x\nabout: y\nconnections: 1\nduration: 1s\nrequests: [{model: mock-json}]\n";
        assert!(Scenario::parse(good).is_ok());
        for (change, word) in [
            (good.replace("connections: 1", "connections: 0"), "connections"),
            (good.replace("1s", "1"), "duration"),
            (good.to_owned() + "mode: open\n", "rate"),
            (good.to_owned() + "colour: red\n", "colour"),
            (good.to_owned() + "bounds: {errors: lots}\n", "errors"),
            (good.to_owned() + "bounds: {errorz: 0}\n", "errorz"),
            (good.to_owned() + "duration: 0s\n", "duration"),
            (good.to_owned() + "abandon_after: [5, 2]\n", "abandon_after"),
            (good.to_owned() + "distinct_requests: 5\nidentical_in_a_row: 2\n", "exclude"),
            (good.replace("[{model: mock-json}]", "[]"), "requests"),
        ] {
            let error = Scenario::parse(&change).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
        let odd = Scenario::parse(&good.replace("mock-json", "gpt")).unwrap();
        assert!(odd.wanted(None).unwrap_err().contains("gpt"));
        assert!(Scenario::load("no-such").unwrap_err().contains("slow-readers"));
    }

    #[test]
    fn durations_and_relative_bounds_are_read() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "s", "5", "5 s", "-1s", "99999999999999999999s", "9999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(Bound::Times("1.5 x nginx".into()).relative(), Some((1.5, "nginx")));
        assert_eq!(Bound::Times("nginx".into()).relative(), None);
    }
}
