//! Scenarios: files that say what is asked, how, for how long, and the bound that makes the run a success.

mod bound;
mod expect;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::client::load::{Mode, Sameness, SlowReader};
use crate::client::request::Wanted;
use crate::client::schedule::Spacing;
use crate::script::{Dialect, Script};
use crate::upstream::{Outage, size};
pub use bound::Bound;
use expect::Expect;

/// Connections of one scenario at most.
pub const CONNECTIONS_MAX: usize = 200_000;
/// Bytes of a request's body at most.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bytes that a slow reader takes at a time at most.
const SLOW_BYTES_MAX: usize = 16 << 20;
/// Kinds of requests in a mix, and the weight of one, at most: shares are drawn from their sum.
const KINDS_MAX: usize = 4000;
const WEIGHT_MAX: u32 = 1_000_000;
/// No time in a scenario or an option is longer.
const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

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
    /// How long it takes until every connection of a closed loop has sent its first request.
    #[serde(deserialize_with = "duration", default)]
    pub ramp: Duration,
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

/// Reads `250ms`, `5s`, `10m`, `1h`, up to 30 days.
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
    let time = number.checked_mul(scale).map(Duration::from_millis).filter(|time| *time <= DURATION_MAX);
    time.ok_or_else(|| format!("`{text}` is too long: at most 30 days, 720h"))
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
        self.check_requests()?;
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return Err(format!("`connections` must be 1 to {CONNECTIONS_MAX}"));
        }
        if matches!(self.mode, ModeName::Open) && !(0.01..=1e7).contains(&self.rate) {
            return Err("`mode: open` needs a `rate` of requests a second".into());
        }
        if matches!(self.mode, ModeName::Open) && !self.ramp.is_zero() {
            return Err("`ramp` is for closed loops; an open one begins by its schedule".into());
        }
        if self.slow_reader.is_some_and(|slow| !(1..=SLOW_BYTES_MAX).contains(&slow.bytes)) {
            return Err(format!("`slow_reader.bytes` must be 1 to {SLOW_BYTES_MAX}"));
        }
        if self.abandon_after.is_some_and(|(low, high)| low > high || low == 0) {
            return Err("`abandon_after` is [least, most], from 1".into());
        }
        if self.distinct_requests.is_some() && self.identical_in_a_row.is_some() {
            return Err("`distinct_requests` and `identical_in_a_row` exclude one another".into());
        }
        for (name, count) in
            [("distinct_requests", self.distinct_requests), ("identical_in_a_row", self.identical_in_a_row)]
        {
            if count == Some(0) {
                return Err(format!("`{name}` must be at least 1"));
            }
        }
        for (name, time) in [("duration", self.duration), ("timeout", self.timeout)] {
            if time.is_zero() {
                return Err(format!("`{name}` is above 0"));
            }
        }
        if self.outage.is_some_and(|outage| outage.length.is_zero() || outage.length >= outage.every) {
            return Err("`outage.length` is above 0 and below `outage.every`".into());
        }
        self.bounds.keys().try_for_each(|name| crate::figures::known(name))
    }

    fn check_requests(&self) -> Result<(), String> {
        if self.requests.is_empty() {
            return Err("`requests` is empty".into());
        }
        if self.requests.len() > KINDS_MAX {
            return Err(format!("`requests` has {} kinds, at most {KINDS_MAX} are allowed", self.requests.len()));
        }
        for request in &self.requests {
            if request.body_bytes > BODY_BYTES_MAX {
                return Err(format!("`body_bytes` of `{}` must be at most {BODY_BYTES_MAX}", request.model));
            }
            if request.weight > WEIGHT_MAX {
                return Err(format!("`weight` of `{}` must be at most {WEIGHT_MAX}", request.model));
            }
        }
        if self.requests.iter().all(|request| request.weight == 0) {
            return Err("every `weight` in `requests` is 0: nothing would be asked".into());
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
        self.ramp = Duration::ZERO;
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
    /// When a model is no script, or its answer would be too large.
    pub fn wanted(&self, model: Option<&str>) -> Result<Vec<Wanted>, String> {
        self.requests
            .iter()
            .map(|request| {
                let script = Script::parse(&request.model)?;
                size::check(&script, &request.model)?;
                Ok(Wanted {
                    script,
                    model: model.unwrap_or(&request.model).to_owned(),
                    dialect: match request.dialect {
                        DialectName::Openai => Dialect::OpenAi,
                        DialectName::Ollama => Dialect::Ollama,
                    },
                    body_bytes: request.body_bytes,
                    outcome: request.expect.0.clone(),
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
    fn what_is_seldom_wrong_is_bound_too() {
        for (names, figure, most) in [
            (&["json", "churn"][..], "latency_p999_us", 500_000.0),
            (&["json", "churn"], "upstream_requests_percent", 105.0),
            (&["json", "stream", "churn", "steady"], "resent", 0.0),
            (&["stream", "think", "paced", "think-paced"], "first_event_p99_us", 1_000_000.0),
            (&["mixed"], "latency_p999_us", 3_000_000.0),
        ] {
            for name in names {
                let bounds = Scenario::load(name).unwrap().bounds;
                assert_eq!(bounds.get(figure), Some(&Bound::Number(most)), "{figure} in {name}");
            }
        }
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
            (good.to_owned() + "timeout: 0s\n", "timeout"),
            (good.to_owned() + "timeout: 721h\n", "30 days"),
            (good.to_owned() + "distinct_requests: 0\n", "distinct_requests"),
            (good.to_owned() + "identical_in_a_row: 0\n", "identical_in_a_row"),
            (good.to_owned() + "slow_reader: {bytes: 16777217, every: 1ms}\n", "slow_reader.bytes"),
            (good.to_owned() + "slow_reader: {bytes: 0, every: 1ms}\n", "slow_reader.bytes"),
            (good.to_owned() + "outage: {every: 1s, length: 1s}\n", "outage.length"),
            (good.to_owned() + "outage: {every: 1s, length: 0s}\n", "outage.length"),
            (good.to_owned() + "bounds: {errors: .nan}\n", "bounds.errors"),
            (good.to_owned() + "bounds: {errors: -1}\n", "bounds.errors"),
            (good.to_owned() + "bounds: {latency_p99_us: 2 x apache}\n", "apache"),
            (good.replace("mock-json", "mock-json, body_bytes: 16777217"), "body_bytes"),
            (good.replace("mock-json", "mock-json, weight: 0"), "weight"),
            (good.replace("mock-json", "mock-json, weight: 1000001"), "weight"),
            (good.replace("mock-json", "mock-json, expect: []"), "expect"),
            (good.replace("mock-json", "mock-json, expect: hole"), "whole_or_error"),
        ] {
            let error = Scenario::parse(&change).unwrap_err();
            assert!(error.contains(word), "{word}: {error}");
        }
        let odd = Scenario::parse(&good.replace("mock-json", "gpt")).unwrap();
        assert!(odd.wanted(None).unwrap_err().contains("gpt"));
        let vast = Scenario::parse(&good.replace("mock-json", "mock-stream-e100000-b65536")).unwrap();
        assert!(vast.wanted(None).unwrap_err().contains("6250 MiB"));
        assert!(Scenario::load("no-such").unwrap_err().contains("slow-readers"));
    }

    #[test]
    fn durations_are_read_up_to_30_days() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_duration("720h"), Ok(DURATION_MAX));
        for bad in ["", "s", "5", "5 s", "-1s", "99999999999999999999s", "9999999999999999h", "721h", "2592000001ms"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
