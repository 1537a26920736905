//! The meaning of the filter on decoded text, written twice and as plainly as possible: `split_full` looks at the whole
//! text with `find`, `Splitter` takes one code unit at a time. With a small JSON reader of its own, since text may hold
//! halves of surrogate pairs, it shares nothing with the code under test but the profile's definition.

use std::collections::BTreeMap;
use thinkgate::wire::think::{Anchor, ProfileDef, Start};

/// Text as UTF-16 code units.
pub type Text = Vec<u16>;

pub fn units(text: &str) -> Text {
    text.encode_utf16().collect()
}

pub fn show(text: &[u16]) -> String {
    String::from_utf16_lossy(text)
}

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(Text),
    Array(Vec<Json>),
    Object(Vec<(Text, Json)>),
}

impl Json {
    pub fn parse(bytes: &[u8]) -> Option<Json> {
        let text = String::from_utf8_lossy(bytes);
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let value = reader.value(0)?;
        reader.blank();
        (reader.at == text.len()).then_some(value)
    }

    /// The last member of this name.
    pub fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        let key = units(key);
        members.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    pub fn text(&self) -> Option<&Text> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    pub fn is(&self, word: &str) -> bool {
        self.text().is_some_and(|text| *text == units(word))
    }

    pub fn array(&self) -> &[Json] {
        if let Json::Array(items) = self { items } else { &[] }
    }

    /// As Python has it.
    pub fn truthy(&self) -> bool {
        match self {
            Json::Null => false,
            Json::Bool(b) => *b,
            Json::Number(n) => n.parse::<f64>() != Ok(0.0),
            Json::Text(t) => !t.is_empty(),
            Json::Array(a) => !a.is_empty(),
            Json::Object(o) => !o.is_empty(),
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn blank(&mut self) {
        while self.text.get(self.at).is_some_and(|b| b" \t\r\n".contains(b)) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.blank();
        let hit = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(hit);
        hit
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > 60 {
            return None;
        }
        self.blank();
        match self.text.get(self.at)? {
            b'{' => {
                self.at += 1;
                let mut members = vec![];
                if self.eat(b'}') {
                    return Some(Json::Object(members));
                }
                loop {
                    self.blank();
                    let key = self.string()?;
                    if !self.eat(b':') {
                        return None;
                    }
                    members.push((key, self.value(depth + 1)?));
                    if self.eat(b'}') {
                        return Some(Json::Object(members));
                    }
                    if !self.eat(b',') {
                        return None;
                    }
                }
            }
            b'[' => {
                self.at += 1;
                let mut items = vec![];
                if self.eat(b']') {
                    return Some(Json::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    if self.eat(b']') {
                        return Some(Json::Array(items));
                    }
                    if !self.eat(b',') {
                        return None;
                    }
                }
            }
            b'"' => self.string().map(Json::Text),
            _ => {
                let start = self.at;
                while self.text.get(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)) {
                    self.at += 1;
                }
                match std::str::from_utf8(&self.text[start..self.at]).ok()? {
                    "null" => Some(Json::Null),
                    "true" => Some(Json::Bool(true)),
                    "false" => Some(Json::Bool(false)),
                    word => word.parse::<f64>().ok().map(|_| Json::Number(word.into())),
                }
            }
        }
    }

    fn string(&mut self) -> Option<Text> {
        if self.text.get(self.at) != Some(&b'"') {
            return None;
        }
        self.at += 1;
        let mut out = vec![];
        loop {
            let rest = std::str::from_utf8(&self.text[self.at..]).ok()?;
            let c = rest.chars().next()?;
            self.at += c.len_utf8();
            match c {
                '"' => return Some(out),
                '\\' => {
                    let escape = *self.text.get(self.at)?;
                    self.at += 1;
                    out.push(match escape {
                        b'n' => 10,
                        b't' => 9,
                        b'r' => 13,
                        b'b' => 8,
                        b'f' => 12,
                        b'"' | b'\\' | b'/' => u16::from(escape),
                        b'u' => {
                            let digits = std::str::from_utf8(self.text.get(self.at..self.at + 4)?).ok()?;
                            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                                return None;
                            }
                            self.at += 4;
                            u16::from_str_radix(digits, 16).ok()?
                        }
                        _ => return None,
                    });
                }
                c if c < ' ' => return None,
                c => out.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }
}

/// A profile in code units.
#[derive(Clone, Debug)]
pub struct Units {
    opens: Vec<Text>,
    closes: Vec<Text>,
    ends: Vec<Text>,
    glue: Vec<Text>,
    label: Text,
    inside: bool,
    anywhere: bool,
    trim: bool,
    leading: bool,
    prose: bool,
}

impl Units {
    pub fn new(def: &ProfileDef) -> Self {
        let all = |texts: &[String]| texts.iter().map(|t| units(t)).collect::<Vec<_>>();
        Self {
            opens: def.pairs.iter().map(|(o, _)| units(o)).collect(),
            closes: def.pairs.iter().map(|(_, c)| units(c)).collect(),
            ends: all(&def.ends),
            glue: all(&def.glue),
            label: units(&def.label),
            inside: def.start == Start::Inside,
            anywhere: def.anchor == Anchor::Anywhere,
            trim: def.trim,
            leading: def.drop_leading_close,
            prose: def.pairs[0].0.starts_with("Here"),
        }
    }

    fn enders(&self, pair: usize) -> Vec<(Text, bool)> {
        let closes = if self.prose { self.closes.clone() } else { vec![self.closes[pair].clone()] };
        closes.into_iter().map(|c| (c, true)).chain(self.ends.iter().map(|e| (e.clone(), false))).collect()
    }
}

fn is_blank(unit: u16) -> bool {
    [32, 9, 13, 10].contains(&unit)
}

fn lstrip(text: &[u16]) -> &[u16] {
    let n = text.iter().take_while(|u| is_blank(**u)).count();
    &text[n..]
}

fn find(text: &[u16], word: &[u16]) -> Option<usize> {
    text.windows(word.len()).position(|w| w == word)
}

fn first_of<'w>(text: &[u16], words: &'w [Text]) -> Option<&'w Text> {
    words.iter().filter(|w| text.starts_with(w)).max_by_key(|w| w.len())
}

/// (visible, thinking) of a whole text.
pub fn split_full(text: &[u16], p: &Units) -> (Text, Text) {
    let mut out = Full { p, vis: vec![], rea: vec![] };
    out.run(text);
    (out.vis, out.rea)
}

struct Full<'p> {
    p: &'p Units,
    vis: Text,
    rea: Text,
}

impl Full<'_> {
    fn pair(&self, open: &Text) -> usize {
        self.p.opens.iter().position(|o| o == open).unwrap()
    }

    fn think(&mut self, mut s: Text, pair: usize) -> Option<Text> {
        if !self.p.label.is_empty() && s.starts_with(&self.p.label) {
            s.drain(..self.p.label.len());
        }
        if self.p.trim {
            s = lstrip(&s).to_vec();
        }
        let mut best: Option<(usize, usize)> = None;
        for (word, consumed) in self.p.enders(pair) {
            if let Some(at) = find(&s, &word)
                && best.is_none_or(|(b, _)| at < b)
            {
                best = Some((at, if consumed { word.len() } else { 0 }));
            }
        }
        let Some((at, len)) = best else {
            self.rea.extend(s);
            return None;
        };
        self.rea.extend(&s[..at]);
        Some(s[at + len..].to_vec())
    }

    fn run(&mut self, text: &[u16]) {
        let p = self.p;
        let rest = lstrip(text);
        let tag = first_of(rest, &p.opens);
        let glue = first_of(rest, &p.glue);
        let leading = first_of(rest, &p.closes).filter(|_| p.leading);
        let mut after = if let (Some(glue), None) = (glue, tag) {
            Some(rest[glue.len()..].to_vec())
        } else if p.inside {
            let s = match tag {
                Some(tag) => &rest[tag.len()..],
                None if p.trim => rest,
                None => text,
            };
            self.think(s.to_vec(), tag.map_or(0, |t| self.pair(t)))
        } else if let Some(tag) = tag {
            self.think(rest[tag.len()..].to_vec(), self.pair(tag))
        } else if let Some(close) = leading {
            Some(rest[close.len()..].to_vec())
        } else {
            if !p.anywhere && p.glue.is_empty() {
                self.vis.extend(text);
            } else {
                self.scan(text.to_vec());
            }
            return;
        };
        while let Some(s) = after {
            let rest = lstrip(&s).to_vec();
            let body = if p.trim { rest.clone() } else { s.clone() };
            if let Some(tag) = first_of(&body, &p.opens) {
                after = self.think(body[tag.len()..].to_vec(), self.pair(tag));
            } else if let Some(glue) = first_of(&body, &p.glue) {
                after = Some(body[glue.len()..].to_vec());
            } else {
                if p.anywhere || !p.glue.is_empty() {
                    self.scan(body);
                } else {
                    self.vis.extend(body);
                }
                return;
            }
        }
    }

    fn scan(&mut self, mut s: Text) {
        let p = self.p;
        let look: Vec<Text> =
            if p.anywhere { p.opens.clone() } else { vec![] }.into_iter().chain(p.glue.clone()).collect();
        let both: Vec<Text> = p.opens.iter().chain(&p.glue).cloned().collect();
        loop {
            let hit =
                look.iter().filter_map(|w| Some((find(&s, w)?, usize::MAX - w.len(), w))).min_by_key(|h| (h.0, h.1));
            let Some((at, _, word)) = hit else {
                self.vis.extend(s);
                return;
            };
            self.vis.extend(&s[..at]);
            let rest = s[at + word.len()..].to_vec();
            if !p.opens.contains(word) {
                s = rest;
                continue;
            }
            let Some(mut after) = self.think(rest, self.pair(word)) else { return };
            s = loop {
                let t = if p.trim { lstrip(&after).to_vec() } else { after.clone() };
                let Some(word) = both.iter().find(|w| t.starts_with(w)) else { break t };
                after = t[word.len()..].to_vec();
                if p.opens.contains(word) {
                    let Some(next) = self.think(after, self.pair(word)) else { return };
                    after = next;
                }
            };
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Start,
    Think0,
    Think,
    After,
    Text,
    Done,
}

/// One code unit at a time, with the least possible held.
pub struct Splitter<'p> {
    p: &'p Units,
    state: State,
    pair: usize,
    label_done: bool,
    pub held: Text,
    pub vis: Text,
    pub rea: Text,
}

impl<'p> Splitter<'p> {
    pub fn new(p: &'p Units) -> Self {
        Self { p, state: State::Start, pair: 0, label_done: false, held: vec![], vis: vec![], rea: vec![] }
    }

    pub fn feed(&mut self, text: &[u16]) {
        for unit in text {
            self.held.push(*unit);
            while !self.held.is_empty() && self.step(false) {}
        }
    }

    pub fn finish(&mut self) {
        while !self.held.is_empty() && self.step(true) {}
    }

    fn enter(&mut self, pair: usize) {
        self.pair = pair;
        self.label_done = self.p.label.is_empty();
        self.state = State::Think0;
    }

    fn answer(&mut self) {
        self.state = if self.p.anywhere || !self.p.glue.is_empty() { State::Text } else { State::Done };
    }

    /// Take the word at the front that a set has; None: undecided.
    fn word(&self, words: &[Text], eof: bool) -> Option<Option<Text>> {
        if let Some(word) = first_of(&self.held, words) {
            return Some(Some(word.clone()));
        }
        let open = !eof && words.iter().any(|w| w.starts_with(&self.held));
        if open { None } else { Some(None) }
    }

    fn step(&mut self, eof: bool) -> bool {
        let p = self.p;
        let both: Vec<Text> = p.opens.iter().chain(&p.glue).cloned().collect();
        match self.state {
            State::Start => return self.start(eof, both),
            State::Think0 => {
                if !self.label_done {
                    if self.held.starts_with(&p.label) {
                        self.held.drain(..p.label.len());
                    } else if p.label.starts_with(&self.held) && !eof {
                        return false;
                    }
                    self.label_done = true;
                } else if p.trim && is_blank(self.held[0]) {
                    self.held.remove(0);
                } else {
                    self.state = State::Think;
                }
            }
            State::Think => {
                let enders = p.enders(self.pair);
                let words: Vec<Text> = enders.iter().map(|(w, _)| w.clone()).collect();
                match self.word(&words, eof) {
                    None => return false,
                    Some(None) => {
                        let unit = self.held.remove(0);
                        self.rea.push(unit);
                    }
                    Some(Some(word)) => {
                        if enders.iter().any(|(w, consumed)| *w == word && *consumed) {
                            self.held.drain(..word.len());
                        }
                        self.state = State::After;
                    }
                }
            }
            State::After => {
                if p.trim && is_blank(self.held[0]) {
                    self.held.remove(0);
                    return true;
                }
                match self.word(&both, eof) {
                    None => return false,
                    Some(None) => self.answer(),
                    Some(Some(word)) => self.take(&word),
                }
            }
            State::Text => {
                let look: Vec<Text> = if p.anywhere { both } else { p.glue.clone() };
                match self.word(&look, eof) {
                    None => return false,
                    Some(None) => {
                        let unit = self.held.remove(0);
                        self.vis.push(unit);
                    }
                    Some(Some(word)) => {
                        self.held.drain(..word.len());
                        if let Some(pair) = p.opens.iter().position(|o| *o == word) {
                            self.enter(pair);
                        }
                    }
                }
            }
            State::Done => self.vis.append(&mut self.held),
        }
        true
    }

    fn take(&mut self, word: &Text) {
        self.held.drain(..word.len());
        match self.p.opens.iter().position(|o| o == word) {
            Some(pair) => self.enter(pair),
            None => self.state = State::After,
        }
    }

    fn start(&mut self, eof: bool, mut words: Vec<Text>) -> bool {
        let p = self.p;
        if !p.inside && p.leading {
            words.extend(p.closes.clone());
        }
        let body = lstrip(&self.held).to_vec();
        let blank = self.held.len() - body.len();
        if let Some(word) = first_of(&body, &words) {
            self.held.drain(..blank);
            self.take(word);
        } else if !eof && words.iter().any(|w| w.starts_with(&body)) {
            return false;
        } else if p.inside {
            if p.trim {
                self.held.drain(..blank);
            }
            self.enter(0);
        } else {
            self.answer();
        }
        true
    }
}

/// An event stream as (type, data); an event without its empty line at the end is discarded.
pub fn sse_events(raw: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    let mut lines = vec![];
    let mut line = vec![];
    let mut at = 0;
    while at < raw.len() {
        match raw[at] {
            b'\n' => lines.push(std::mem::take(&mut line)),
            b'\r' => {
                lines.push(std::mem::take(&mut line));
                at += usize::from(raw.get(at + 1) == Some(&b'\n'));
            }
            byte => line.push(byte),
        }
        at += 1;
    }
    let (mut out, mut kind, mut data) = (vec![], vec![], Vec::<Vec<u8>>::new());
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                out.push((kind, data.join(&b'\n')));
            }
            (kind, data) = (vec![], vec![]);
            continue;
        }
        let colon = line.iter().position(|b| *b == b':');
        let (name, value) = colon.map_or((&line[..], &b""[..]), |c| (&line[..c], &line[c + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value).to_vec();
        match name {
            b"data" => data.push(value),
            b"event" => kind = value,
            _ => {}
        }
    }
    out
}

/// What a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Content,
    Reasoning,
    Tools,
    Finish,
    Error,
    End,
}

pub type Delta = (i64, Kind, Text);

const REASON_KEYS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

fn openai(object: &Json, out: &mut Vec<Delta>) {
    for choice in object.get("choices").map_or(&[][..], Json::array) {
        let index = match choice.get("index") {
            Some(Json::Number(n)) => n.parse().unwrap_or(0),
            _ => 0,
        };
        let delta = choice.get("delta").filter(|d| d.truthy()).or_else(|| choice.get("message"));
        if choice.get("text").is_some() && choice.get("delta").is_none() && choice.get("message").is_none() {
            if let Some(text) = choice.get("text").and_then(Json::text).filter(|t| !t.is_empty()) {
                out.push((index, Kind::Content, text.clone()));
            }
        } else if let Some(delta) = delta {
            message(index, delta, out);
        }
        if let Some(finish) = choice.get("finish_reason").filter(|f| f.truthy()) {
            out.push((index, Kind::Finish, units(&format!("{finish:?}"))));
        }
    }
}

fn message(index: i64, delta: &Json, out: &mut Vec<Delta>) {
    let reasons = REASON_KEYS.iter().filter_map(|k| delta.get(k)?.text());
    if let Some(reason) = reasons.into_iter().find(|t| !t.is_empty()) {
        out.push((index, Kind::Reasoning, reason.clone()));
    }
    match delta.get("content") {
        Some(Json::Text(text)) if !text.is_empty() => out.push((index, Kind::Content, text.clone())),
        Some(Json::Array(parts)) => {
            for part in parts {
                let kind = part.get("type");
                if kind.is_some_and(|k| k.is("text") || k.is("output_text")) {
                    out.push((
                        index,
                        Kind::Content,
                        part.get("text").and_then(Json::text).cloned().unwrap_or_default(),
                    ));
                } else if kind.is_some_and(|k| k.is("thinking")) {
                    let thought = match part.get("thinking") {
                        Some(Json::Text(text)) => text.clone(),
                        Some(Json::Array(items)) => {
                            items.iter().filter_map(|i| i.get("text")?.text()).flatten().copied().collect()
                        }
                        _ => vec![],
                    };
                    out.push((index, Kind::Reasoning, thought));
                }
            }
        }
        _ => {}
    }
    if let Some(tools) = delta.get("tool_calls").filter(|t| t.truthy()) {
        out.push((index, Kind::Tools, units(&format!("{tools:?}"))));
    }
}

/// Read the bytes of an answer as a client would. `format` is a name of the corpus.
pub fn read_deltas(raw: &[u8], format: &str) -> Vec<Delta> {
    let mut out = vec![];
    match format {
        "openai_sse" | "openai_completions_sse" => {
            for (_, data) in sse_events(raw) {
                if data.trim_ascii() == b"[DONE]" {
                    out.push((-1, Kind::End, units("[DONE]")));
                } else if let Some(object) = Json::parse(&data) {
                    match object.get("error") {
                        Some(error) if object.get("choices").is_none_or(|c| !c.truthy()) => {
                            out.push((-1, Kind::Error, units(&format!("{error:?}"))));
                        }
                        _ => openai(&object, &mut out),
                    }
                }
            }
        }
        "openai_json" | "openai_completions_json" => {
            if let Some(object) = Json::parse(raw) {
                openai(&object, &mut out);
            }
        }
        "anthropic_sse" => {
            sse_events(raw).iter().filter_map(|(_, data)| Json::parse(data)).for_each(|o| anthropic(&o, &mut out))
        }
        "responses_sse" => {
            sse_events(raw).iter().filter_map(|(_, data)| Json::parse(data)).for_each(|o| responses(&o, &mut out))
        }
        _ => raw.split(|b| *b == b'\n').filter_map(Json::parse).for_each(|o| ollama(&o, &mut out)),
    }
    out
}

fn ollama(object: &Json, out: &mut Vec<Delta>) {
    if let Some(error) = object.get("error") {
        out.push((-1, Kind::Error, units(&format!("{error:?}"))));
        return;
    }
    let (message, key) = object.get("message").map_or((object, "response"), |m| (m, "content"));
    let text = |key: &str| message.get(key).and_then(Json::text).filter(|t| !t.is_empty()).cloned();
    if let Some(thinking) = text("thinking") {
        out.push((0, Kind::Reasoning, thinking));
    }
    if let Some(content) = text(key) {
        out.push((0, Kind::Content, content));
    }
    if let Some(tools) = message.get("tool_calls").filter(|t| t.truthy()) {
        out.push((0, Kind::Tools, units(&format!("{tools:?}"))));
    }
    if object.get("done").is_some_and(Json::truthy) {
        out.push((0, Kind::Finish, units(&format!("{:?}", object.get("done_reason")))));
    }
}

fn anthropic(object: &Json, out: &mut Vec<Delta>) {
    let kind = |k: &str| object.get("type").is_some_and(|t| t.is(k));
    let delta = object.get("delta");
    if kind("content_block_delta") {
        for (key, what) in [("text", Kind::Content), ("thinking", Kind::Reasoning), ("partial_json", Kind::Tools)] {
            if let Some(text) = delta.and_then(|d| d.get(key)?.text()) {
                out.push((0, what, text.clone()));
            }
        }
    } else if kind("message_delta") {
        out.push((0, Kind::Finish, units(&format!("{:?}", delta.and_then(|d| d.get("stop_reason"))))));
    } else if kind("error") {
        out.push((-1, Kind::Error, units(&format!("{:?}", object.get("error")))));
    } else if kind("message_stop") {
        out.push((-1, Kind::End, units("message_stop")));
    }
}

fn responses(object: &Json, out: &mut Vec<Delta>) {
    let kind = |k: &str| object.get("type").is_some_and(|t| t.is(k));
    let delta = object.get("delta").and_then(Json::text).cloned().unwrap_or_default();
    if kind("response.output_text.delta") {
        out.push((0, Kind::Content, delta));
    } else if kind("response.reasoning_text.delta") || kind("response.reasoning_summary_text.delta") {
        out.push((0, Kind::Reasoning, delta));
    } else if kind("response.completed") {
        out.push((-1, Kind::End, units("response.completed")));
    }
}

/// Text of each choice; choices without any are left out.
pub type Texts = BTreeMap<i64, String>;

/// (visible, thinking in members, thinking that was found inline).
pub fn apply_policy(deltas: &[Delta], policy: &str, p: &Units) -> (Texts, Texts, Texts) {
    let (mut vis, mut rea, mut det) = (Texts::new(), Texts::new(), Texts::new());
    let choices: std::collections::BTreeSet<i64> = deltas.iter().map(|d| d.0).filter(|c| *c >= 0).collect();
    for choice in choices {
        let own: Vec<&Delta> = deltas.iter().filter(|d| d.0 == choice).collect();
        let all = |kind| own.iter().filter(|d| d.1 == kind).flat_map(|d| d.2.clone()).collect::<Text>();
        let (v, r, d) = match policy {
            "keep" => (all(Kind::Content), all(Kind::Reasoning), vec![]),
            "strip" => {
                let (v, d) = split_full(&all(Kind::Content), p);
                (v, vec![], d)
            }
            "separate" => {
                let (v, d) = split_full(&all(Kind::Content), p);
                let (mut splitter, mut r) = (Splitter::new(p), vec![]);
                for (_, kind, text) in own.iter().copied() {
                    match kind {
                        Kind::Reasoning => r.extend(text),
                        Kind::Content => {
                            splitter.feed(text);
                            r.append(&mut splitter.rea);
                        }
                        _ => {}
                    }
                }
                splitter.finish();
                r.append(&mut splitter.rea);
                (v, r, d)
            }
            _ => (wrap(&own), vec![], vec![]),
        };
        for (to, text) in [(&mut vis, v), (&mut rea, r), (&mut det, d)] {
            if !text.is_empty() {
                to.insert(choice, show(&text));
            }
        }
    }
    (vis, rea, det)
}

fn wrap(own: &[&Delta]) -> Text {
    let (mut out, mut open, mut any) = (vec![], false, false);
    for (_, kind, text) in own {
        if *kind == Kind::Reasoning {
            if !open {
                out.extend(units(if any { "\n\n<think>\n" } else { "<think>\n" }));
                open = true;
            }
            out.extend(text);
            continue;
        }
        if std::mem::take(&mut open) {
            out.extend(units("\n</think>\n\n"));
        }
        if *kind == Kind::Content {
            out.extend(text);
            any = true;
        }
    }
    if open {
        out.extend(units("\n</think>\n\n"));
    }
    out
}
