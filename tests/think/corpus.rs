//! Every case of the corpus, in every cut.

use crate::drive::run;
use crate::oracle::{self, Units};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use thinkgate::wire::think::{
    Anchor, Format, Framing, Out, Policy, Profile, ProfileDef, Spec, Start, may_need_edit, whole,
};

pub struct Case {
    pub name: String,
    pub format: String,
    pub policy: String,
    pub def: ProfileDef,
    pub spec: Spec,
    pub reads: Vec<Vec<u8>>,
    pub json: Value,
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().map(|a| a.iter().filter_map(|t| Some(t.as_str()?.to_string())).collect()).unwrap_or_default()
}

fn def(value: &Value) -> ProfileDef {
    ProfileDef {
        pairs: value["pairs"].as_array().unwrap().iter().map(|p| (texts(p)[0].clone(), texts(p)[1].clone())).collect(),
        start: if value["start"] == "inside" { Start::Inside } else { Start::Outside },
        anchor: if value["anchor"] == "anywhere" { Anchor::Anywhere } else { Anchor::Start },
        trim: value["trim"].as_bool().unwrap(),
        drop_leading_close: value["drop_leading_close"].as_bool().unwrap(),
        ends: texts(&value["ends"]),
        label: value["label"].as_str().unwrap().into(),
        glue: texts(&value["glue"]),
    }
}

pub fn policy(name: &str) -> Policy {
    match name {
        "strip" => Policy::Strip,
        "keep" => Policy::Keep,
        "separate" => Policy::Separate,
        "wrap" => Policy::Wrap,
        other => panic!("{other}"),
    }
}

pub fn format(name: &str) -> (Format, Framing) {
    match name {
        "openai_sse" => (Format::OpenAiChat, Framing::Sse),
        "openai_json" => (Format::OpenAiChat, Framing::Json),
        "openai_completions_sse" => (Format::OpenAiCompletions, Framing::Sse),
        "openai_completions_json" => (Format::OpenAiCompletions, Framing::Json),
        "ollama_chat" => (Format::OllamaChat, Framing::Ndjson),
        "ollama_generate" => (Format::OllamaGenerate, Framing::Ndjson),
        "ollama_chat_json" => (Format::OllamaChat, Framing::Json),
        "ollama_generate_json" => (Format::OllamaGenerate, Framing::Json),
        "anthropic_sse" => (Format::AnthropicMessages, Framing::Sse),
        "responses_sse" => (Format::OpenAiResponses, Framing::Sse),
        other => panic!("{other}"),
    }
}

pub fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/think");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    assert!(paths.len() >= 135, "the corpus is not there");
    paths
        .into_iter()
        .map(|path| {
            let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let (kind, framing) = format(json["format"].as_str().unwrap());
            let def = def(&json["profile_def"]);
            let profile = Arc::new(Profile::new(&def).unwrap());
            let mut spec = Spec::new(kind, framing, policy(json["policy"].as_str().unwrap()), profile);
            spec.choices = json["n"].as_u64().unwrap() as u16;
            let latin = json["enc"] == "latin-1";
            let encode =
                |text: &str| if latin { text.chars().map(|c| c as u8).collect() } else { text.as_bytes().to_vec() };
            Case {
                name: json["name"].as_str().unwrap().into(),
                format: json["format"].as_str().unwrap().into(),
                policy: json["policy"].as_str().unwrap().into(),
                reads: json["upstream"].as_array().unwrap().iter().map(|r| encode(r.as_str().unwrap())).collect(),
                def,
                spec,
                json,
            }
        })
        .collect()
}

fn events(raw: &[u8], format: &str) -> usize {
    if format.ends_with("sse") {
        oracle::sse_events(raw).len()
    } else {
        raw.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count()
    }
}

fn check(case: &Case, written: &[u8], input: &[u8]) {
    let name = &case.name;
    let shown = String::from_utf8_lossy(written);
    let read = oracle::read_deltas(written, &case.format);
    let profile = Units::new(&case.def);
    let (visible, reasoning, _) = oracle::apply_policy(&read, "keep", &profile);
    for (what, found) in [("visible", &visible), ("reasoning", &reasoning)] {
        let expected: oracle::Texts = case.json["expected"][what]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.parse().unwrap(), v.as_str().unwrap().into()))
            .collect();
        assert_eq!(*found, expected, "{name}: {what}\n{shown}");
    }
    let wanted = oracle::apply_policy(&oracle::read_deltas(input, &case.format), &case.policy, &profile);
    let known: oracle::Texts = case.json["expected"]["detected"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| (k.parse().unwrap(), v.as_str().unwrap().into()))
        .collect();
    if case.policy != "keep" {
        assert_eq!(wanted.2, known, "{name}: the oracle");
    }
    for kept in texts(&case.json["must_keep"]) {
        assert!(shown.contains(&kept), "{name}: lost {kept:?}\n{shown}");
    }
    for gone in texts(&case.json["must_not_contain"]) {
        assert!(!shown.contains(&gone), "{name}: leaked {gone:?}\n{shown}");
    }
    if case.json["expect_identical"] == true {
        assert_eq!(shown, String::from_utf8_lossy(input), "{name}: changed");
    }
    if let Some(most) = case.json["max_events_out"].as_u64() {
        assert!(events(written, &case.format) <= most as usize, "{name}: too many events\n{shown}");
    }
}

#[test]
fn every_case_in_every_cut() {
    for case in cases() {
        if case.format.starts_with("anthropic") {
            continue;
        }
        let input = case.reads.concat();
        let (whole_read, stats) = run(&case.spec, [&input[..]]);
        check(&case, &whole_read, &input);
        let as_captured = run(&case.spec, case.reads.iter().map(Vec::as_slice)).0;
        assert_eq!(
            String::from_utf8_lossy(&as_captured),
            String::from_utf8_lossy(&whole_read),
            "{}: as captured",
            case.name
        );
        let bytes = run(&case.spec, input.chunks(1));
        assert_eq!(
            String::from_utf8_lossy(&bytes.0),
            String::from_utf8_lossy(&whole_read),
            "{}: byte by byte",
            case.name
        );
        assert_eq!(bytes.1, stats, "{}: byte by byte", case.name);
        let step = 1 + input.len() / 3000;
        for cut in (0..=input.len()).step_by(step) {
            let cut_once = run(&case.spec, [&input[..cut], &input[cut..]]).0;
            assert_eq!(
                String::from_utf8_lossy(&cut_once),
                String::from_utf8_lossy(&whole_read),
                "{}: cut at {cut}",
                case.name
            );
        }
    }
}

#[test]
fn whole_bodies_are_edited_in_place() {
    for case in cases().into_iter().filter(|case| case.spec.framing == Framing::Json) {
        let (input, mut out, mut written) = (case.reads.concat(), Out::new(), vec![]);
        whole(&case.spec, &input, &mut out);
        out.copy_to(&input, &mut written);
        check(&case, &written, &input);
        assert!(may_need_edit(&case.spec, &input) || written == input, "{}", case.name);
    }
}
