//! For a client that follows a stream with token counts and did not ask for them: the event that holds nothing else is
//! taken out, since some clients stumble over an event without choices.

use serde::{Deserialize, de::IgnoredAny};

use crate::base::bounds::EVENT_BYTES_MAX;

/// Holds back at most one unfinished event.
#[derive(Default)]
pub struct Strain {
    held: Vec<u8>,
}

impl Strain {
    /// Appends to `out` what of the stream is whole; `last`: nothing follows.
    pub fn feed(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = event_end(&self.held[at..]) {
            let event = &self.held[at..at + length];
            if !is_counts(event) {
                out.extend_from_slice(event);
            }
            at += length;
        }
        self.held.drain(..at);
        if last || self.held.len() > EVENT_BYTES_MAX {
            out.append(&mut self.held);
        }
    }
}

/// How long the first event is, its blank line included.
fn event_end(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        if matches!(&bytes[line..at], b"" | b"\r") {
            return Some(at + 1);
        }
        line = at + 1;
    }
    None
}

fn is_counts(event: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Counts {
        choices: Vec<IgnoredAny>,
        usage: IgnoredAny,
    }
    let Some(data) = event.trim_ascii().strip_prefix(b"data:") else { return false };
    // Events with text are told from it by a look.
    memchr::memmem::find(data, b"usage").is_some()
        && serde_json::from_slice::<Counts>(data).is_ok_and(|Counts { choices, usage: IgnoredAny }| choices.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_counts_go_at_every_cut() {
        let counts = "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
        let others = [
            ": a comment\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"choices\\\":[],\\\"usage\\\":\"}}],\"usage\":null}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"usage\"}}]}\r\n\r\n",
            "data: {\"choices\":[]}\n\n",
            "event: usage\ndata: x\n\n",
            "data: [DONE]\n\n",
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
}
