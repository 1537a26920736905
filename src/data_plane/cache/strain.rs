//! For a client that follows a stream with token counts and did not ask for them: the event that holds nothing else is
//! taken out, since some clients stumble over an event without choices.

use serde::{Deserialize, de::IgnoredAny};

use crate::base::bounds::EVENT_BYTES_MAX;

/// Holds back at most one unfinished event, and that only as long as it may be such a one.
#[derive(Default)]
pub struct Strain {
    held: Vec<u8>,
    /// The event under way is passed on.
    released: bool,
    line: Line,
}

/// What the line under way holds so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Nothing,
    /// A CR and nothing else.
    Cr,
    Something,
}

impl Strain {
    /// Appends to `out` what may be passed on; `last`: nothing follows.
    pub fn feed(&mut self, mut bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let (length, ended) = self.event_end(bytes);
            let (event, rest) = bytes.split_at(length);
            bytes = rest;
            if self.released {
                out.extend_from_slice(event);
                self.released = !ended;
            } else if ended && self.held.is_empty() {
                if !is_counts(event) {
                    out.extend_from_slice(event);
                }
            } else {
                self.held.extend_from_slice(event);
                if ended && is_counts(&self.held) {
                    self.held.clear();
                } else if ended || has_choices(&self.held) || self.held.len() > EVENT_BYTES_MAX {
                    out.append(&mut self.held);
                    self.released = !ended;
                }
            }
        }
        if last {
            out.append(&mut self.held);
        }
    }

    /// How much of `bytes` belongs to the event under way, and whether it ends there.
    fn event_end(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', bytes) {
            self.note(&bytes[start..at]);
            start = at + 1;
            if std::mem::take(&mut self.line) != Line::Something {
                return (start, true);
            }
        }
        self.note(&bytes[start..]);
        (bytes.len(), false)
    }

    fn note(&mut self, part: &[u8]) {
        self.line = match (self.line, part) {
            (line, []) => line,
            (Line::Nothing, b"\r") => Line::Cr,
            _ => Line::Something,
        };
    }
}

/// The start of an event that shows something: no need to wait for its end.
fn has_choices(start: &[u8]) -> bool {
    let has = |sign: &[u8]| memchr::memmem::find(start, sign).is_some();
    has(br#""choices":[{"#) || has(br#""choices": [{"#)
}

fn is_counts(event: &[u8]) -> bool {
    /// Whatever else stands there (an error, most of all) is more than counts. llama.cpp's `timings` are not: they come
    /// with the counts, and clients that look at the first choice unasked would stumble over their event.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether there are others counts")]
    struct Counts {
        choices: Vec<IgnoredAny>,
        usage: Option<IgnoredAny>,
        id: Option<IgnoredAny>,
        object: Option<IgnoredAny>,
        created: Option<IgnoredAny>,
        model: Option<IgnoredAny>,
        system_fingerprint: Option<IgnoredAny>,
        service_tier: Option<IgnoredAny>,
        provider: Option<IgnoredAny>,
        obfuscation: Option<IgnoredAny>,
        timings: Option<IgnoredAny>,
    }
    let Some(data) = event.trim_ascii().strip_prefix(b"data:") else { return false };
    // Events with text are told from it by a look.
    memchr::memmem::find(data, b"usage").is_some()
        && serde_json::from_slice::<Counts>(data)
            .is_ok_and(|Counts { choices, usage, .. }| choices.is_empty() && usage.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_counts_go_at_every_cut() {
        let counts = "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1},\"timings\":{}}\n\n";
        let others = [
            ": a comment\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"choices\\\":[],\\\"usage\\\":\"}}],\"usage\":null}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}]}\r\n\r\n",
            "data: {\"choices\":[]}\n\n",
            "data: {\"choices\":[],\"usage\":null,\"prompt_filter_results\":[]}\n\n",
            "event: usage\ndata: x\n\n",
            "data: [DONE]\n\n",
            "data: {\"choices\":[],\"usage\":{},\"error\":{\"message\":\"the backend died\"}}\n\n",
            "data: {\"choices\":[],\"usage\":{},\"new\":1}\n\n",
            "data: cut usage",
        ];
        let mut stream = String::new();
        others.iter().for_each(|event| {
            stream += counts;
            stream += event;
        });
        for cut in 0..=stream.len() {
            let (mut strain, mut out) = (Strain::default(), Vec::new());
            strain.feed(&stream.as_bytes()[..cut], false, &mut out);
            strain.feed(&stream.as_bytes()[cut..], true, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), others.concat(), "cut at {cut}");
        }
    }

    #[test]
    fn what_shows_something_is_not_held_back() {
        let event = "data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\n";
        let (mut strain, mut shown) = (Strain::default(), Vec::new());
        for (at, byte) in event.bytes().enumerate() {
            strain.feed(&[byte], false, &mut shown);
            let begun = event.find("[{").unwrap_or(0) + 1;
            let end = event.find("\n\n").unwrap_or(0) + 2;
            assert_eq!(shown.len(), if at < begun { 0 } else { (at + 1).min(end) }, "{at}");
        }
    }
}
