//! Every case of the think corpus through the whole gateway: written by an upstream in three ways, read back, compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::both_drivers;
use crate::support::deltas::{self, Kind, joined};
use crate::support::{After, Conn, Gateway, Io, LAST_CHUNK, Upstream, chunk, stream_head};

both_drivers![every_case_however_it_is_written];

struct Case {
    name: String,
    format: String,
    policy: String,
    profile: String,
    choices: u64,
    reads: Vec<Vec<u8>>,
    spec: Value,
}

impl Case {
    fn load(path: &Path) -> Self {
        let spec = deltas::json(&std::fs::read(path).unwrap()).unwrap_or_else(|| panic!("{path:?} is JSON"));
        let text = |key: &str| spec[key].as_str().unwrap_or_else(|| panic!("{key} in {path:?}")).to_owned();
        let latin = text("enc") == "latin-1";
        let encode = |read: &Value| -> Vec<u8> {
            let read = read.as_str().unwrap();
            if latin {
                read.chars().map(|c| u8::try_from(c as u32).unwrap()).collect()
            } else {
                read.as_bytes().to_vec()
            }
        };
        Self {
            name: text("name"),
            format: text("format"),
            policy: text("policy"),
            profile: text("profile"),
            choices: spec["n"].as_u64().unwrap(),
            reads: spec["upstream"].as_array().unwrap().iter().map(encode).collect(),
            spec,
        }
    }

    fn input(&self) -> Vec<u8> {
        self.reads.concat()
    }

    fn is_stream(&self) -> bool {
        !self.format.ends_with("_json")
    }

    fn path(&self) -> &'static str {
        match self.format.as_str() {
            "openai_sse" | "openai_json" => "/v1/chat/completions",
            "openai_completions_sse" | "openai_completions_json" => "/v1/completions",
            "ollama_chat" | "ollama_chat_json" => "/api/chat",
            "ollama_generate" => "/api/generate",
            "anthropic_sse" => "/v1/messages",
            other => panic!("no path for {other}"),
        }
    }

    fn content_type(&self) -> &'static str {
        match (self.is_stream(), self.format.starts_with("ollama")) {
            (false, _) => "application/json",
            (true, true) => "application/x-ndjson",
            (true, false) => "text/event-stream",
        }
    }

    fn request(&self) -> String {
        json!({
            "model": format!("case-{}", self.profile), "stream": self.is_stream(), "n": self.choices,
            "prompt": "hi", "max_tokens": 1000, "messages": [{"role": "user", "content": "hi"}],
        })
        .to_string()
    }

    /// What is wrong with `output`.
    fn faults(&self, output: &[u8]) -> Vec<String> {
        let mut faults = Vec::new();
        let read = deltas::read(output, &self.format);
        for (member, kind) in [("visible", Kind::Content), ("reasoning", Kind::Reasoning)] {
            let wanted: BTreeMap<String, String> =
                serde_json::from_value(self.spec["expected"][member].clone()).unwrap();
            let got = joined(&read, kind);
            if got != wanted {
                faults.push(format!("{member} is {got:?}, not {wanted:?}"));
            }
        }
        let text = String::from_utf8_lossy(output);
        let strings = |key: &str| -> Vec<String> {
            self.spec.get(key).map_or(Vec::new(), |list| serde_json::from_value(list.clone()).unwrap())
        };
        faults.extend(
            strings("must_keep").iter().filter(|part| !text.contains(*part)).map(|part| format!("lost {part:?}")),
        );
        faults.extend(
            strings("must_not_contain").iter().filter(|part| text.contains(*part)).map(|part| format!("has {part:?}")),
        );
        if self.spec["expect_identical"] == true && output != self.input() {
            faults.push(format!("changed: {text}"));
        }
        if let Some(most) = self.spec["max_events_out"].as_u64() {
            let events = deltas::sse_events(output).len() as u64;
            if events > most {
                faults.push(format!("{events} events, at most {most}"));
            }
        }
        faults
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/think");
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 119, "the corpus is whole");
    let cases: Vec<Case> = paths.iter().map(|path| Case::load(path)).collect();
    cases.into_iter().filter(|case| case.spec["reference_only"] != true).collect()
}

/// All profiles of the cases under names of their own, so that no built-in one helps.
fn config(cases: &[Case], upstream: &Upstream) -> String {
    let (mut models, mut profiles) = (Vec::new(), Map::new());
    for case in cases {
        let name = format!("own-{}", case.profile.replace('_', "-"));
        let definition = &case.spec["profile_def"];
        if let Some(other) = profiles.insert(name.clone(), definition.clone()) {
            assert_eq!(other, *definition, "{}: one name, one definition", case.name);
        } else {
            models.push(json!({"match": format!("case-{}", case.profile), "profile": name}));
        }
    }
    // YAML holds JSON.
    json!({"upstream": {"url": upstream.url()}, "think": {"models": models, "profiles": profiles, "header": true}})
        .to_string()
}

/// How the upstream writes a case.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// In one piece, ended by closing (a stream) or by its length.
    Whole,
    /// The case's own reads, each a segment of its own.
    AsGiven,
    /// One byte a chunk; a short case one byte a segment as well.
    Bytes,
}

/// Longest case that is sent one byte a segment.
const SLOW_BYTES_MAX: usize = 2500;

fn write(conn: &mut Conn, case: &Case, manner: Manner) -> After {
    let (kind, input) = (case.content_type(), case.input());
    match manner {
        Manner::Whole if case.is_stream() => {
            conn.send([format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n").as_bytes(), &input].concat());
            return After::Close;
        }
        Manner::Whole => {
            let length = input.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
            conn.send([head.as_bytes(), &input].concat());
            return After::Keep;
        }
        Manner::AsGiven => {
            conn.send(stream_head(kind));
            for read in case.reads.iter().filter(|read| !read.is_empty()) {
                conn.send(chunk(read));
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Manner::Bytes if input.len() <= SLOW_BYTES_MAX => {
            conn.send(stream_head(kind));
            for byte in &input {
                conn.send(chunk([*byte]));
            }
        }
        Manner::Bytes => {
            conn.send(stream_head(kind));
            conn.send(input.iter().flat_map(|byte| chunk([*byte])).collect::<Vec<u8>>());
        }
    }
    conn.send(LAST_CHUNK);
    After::Keep
}

fn every_case_however_it_is_written(io: Io) {
    let cases = Arc::new(cases());
    let now = Arc::new(Mutex::new((0, Manner::Whole)));
    let (all, current) = (Arc::clone(&cases), Arc::clone(&now));
    let upstream = Upstream::start(move |conn, _| {
        let (at, manner) = *current.lock().unwrap();
        write(conn, &all[at], manner)
    });
    let gateway = Gateway::build(io).config(config(&cases, &upstream)).start();
    let mut failures = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let mut first: Option<Vec<u8>> = None;
        for manner in [Manner::Whole, Manner::AsGiven, Manner::Bytes] {
            *now.lock().unwrap() = (at, manner);
            let reply = gateway.post_with(case.path(), &format!("X-Think: {}\r\n", case.policy), &case.request());
            let mut faults = case.faults(&reply.body);
            if reply.status != 200 {
                faults.push(reply.line.clone());
            }
            // What comes out must not depend on how it went in.
            if first.get_or_insert_with(|| reply.body.clone()) != &reply.body {
                faults.push(format!("depends on the cut: {}", reply.text()));
            }
            failures.extend(faults.into_iter().map(|fault| format!("{} ({manner:?}): {fault}", case.name)));
        }
    }
    assert!(failures.is_empty(), "{} faults\n{}", failures.len(), failures.join("\n"));
}
