//! After some events the filter allocates no more, whatever it does with the next ones.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use thinkgate::wire::think::{Filter, Format, Framing, Out, Policy, Profile, Spec, table};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn event(nth: usize, members: &str) -> String {
    format!("data: {{\"id\":\"c\",\"created\":{nth},\"choices\":[{{\"index\":0,\"delta\":{{{members}}}}}]}}\n\n")
}

/// Allocations for a hundred rounds of the same reads, after ten to warm up.
fn allocations(spec: &Spec, reads: &[String]) -> u64 {
    let (mut filter, mut out) = (Filter::new(spec), Out::new());
    let mut round = || {
        for read in reads {
            filter.feed(read.as_bytes(), &mut out);
        }
    };
    (0..10).for_each(|_| round());
    let before = COUNT.with(Cell::get);
    (0..100).for_each(|_| round());
    COUNT.with(Cell::get) - before
}

#[test]
fn nothing_is_allocated_for_an_event() {
    let profile = |name| table::builtin(name).unwrap_or_else(Profile::think);
    let spec = |policy, name| Spec::new(Format::OpenAiChat, Framing::Sse, policy, profile(name));
    let answer: Vec<String> = (0..8).map(|nth| event(nth, "\"content\":\"some text\"")).collect();
    let fields: Vec<String> = (0..8).map(|nth| event(nth, "\"content\":null,\"reasoning_content\":\"a\"")).collect();
    let tags: Vec<String> = ["<thi", "nk>a</", "think>b", "c <", "/x"]
        .iter()
        .enumerate()
        .map(|(nth, text)| event(nth, &format!("\"content\":\"{text}\"")))
        .collect();
    let mixed: Vec<String> = (0..8).map(|nth| event(nth, "\"content\":\"b<think>a</think>b\"")).collect();
    let parts = event(
        0,
        "\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"t\"}]},{\"type\":\"text\",\"text\":\"a\"}]",
    );
    let cut: Vec<String> =
        answer.concat().as_bytes().chunks(37).map(|read| String::from_utf8_lossy(read).into_owned()).collect();
    for policy in [Policy::Strip, Policy::Separate, Policy::Wrap] {
        for profile in ["think", "think_anywhere"] {
            for (what, reads) in
                [("answer", &answer), ("fields", &fields), ("tags", &tags), ("mixed", &mixed), ("cut", &cut)]
            {
                assert_eq!(allocations(&spec(policy, profile), reads), 0, "{policy:?} {profile} {what}");
            }
        }
    }
    assert_eq!(allocations(&spec(Policy::Strip, "think"), &[parts]), 0, "parts");
    let mut anthropic = spec(Policy::Strip, "think_anywhere");
    anthropic.format = Format::AnthropicMessages;
    let block = |text: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    assert_eq!(allocations(&anthropic, &["<thi", "nk>a</think>b"].map(block)), 0, "Anthropic");
    let native = Spec::new(Format::OllamaChat, Framing::Ndjson, Policy::Strip, profile("think"));
    let line = |nth: usize, text: &str| {
        format!(
            "{{\"model\":\"m\",\"created_at\":\"{nth}\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
        )
    };
    assert_eq!(allocations(&native, &[line(1, "\\u003cthink>"), line(2, "a"), line(3, "a \\u003c")]), 0, "Ollama");
}
