//! What the think filter costs for an event, against what it replaces: reading and writing the event with serde_json.
//!
//! `cargo bench --bench think`. A read of 64 events is measured and divided: `…/event` figures are for one event.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use thinkgate::wire::think::{Filter, Format, Framing, Out, Policy, Profile, Spec, request_facts};

const EVENTS: u64 = 64;

fn chat(delta: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-7pbU4NlfAkYjpPXBgRMxyPk9PcRYeWSy\",\"object\":\"chat.completion.chunk\",\"created\":1795215186,\
         \"model\":\"deepseek-r1-distill\",\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
         \"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
    )
}

fn ollama(nth: u64, text: &str) -> String {
    format!(
        "{{\"model\":\"deepseek-r1:8b\",\"created_at\":\"2025-05-01T10:00:00.{:09}Z\",\"message\":{{\"role\":\"assistant\",\
         \"content\":\"{text}\"}},\"done\":false}}\n",
        nth * 1_234_567
    )
}

/// Time per read of [`EVENTS`] events, fed to a filter that has seen `before`.
fn reads(c: &mut Criterion, name: &str, spec: &Spec, before: &str, read: &str) {
    let mut group = c.benchmark_group("think");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function(name, |b| {
        let (mut filter, mut out) = (Filter::new(spec), Out::new());
        filter.feed(before.as_bytes(), &mut out);
        b.iter(|| {
            filter.feed(black_box(read.as_bytes()), &mut out);
            black_box(out.segs().len())
        });
    });
    group.finish();
}

fn bench(c: &mut Criterion) {
    let spec = |policy| Spec::new(Format::OpenAiChat, Framing::Sse, policy, Profile::think());
    let many = |event: &str| event.repeat(EVENTS as usize);
    let answer = many(&chat("{\"content\":\" some text\"}"));
    let answering = chat("{\"content\":\"<think>a</think>b\"}");
    let thinking = chat("{\"content\":\"<think>a\"}");
    reads(c, "untouched", &spec(Policy::Strip), &answering, &answer);
    reads(c, "thinking dropped", &spec(Policy::Strip), &thinking, &answer);
    reads(c, "field dropped", &spec(Policy::Strip), "", &many(&chat("{\"reasoning_content\":\" some text\"}")));
    let both = many(&chat("{\"content\":\" some text\",\"reasoning_content\":null}"));
    reads(c, "field cut out", &spec(Policy::Strip), "", &both);
    reads(c, "thinking to field", &spec(Policy::Separate), &thinking, &answer);
    reads(c, "field to tags", &spec(Policy::Wrap), "", &both.replace("null", "\"x\""));
    let mut anywhere = spec(Policy::Strip);
    anywhere.profile = thinkgate::wire::think::table::builtin("think_anywhere").unwrap_or_else(Profile::think);
    reads(c, "untouched, anywhere", &anywhere, &answering, &answer);
    reads(c, "block inside", &anywhere, &answering, &many(&chat("{\"content\":\"some <think>a</think> text\"}")));
    let native = Spec::new(Format::OllamaChat, Framing::Ndjson, Policy::Strip, Profile::think());
    let lines: String = (0..EVENTS).map(|nth| ollama(nth, " some text")).collect();
    reads(c, "ollama untouched", &native, &ollama(0, "b"), &lines);
    reads(c, "ollama thinking dropped", &native, &ollama(0, "<think>"), &lines);

    let mut group = c.benchmark_group("floor");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("byte test", |b| {
        let finder = memchr::memmem::Finder::new(b"\\u003");
        b.iter(|| {
            for event in black_box(answer.as_bytes()).chunks(answer.len() / EVENTS as usize) {
                black_box((memchr::memchr(b'<', event), finder.find(event)));
            }
        });
    });
    group.bench_function("serde_json round trip", |b| {
        b.iter(|| {
            for event in black_box(&answer).split_terminator("\n\n") {
                let value: serde_json::Value = serde_json::from_str(&event[6..]).unwrap_or_default();
                black_box(serde_json::to_vec(&value).unwrap_or_default());
            }
        });
    });
    group.finish();

    let mut group = c.benchmark_group("long answer");
    let text = answer.repeat(100);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("strip", |b| {
        let mut out = Out::new();
        b.iter(|| {
            let mut filter = Filter::new(&spec(Policy::Strip));
            for read in text.as_bytes().chunks(16 * 1024) {
                filter.feed(read, &mut out);
                black_box(out.segs().len());
            }
        });
    });
    group.finish();

    let mut group = c.benchmark_group("request");
    let body = format!(
        "{{\"model\":\"m\",\"stream\":true,\"temperature\":0.7,\"messages\":[{{\"role\":\"system\",\"content\":\"{}\"}},{{\"role\":\"user\",\"content\":\"{}\"}}]}}",
        "You are helpful. ".repeat(20),
        "Why is the sky blue? ".repeat(28)
    );
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("facts", |b| b.iter(|| black_box(request_facts(black_box(body.as_bytes())))));
    group.bench_function("new filter", |b| {
        let spec = spec(Policy::Strip);
        b.iter(|| black_box(Filter::new(black_box(&spec))));
    });
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_millis(500)).warm_up_time(std::time::Duration::from_millis(200)); targets = bench }
criterion_main!(benches);
