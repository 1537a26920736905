//! What the mock server says: a script is written in the model's name, so that it passes any proxy unchanged.
//!
//! `mock-stream-e200-b200-think50-p10` is a stream of 50 thinking events and 200 visible ones, 200 bytes each, 10 ms apart.
//! The mock server makes the [`answer`] from it, the client the expected text: both from the same words, so that what
//! stands between them is what is tested.

pub mod answer;
pub mod text;

use std::time::Duration;

/// No script asks for more events than this.
pub const EVENTS_MAX: u32 = 100_000;
/// No event or reply is longer than this.
pub const BYTES_MAX: usize = 64 * 1024;

/// One JSON value or a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One JSON value with a length.
    Json,
    /// A chunked stream of events.
    Stream,
}

/// Where the stream is cut into HTTP chunks and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// A chunk an event, so many events a write.
    Events { per_write: u32 },
    /// A chunk a byte, an event a write.
    Bytes,
    /// Chunks and writes that end anywhere, in the middle of tags, characters and chunk sizes.
    Random,
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The connection is reset instead of an answer.
    Reset,
    /// No answer, the connection stays.
    Hang,
    /// The head comes so many milliseconds late.
    SlowHead { ms: u32 },
    /// The connection ends after so many events, without an end.
    CutAfter { events: u32 },
    /// Bytes that are no HTTP.
    Garbage,
    /// A status with an error body; 429 and 503 carry `Retry-After: 1`.
    Status(u16),
    /// Every second request fails with 500.
    Flaky,
}

/// Which protocol the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `/v1/chat/completions`, server-sent events.
    OpenAi,
    /// `/api/chat`, lines of JSON.
    Ollama,
}

impl Dialect {
    /// The dialect that a path belongs to.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        if path.contains("/api/chat") { Dialect::Ollama } else { Dialect::OpenAi }
    }
}

/// One answer, described.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Script {
    /// JSON or stream.
    pub shape: Shape,
    /// Visible events (1 for JSON).
    pub events: u32,
    /// Bytes an event, framing of the event included, of the chunk not; for JSON, of the body.
    pub bytes: usize,
    /// Thinking events before the visible ones; for JSON, any number means a thinking part.
    pub think: u32,
    /// Time from one write to the next.
    pub pace: Duration,
    /// Time from the first write to the second.
    pub hold: Duration,
    /// Chunks and writes.
    pub cut: Cut,
    /// Tags are written `\u003c` as Go's JSON does.
    pub escaped: bool,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

impl Script {
    /// Reads a model's name.
    ///
    /// # Errors
    /// A sentence that names the word that cannot be read.
    pub fn parse(model: &str) -> Result<Self, String> {
        let mut words = model.split(['-', ':']);
        if words.next() != Some("mock") {
            return Err(format!("the model `{model}` is no script: scripts begin with `mock-`"));
        }
        let shape = match words.next() {
            Some("json") => Shape::Json,
            Some("stream") => Shape::Stream,
            other => return Err(format!("`{}` in `{model}`: expected `json` or `stream`", other.unwrap_or(""))),
        };
        let (events, bytes) = if shape == Shape::Json { (1, 1024) } else { (200, 200) };
        let mut script = Self {
            shape,
            events,
            bytes,
            think: 0,
            pace: Duration::ZERO,
            hold: Duration::ZERO,
            cut: Cut::Events { per_write: 1 },
            escaped: false,
            fault: None,
        };
        for word in words {
            script.take(word).ok_or_else(|| format!("`{word}` in `{model}` is no word of a script"))?;
        }
        if shape == Shape::Json && script.events != 1 {
            return Err(format!("`{model}`: a JSON answer has no events"));
        }
        Ok(script)
    }

    fn take(&mut self, word: &str) -> Option<()> {
        let split = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
        let (name, digits) = word.split_at(split);
        let number: Option<u32> = if digits.is_empty() { None } else { Some(digits.parse().ok()?) };
        match (name, number) {
            ("e", Some(n @ 1..=EVENTS_MAX)) => self.events = n,
            ("b", Some(n)) if (200..=BYTES_MAX).contains(&(n as usize)) => self.bytes = n as usize,
            ("think", Some(n @ 0..=EVENTS_MAX)) => self.think = n,
            ("p", Some(ms)) => self.pace = Duration::from_millis(u64::from(ms)),
            ("us", Some(us)) => self.pace = Duration::from_micros(u64::from(us)),
            ("hold", Some(s)) => self.hold = Duration::from_secs(u64::from(s)),
            ("burst", Some(per_write @ 1..)) => self.cut = Cut::Events { per_write },
            ("bytewise", None) => self.cut = Cut::Bytes,
            ("random", None) => self.cut = Cut::Random,
            ("escaped", None) => self.escaped = true,
            ("reset", None) => self.fault = Some(Fault::Reset),
            ("hang", None) => self.fault = Some(Fault::Hang),
            ("slow", Some(ms)) => self.fault = Some(Fault::SlowHead { ms }),
            ("cut", Some(events)) => self.fault = Some(Fault::CutAfter { events }),
            ("garbage", None) => self.fault = Some(Fault::Garbage),
            ("status", Some(status @ 400..=599)) => self.fault = Some(Fault::Status(status as u16)),
            ("flaky", None) => self.fault = Some(Fault::Flaky),
            _ => return None,
        }
        Some(())
    }

    /// When the upstream sends its event of this number, thinking included, after its first one.
    #[must_use]
    pub fn due(&self, number: u32) -> Duration {
        let write = match self.cut {
            Cut::Events { per_write } => number / per_write.max(1),
            Cut::Bytes | Cut::Random => number,
        };
        let second = if self.hold.is_zero() { self.pace } else { self.hold };
        if write == 0 { Duration::ZERO } else { second + self.pace.saturating_mul(write - 1) }
    }

    /// The longest time in which a proxy that passes on what it has may be silent: from write to write, before the head, during thinking
    /// that it removes.
    #[must_use]
    pub fn silence(&self, stripped: bool) -> Duration {
        let hidden = if stripped { self.upstream_events() - self.events } else { 0 };
        // Writes that end anywhere are of 100 bytes on average, framing included: an event may need several.
        let writes = if self.cut == Cut::Random { self.bytes as u32 / 50 + 1 } else { 1 };
        let before_text = self.due((hidden + 1).saturating_mul(writes));
        let head = match self.fault {
            Some(Fault::SlowHead { ms }) => Duration::from_millis(u64::from(ms)),
            _ => Duration::ZERO,
        };
        before_text.max(self.hold).max(self.pace.saturating_mul(writes)).max(head)
    }

    /// Events that the upstream sends, thinking ones included.
    #[must_use]
    pub fn upstream_events(&self) -> u32 {
        self.events + if self.shape == Shape::Stream { self.think } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_scripts() {
        let script = Script::parse("mock-stream-e7-b300-think2-p10-hold3-bytewise-escaped-cut5").unwrap();
        assert_eq!((script.events, script.bytes, script.think), (7, 300, 2));
        assert_eq!((script.pace, script.hold), (Duration::from_millis(10), Duration::from_secs(3)));
        assert_eq!((script.cut, script.escaped), (Cut::Bytes, true));
        assert_eq!(script.fault, Some(Fault::CutAfter { events: 5 }));
        assert_eq!(script.upstream_events(), 9);
        assert_eq!(Script::parse("mock-json").unwrap().bytes, 1024);
        assert_eq!(Script::parse("mock-json-status429").unwrap().fault, Some(Fault::Status(429)));
    }

    #[test]
    fn a_script_has_its_times() {
        let times = |model: &str| {
            let script = Script::parse(model).unwrap();
            let ms = |time: Duration| time.as_millis();
            (
                ms(script.due(0)),
                ms(script.due(1)),
                ms(script.due(5)),
                ms(script.silence(true)),
                ms(script.silence(false)),
            )
        };
        assert_eq!(times("mock-stream-p10"), (0, 10, 50, 10, 10));
        assert_eq!(times("mock-stream-think50-p10"), (0, 10, 50, 510, 10));
        assert_eq!(times("mock-stream-p10-burst2"), (0, 0, 20, 10, 10));
        assert_eq!(times("mock-stream-p10-hold3"), (0, 3000, 3040, 3000, 3000));
        assert_eq!(times("mock-json-slow700"), (0, 0, 0, 700, 700));
        assert_eq!(times("mock-stream-b200-p10-random"), (0, 10, 50, 50, 50));
    }

    #[test]
    fn what_is_no_script_is_named() {
        for (model, word) in [
            ("gpt-4", "gpt-4"),
            ("mock-video", "video"),
            ("mock-stream-e0", "e0"),
            ("mock-stream-b10", "b10"),
            ("mock-stream-e99999999999", "e99999999999"),
            ("mock-json-status200", "status200"),
            ("mock-json-e2", "no events"),
            ("mock", "expected"),
        ] {
            let error = Script::parse(model).unwrap_err();
            assert!(error.contains(word), "{model}: {error}");
        }
    }
}
