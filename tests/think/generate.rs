//! Streams made from numbers: from a seed for the tests, from the fuzzer's bytes for the fuzzer.

use std::sync::Arc;
use thinkgate::wire::think::{Format, Framing, Policy, Profile, ProfileDef, Spec, table};

/// A source of choices.
pub struct Source<'a> {
    state: u64,
    bytes: Option<&'a [u8]>,
}

impl<'a> Source<'a> {
    #[allow(dead_code, reason = "the fuzzer has bytes")]
    pub fn seed(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, bytes: None }
    }

    #[allow(dead_code, reason = "the tests have seeds")]
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self { state: 0, bytes: Some(bytes) }
    }

    /// A number below `limit`; 0 when the bytes are used up.
    pub fn below(&mut self, limit: usize) -> usize {
        if let Some(bytes) = &mut self.bytes {
            let Some((first, rest)) = bytes.split_first() else { return 0 };
            *bytes = rest;
            return usize::from(*first) % limit;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as usize % limit
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// One stream and what it should be filtered with.
pub struct Stream {
    /// Name of the format in the corpus.
    pub format: &'static str,
    pub policy: &'static str,
    pub profile: &'static str,
    pub def: ProfileDef,
    pub spec: Spec,
    /// Events with everything that belongs to them; their ends are the places where nothing may be delayed.
    pub events: Vec<Vec<u8>>,
}

impl Stream {
    pub fn bytes(&self) -> Vec<u8> {
        self.events.concat()
    }
}

/// Pieces that delimiters are made of, and text around them.
fn fragments(def: &ProfileDef) -> Vec<String> {
    let mut all: Vec<String> = [
        "a", " ", "\n", "<", "</", "x<y", "<th", "think>", "日本", "😀", "`", "Here", "[", "◁", "\"", "\\", "\t", "é",
        "/",
    ]
    .map(String::from)
    .to_vec();
    for text in def.pairs.iter().flat_map(|(open, close)| [open, close]).chain(&def.ends).chain(&def.glue) {
        all.push(text.clone());
        all.push(text.clone());
        all.push(text.chars().take(3).collect());
        all.push(text.chars().take(text.chars().count() - 1).collect());
    }
    all.push(def.label.clone());
    all
}

/// Spell text as the body of a JSON string, each unit in one of its legal ways. Halves of pairs are spelled alone.
fn spell(source: &mut Source, text: &[u16], style: usize) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < text.len() {
        let unit = text[at];
        at += 1;
        let pair = [unit, text.get(at).copied().unwrap_or(0)];
        let c = match char::from_u32(u32::from(unit)) {
            Some(c) => Some(c),
            None => char::decode_utf16(pair).next().and_then(Result::ok),
        };
        let escaped = match style {
            0 => false,
            1 => "<>&".contains(c.unwrap_or('x')),
            2 => !c.is_some_and(|c| c.is_ascii()) || "<>&+\"'".contains(c.unwrap_or('x')),
            _ => source.one_in(4),
        };
        match c {
            Some('"') if !escaped => out.push_str("\\\""),
            Some('\\') if !escaped => out.push_str("\\\\"),
            Some('\n') if !escaped => out.push_str("\\n"),
            Some('\t') if !escaped => out.push_str("\\t"),
            Some('/') if style == 3 && !escaped => out.push_str("\\/"),
            Some(c) if !escaped && c >= ' ' => {
                out.push(c);
                at += c.len_utf16() - 1;
            }
            _ if style == 2 => out.push_str(&format!("\\u{unit:04X}")),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out
}

const FORMATS: [&str; 5] = ["openai_sse", "openai_sse", "openai_completions_sse", "ollama_chat", "ollama_generate"];

struct Maker<'s, 'a> {
    source: &'s mut Source<'a>,
    format: &'static str,
    style: usize,
    space: &'static str,
    line_end: &'static str,
    ids: bool,
    nth: usize,
}

impl Maker<'_, '_> {
    fn event(&mut self, object: &str) -> Vec<u8> {
        self.nth += 1;
        let (end, source) = (self.line_end, &mut *self.source);
        let mut out = String::new();
        if !self.format.ends_with("sse") {
            return format!("{object}\n").into_bytes();
        }
        if source.one_in(12) {
            out.push_str(&format!(": note{end}"));
        }
        if source.one_in(16) {
            out.push_str(end);
        }
        if self.ids {
            out.push_str(&format!("event: message{end}id: {}{end}", self.nth));
        }
        if source.one_in(20) {
            out.push_str(&format!(": inside{end}"));
        }
        if source.one_in(20) && object.contains(",\"choices\"") {
            let two = object.replacen(",\"choices\"", &format!(",{end}data: \"choices\""), 1);
            out.push_str(&format!("data: {two}{end}{end}"));
        } else {
            let blank = source.pick(&["data: ", "data: ", "data:", "data:  "]);
            out.push_str(&format!("{blank}{object}{end}{end}"));
        }
        out.into_bytes()
    }

    fn object(
        &mut self,
        index: usize,
        text: Option<&str>,
        thinking: Option<&str>,
        finish: bool,
        tools: bool,
    ) -> String {
        let s = self.space;
        let mut members = vec![];
        let key = match self.format {
            "openai_completions_sse" => "text",
            "ollama_generate" => "response",
            _ => "content",
        };
        let source = &mut *self.source;
        let field = if self.format.starts_with("ollama") {
            "thinking"
        } else {
            *source.pick(&["reasoning_content", "reasoning"])
        };
        let field = if self.format == "openai_completions_sse" { None } else { Some(field) };
        match text {
            Some(text) => members.push(format!("\"{key}\":{s}\"{text}\"")),
            None if key != "content" || source.one_in(3) => members.push(format!("\"{key}\":{s}\"\"")),
            None if source.one_in(3) && key == "content" => members.push(format!("\"{key}\":{s}null")),
            None => {}
        }
        match (thinking, field) {
            (Some(thinking), Some(field)) => members.push(format!("\"{field}\":{s}\"{thinking}\"")),
            (None, Some(field)) if source.one_in(6) => members.push(format!("\"{field}\":{s}null")),
            _ => {}
        }
        if source.one_in(2) {
            members.reverse();
        }
        if tools {
            members.push(format!("\"tool_calls\":{s}[{{\"function\":{{\"arguments\":\"<think>\"}}}}]"));
        }
        if source.one_in(8) && !self.format.starts_with("ollama") && key != "text" {
            members.insert(0, format!("\"role\":{s}\"assistant\""));
        }
        let members = members.join(&format!(",{s}"));
        let created = source.below(3);
        if self.format.starts_with("ollama") {
            let message = if key == "content" {
                format!(
                    "\"message\":{s}{{\"role\":\"assistant\"{}{members}}}",
                    if members.is_empty() { "" } else { "," }
                )
            } else {
                members
            };
            let done = if finish { format!("true,{s}\"done_reason\":\"stop\"") } else { "false".into() };
            return format!("{{\"model\":{s}\"m\",{s}\"created_at\":\"{created}\",{message},{s}\"done\":{s}{done}}}");
        }
        let finish = if finish { "\"stop\"" } else { "null" };
        let logprobs = if source.one_in(6) {
            format!(",{s}\"logprobs\":{s}{{\"content\":[{{\"token\":\"<think>\"}}]}}")
        } else {
            String::new()
        };
        let body = if key == "text" { members } else { format!("\"delta\":{s}{{{members}}}") };
        let choice = if source.one_in(3) {
            format!("{{{body}{logprobs},\"index\":{s}{index},\"finish_reason\":{finish}}}")
        } else {
            format!("{{\"index\":{s}{index},{s}{body}{logprobs},\"finish_reason\":{finish}}}")
        };
        let usage = if source.one_in(10) { ",\"usage\":{\"completion_tokens\":3}" } else { ",\"usage\":null" };
        format!("{{\"id\":{s}\"c-1\",\"created\":{s}{created},\"choices\":{s}[{choice}]{usage}}}")
    }
}

/// Cut text into deltas, also between the halves of a pair.
fn deltas(source: &mut Source, text: &str) -> Vec<Vec<u16>> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let longest = *source.pick(&[1, 3, 8, 40]);
    let (mut at, mut out) = (0, vec![]);
    while at < units.len() {
        let len = 1 + source.below(longest).min(units.len() - at - 1);
        out.push(units[at..at + len].to_vec());
        at += len;
    }
    out
}

/// Make a stream.
pub fn stream(source: &mut Source) -> Stream {
    let profiles = table::definitions();
    let (profile, def) = profiles[if source.one_in(2) { 0 } else { source.below(profiles.len()) }].clone();
    let format = *source.pick(&FORMATS);
    let policy = *source.pick(&["strip", "strip", "separate", "wrap"]);
    let choices = if format.starts_with("openai") { 1 + source.below(4) / 2 } else { 1 };
    let fragments = fragments(&def);
    let mut maker = Maker {
        style: source.below(4),
        space: if source.one_in(3) { " " } else { "" },
        line_end: source.pick::<&str>(&["\n", "\n", "\n", "\r\n", "\r"]),
        ids: source.one_in(6),
        nth: 0,
        format,
        source,
    };
    let mut lanes: Vec<Vec<String>> = vec![];
    for index in 0..choices {
        let mut lane = vec![];
        let count = maker.source.below(9);
        let text: String = (0..count).map(|_| maker.source.pick(&fragments).clone()).collect();
        for delta in deltas(maker.source, &text) {
            while maker.source.one_in(5) {
                let thought = spell(maker.source, &[0x74, 0x3c, 0x6e], maker.style);
                lane.push(maker.object(index, None, Some(&thought), false, false));
            }
            let text = spell(maker.source, &delta, maker.style);
            lane.push(maker.object(index, Some(&text), None, false, false));
        }
        if maker.source.one_in(5) && format != "openai_completions_sse" && format != "ollama_generate" {
            lane.push(maker.object(index, None, None, false, true));
        }
        if !maker.source.one_in(5) {
            lane.push(maker.object(index, None, None, true, false));
        }
        lane.reverse();
        lanes.push(lane);
    }
    let mut events = vec![];
    while lanes.iter().any(|lane| !lane.is_empty()) {
        let lane = maker.source.below(choices);
        let lane =
            if lanes[lane].is_empty() { lanes.iter().position(|lane| !lane.is_empty()).unwrap_or(0) } else { lane };
        if let Some(object) = lanes[lane].pop() {
            events.push(maker.event(&object));
        }
        if maker.source.one_in(25) {
            events.push(maker.event("ping"));
        }
    }
    if maker.source.one_in(8) {
        events.push(maker.event("{\"error\":{\"message\":\"<think>\"}}"));
    }
    if format.ends_with("sse") && !maker.source.one_in(4) {
        events.push(maker.event("[DONE]"));
    }
    let (kind, framing) = match format {
        "openai_sse" => (Format::OpenAiChat, Framing::Sse),
        "openai_completions_sse" => (Format::OpenAiCompletions, Framing::Sse),
        "ollama_chat" => (Format::OllamaChat, Framing::Ndjson),
        _ => (Format::OllamaGenerate, Framing::Ndjson),
    };
    let which = match policy {
        "strip" => Policy::Strip,
        "separate" => Policy::Separate,
        _ => Policy::Wrap,
    };
    let compiled = Arc::new(Profile::new(&def).unwrap_or_else(|error| unreachable!("{error}")));
    let mut spec = Spec::new(kind, framing, which, compiled);
    spec.choices = choices as u16;
    Stream { format, policy, profile, def, spec, events }
}
