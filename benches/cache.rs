//! What the cache costs a request: the key, the look, the recording, the replay.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use thinkgate::control_plane::cache::{Config, Store};
use thinkgate::policy::fingerprint::{Fingerprint, Fingerprinter, InstallKey, Scope};
use thinkgate::wire::answer::{Context, End, Kind, Recorder, Replay, decode, encode};
use thinkgate::wire::think::{Framing, ReasoningFields};

fn chat(messages: usize, words: usize) -> Vec<u8> {
    let text = "some \"words\" of talk\n".repeat(words);
    let messages: Vec<_> = (0..messages)
        .map(|at| json!({"role": if at % 2 == 0 { "user" } else { "assistant" }, "content": text}))
        .collect();
    json!({"model": "m", "stream": true, "temperature": 0.7, "max_tokens": 500, "messages": messages})
        .to_string()
        .into_bytes()
}

fn fingerprints(c: &mut Criterion) {
    let mut group = c.benchmark_group("fingerprint");
    let mut printer = Fingerprinter::new(InstallKey([7; 32]));
    let scope = Scope {
        tenant: b"token",
        route: b"default",
        credential: b"",
        profile: b"",
        model: None,
        kind: Kind::OpenAiChat,
        sampled: true,
    };
    for (name, body) in [("1 KB", chat(4, 9)), ("4 KB", chat(8, 21)), ("200 KB", chat(100, 82))] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| b.iter(|| printer.fingerprint(&scope, black_box(&body)).unwrap()));
    }
    group.finish();
}

fn event(text: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
    )
}

fn stream() -> String {
    let mut stream: String = (0..200).map(|_| event(" token")).collect();
    stream.push_str("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    stream
}

fn answers(c: &mut Criterion) {
    let stream = stream();
    let record = || {
        let mut recorder = Recorder::new(Kind::OpenAiChat, Framing::Sse, 200, true);
        stream.as_bytes().chunks(4096).for_each(|chunk| recorder.feed(chunk));
        recorder.finish(End::Whole).unwrap()
    };
    let answer = record();
    let mut bytes = Vec::new();
    encode(&answer, &mut bytes);
    let context = |stream| Context {
        kind: Kind::OpenAiChat,
        stream,
        model: "m",
        id: "chatcmpl-0123456789abcdefghijklmn",
        now_unix_micros: 1_795_216_504_000_001,
        elapsed_nanos: 5000,
        include_usage: true,
        base64: false,
        words: false,
        reasoning_fields: ReasoningFields::ReasoningContent,
    };
    let mut group = c.benchmark_group("answer");
    group.bench_function("record 200 events", |b| b.iter(record));
    group.bench_function("encode 1.2 KB", |b| {
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            encode(black_box(&answer), &mut out);
        });
    });
    for (name, stream) in [("decode and replay plain 1.2 KB", false), ("decode and replay stream 1.2 KB", true)] {
        group.bench_function(name, |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                let answer = decode(black_box(&bytes)).unwrap();
                let mut replay = Replay::new(&answer, context(stream)).unwrap();
                while replay.next_event(&mut out) {}
            });
        });
    }
    group.finish();
}

/// Answers of 200 bytes, so that a million of them fit into memory.
fn store(c: &mut Criterion) {
    let mut group = c.benchmark_group("store");
    for (name, entries) in [("1,000", 1_000_u32), ("1,000,000", 1_000_000)] {
        let dir = std::env::temp_dir().join(format!("thinkgate-bench-{}-{entries}", std::process::id()));
        let config = Config {
            dir: dir.clone(),
            ttl: Duration::from_secs(600),
            entries_max: entries.max(3000),
            memory_bytes: 1 << 30,
            disk_bytes: Some(64 << 20),
        };
        let store = Store::open(&config, 0).unwrap();
        let print =
            |number: u64| Fingerprint((u128::from(number) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_le_bytes());
        (0..u64::from(entries)).for_each(|number| store.insert(print(number), vec![1; 200].into(), 0));
        let mut number = 0;
        group.bench_function(format!("memory hit of {name}"), |b| {
            b.iter(|| {
                number = (number + 7919) % u64::from(entries);
                store.get_memory(print(number), 1).unwrap()
            });
        });
        group.bench_function(format!("miss beside {name}"), |b| {
            b.iter(|| {
                number += 1;
                let absent = print(number + u64::from(entries) * 2);
                (store.get_memory(absent, 1).is_some(), store.may_be_on_disk(absent))
            });
        });
        store.close();
        drop(store);
        let _ = std::fs::remove_dir_all(dir);
    }
    group.finish();
}

criterion_group!(benches, fingerprints, answers, store);
criterion_main!(benches);
