//! Single rules, each in the smallest stream that shows it.

use crate::drive::run;
use std::sync::Arc;
use thinkgate::wire::think::{
    Filter, Format, Framing, Out, Policy, Profile, ProfileDef, ProfileError, ReasoningFields, Spec, Start,
    StartOverride, Stats, may_need_edit, table, whole,
};

fn spec(format: Format, policy: Policy) -> Spec {
    let framing =
        if matches!(format, Format::OllamaChat | Format::OllamaGenerate) { Framing::Ndjson } else { Framing::Sse };
    Spec::new(format, framing, policy, Profile::think())
}

fn chat(policy: Policy) -> Spec {
    spec(Format::OpenAiChat, policy)
}

/// An OpenAI event with these members in its delta.
fn delta(members: &str) -> String {
    format!("data: {{\"id\":\"i\",\"choices\":[{{\"index\":0,\"delta\":{{{members}}},\"finish_reason\":null}}]}}\n\n")
}

fn say(text: &str) -> String {
    delta(&format!("\"content\":\"{text}\""))
}

const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// The output for an input, the same for every cut.
fn filter(spec: &Spec, input: &str) -> String {
    let (output, stats) = run(spec, [input.as_bytes()]);
    for cut in 0..=input.len() {
        let (left, right) = input.as_bytes().split_at(cut);
        assert_eq!(run(spec, [left, right]), (output.clone(), stats), "cut at {cut}");
    }
    String::from_utf8(output).unwrap()
}

fn stats(spec: &Spec, input: &str) -> Stats {
    run(spec, [input.as_bytes()]).1
}

fn body(format: Format, policy: Policy, input: &str) -> String {
    let mut spec = spec(format, policy);
    spec.framing = Framing::Json;
    let (mut out, mut written) = (Out::new(), vec![]);
    whole(&spec, input.as_bytes(), &mut out);
    out.copy_to(input.as_bytes(), &mut written);
    assert!(may_need_edit(&spec, input.as_bytes()) || written == input.as_bytes());
    String::from_utf8(written).unwrap()
}

#[test]
fn held_text_comes_before_what_it_must_not_overtake() {
    let tools = delta("\"tool_calls\":[{\"index\":0}]");
    assert_eq!(
        filter(&chat(Policy::Strip), &(say(" <th") + &tools + STOP)),
        delta("\"content\":\" <th\",\"tool_calls\":[{\"index\":0}]") + STOP
    );
    let null = delta("\"content\":null,\"tool_calls\":[{\"index\":0}]");
    assert_eq!(
        filter(&chat(Policy::Strip), &(say("<th") + &null)),
        delta("\"content\":\"<th\",\"tool_calls\":[{\"index\":0}]")
    );
    let error = "data: {\"error\":{\"message\":\"<think>\"}}\n\n";
    assert_eq!(filter(&chat(Policy::Strip), &(say("<th") + error)), say("<th") + error);
    let held = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"<th\"},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(filter(&chat(Policy::Strip), &(say("<th") + STOP + DONE)), held.to_owned() + DONE);
    let line = |text: &str| {
        format!("{{\"model\":\"m\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n")
    };
    let error = "{\"error\":\"boom\"}\n";
    assert_eq!(filter(&spec(Format::OllamaChat, Policy::Strip), &(line("<th") + error)), line("<th") + error);
}

#[test]
fn a_tag_may_be_cut_by_the_parts_of_a_body() {
    let parts = |one: &str, two: &str| {
        let part = |text: &str| format!("{{\"type\":\"text\",\"text\":\"{text}\"}}");
        format!("{{\"choices\":[{{\"index\":0,\"message\":{{\"content\":[{},{}]}}}}]}}", part(one), part(two))
    };
    for cut in 1.."<think>".len() {
        let (one, two) = "<think>secret".split_at(cut);
        let shown = body(Format::OpenAiChat, Policy::Strip, &parts(one, two));
        assert!(!shown.contains("secret"), "{shown}");
    }
    body(Format::OpenAiChat, Policy::Strip, &parts("<", "x"));
}

#[test]
fn white_space_before_a_tool_call_is_not_yet_an_answer() {
    let tools = delta("\"tool_calls\":[{\"index\":0}]");
    let output = filter(&chat(Policy::Strip), &(say("\\n") + &tools + &say("<think>a</think>b")));
    assert_eq!(output, delta("\"content\":\"\\n\",\"tool_calls\":[{\"index\":0}]") + &say("b"));
}

#[test]
fn both_copies_of_a_key_are_edited() {
    let twice = delta("\"content\":\"<think>a</think>x\",\"content\":\"y<think>\"");
    assert_eq!(filter(&chat(Policy::Strip), &twice), delta("\"content\":\"x\",\"content\":\"y<think>\""));
    let escaped = delta("\"cont\\u0065nt\":\"<think>a</think>x\",\"re\\u0061soning\":\"t\"");
    assert_eq!(filter(&chat(Policy::Strip), &escaped), delta("\"cont\\u0065nt\":\"x\""));
}

#[test]
fn an_event_of_several_lines_is_edited_in_its_lines() {
    let event = "event: x\ndata: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"reasoning\":\"r\",\ndata: \"content\":\"<think>a</think>b\"}}]}\n\n";
    let edited = "event: x\ndata: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"b\"}}]}\n\n";
    assert_eq!(filter(&chat(Policy::Strip), event), edited);
    let gone = event.replace("</think>b", "");
    assert_eq!(filter(&chat(Policy::Strip), &(gone + &say("</think>b"))), say("b"));
    let broken = "data: {\"choices\":[{\"delta\":{\"content\":\"<think>\ndata: a</think>b\"}}]}\n\n";
    assert_eq!(filter(&chat(Policy::Strip), broken), broken);
}

#[test]
fn nothing_of_a_dropped_event_stays() {
    let thought = |event: &str| format!("event: message\r\nid: 7\r\n{event}").replace("\n\n", "\r\n\r\n");
    let input = thought(&say("<think>a")) + "\r\n\r\n: note\r\n\r\n" + &thought(&say("</think>b"));
    assert_eq!(filter(&chat(Policy::Strip), &input), ": note\r\n\r\n".to_owned() + &thought(&say("b")));
}

#[test]
fn copies_of_reasoning_in_other_members_go_too() {
    for member in [
        "\"reasoning_details\":[{\"text\":\"t\"}]",
        "\"thinking_blocks\":[{}]",
        "\"reasoning_text\":\"t\"",
        "\"provider_specific_fields\":{\"reasoning_content\":\"t\"}",
    ] {
        assert_eq!(filter(&chat(Policy::Strip), &delta(&format!("\"content\":\"a\",{member}"))), say("a"));
        assert_eq!(filter(&chat(Policy::Strip), &delta(&format!("\"reasoning\":\"t\",{member},\"content\":\"\""))), "");
    }
    let harmless = delta("\"content\":\"a\",\"provider_specific_fields\":{\"refusal\":null}");
    assert_eq!(filter(&chat(Policy::Strip), &harmless), harmless);
}

#[test]
fn logprobs_of_removed_thinking_go() {
    let event = |members: &str, logprobs: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"role\":\"x\",{members}}},\"logprobs\":{logprobs}}}]}}\n\n")
    };
    let probs = "{\"content\":[{\"token\":\"t\"}]}";
    assert_eq!(
        filter(&chat(Policy::Strip), &event("\"reasoning\":\"t\",\"content\":\"\"", probs)),
        event("\"content\":\"\"", "null")
    );
    assert_eq!(filter(&chat(Policy::Strip), &event("\"content\":\"a\"", probs)), event("\"content\":\"a\"", probs));
}

#[test]
fn separate_uses_the_member_that_is_asked_for() {
    let mut spec = chat(Policy::Separate);
    let input = say("<think>a</think>b");
    assert_eq!(filter(&spec, &input), delta("\"reasoning_content\":\"a\",\"content\":\"b\""));
    spec.reasoning_fields = ReasoningFields::Reasoning;
    assert_eq!(filter(&spec, &input), delta("\"reasoning\":\"a\",\"content\":\"b\""));
    spec.reasoning_fields = ReasoningFields::Both;
    assert_eq!(filter(&spec, &input), delta("\"reasoning_content\":\"a\",\"reasoning\":\"a\",\"content\":\"b\""));
    let mixed = delta("\"content\":\"<think>a</think>b\",\"reasoning\":\"f \"");
    assert_eq!(filter(&spec, &mixed), delta("\"content\":\"b\",\"reasoning\":\"f a\""));
    assert_eq!(filter(&spec, &say("<think></think>b")), say("b"));
}

#[test]
fn thinking_behind_text_gets_an_event_of_its_own() {
    let mut spec = chat(Policy::Separate);
    spec.profile = table::builtin("think_anywhere").unwrap();
    assert_eq!(
        filter(&spec, &say("x<think>a</think>y<think>b</think>z")),
        say("x")
            + &delta("\"reasoning_content\":\"a\",\"content\":\"y\"")
            + &delta("\"reasoning_content\":\"b\",\"content\":\"z\"")
    );
}

#[test]
fn wrap_closes_before_anything_else() {
    let think = |members: &str| delta(&format!("\"reasoning_content\":\"r\"{members}"));
    let tools = "\"tool_calls\":[{\"index\":0}]";
    assert_eq!(
        filter(&chat(Policy::Wrap), &(think("") + &delta(tools))),
        say("<think>\\nr") + &delta(&format!("\"content\":\"\\n</think>\\n\\n\",{tools}"))
    );
    assert_eq!(
        filter(&chat(Policy::Wrap), &think(&format!(",{tools}"))),
        delta(&format!("\"content\":\"<think>\\nr\\n</think>\\n\\n\",{tools}"))
    );
    let end = say("\\n</think>\\n\\n");
    assert_eq!(filter(&chat(Policy::Wrap), &think("")), say("<think>\\nr") + &end);
    assert_eq!(filter(&chat(Policy::Wrap), &(think("") + DONE)), say("<think>\\nr") + &end + DONE);
    let parts = delta(
        "\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"r\"}]},{\"type\":\"text\",\"text\":\"a\"}]",
    );
    assert_eq!(
        filter(&chat(Policy::Wrap), &parts),
        delta(
            "\"content\":[{\"type\":\"text\",\"text\":\"<think>\\nr\"},{\"type\":\"text\",\"text\":\"\\n</think>\\n\\na\"}]"
        )
    );
}

#[test]
fn a_cut_stream_leaks_no_thought_and_loses_no_answer() {
    let cut = |text: &str| {
        let event = say(text);
        event[..event.find(text).unwrap() + text.len()].to_owned()
    };
    for tail in ["plain", "a < b", "a</thi"] {
        assert_eq!(filter(&chat(Policy::Strip), &(say("b") + &cut(tail))), say("b") + &cut(tail));
    }
    for tail in ["<thi", "\\u003", "<think>secret", " \\u003cthink>secret"] {
        assert_eq!(filter(&chat(Policy::Strip), &cut(tail)), "");
    }
    assert_eq!(filter(&chat(Policy::Strip), &(say("<think>a") + &cut("secret"))), "");
    let field = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"secret";
    assert_eq!(filter(&chat(Policy::Strip), &(say("b") + field)), say("b"));
    // An event that is whole but for its empty line is filtered as any other, and nothing is held beyond it.
    let event = say("<think>a</think>b <");
    assert_eq!(filter(&chat(Policy::Strip), &event[..event.len() - 2]), say("b <").trim_end());
    assert_eq!(filter(&chat(Policy::Strip), &(say("<th") + "data: [DONE]")), say("<th") + "data: [DONE]");
}

#[test]
fn the_request_moves_the_start() {
    let mut spec = chat(Policy::Strip);
    spec.start = StartOverride::Inside;
    assert_eq!(filter(&spec, &say("a</think>b")), say("b"));
    spec.start = StartOverride::Off;
    assert_eq!(filter(&spec, &say("<think>a</think>b")), say("<think>a</think>b"));
    assert!(Filter::new(&spec).bypass());
    spec.start = StartOverride::Prefill;
    assert_eq!(filter(&spec, &say("<think>a</think>b")), say("b"));
    spec.profile = table::builtin("think_prefilled").unwrap();
    assert_eq!(filter(&spec, &say("<think>a</think>b")), say("<think>a</think>b"));
    spec.start = StartOverride::Profile;
    assert_eq!(filter(&spec, &say("a</think>b")), say("b"));
}

#[test]
fn more_choices_than_asked_for_are_filtered_and_too_many_pass() {
    let choice = |index: usize, text: &str| {
        format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let spec = chat(Policy::Strip);
    let input: String = (0..140).map(|index| choice(index, "<think>a</think>b")).collect();
    let (output, stats) = run(&spec, [input.as_bytes()]);
    let expected: String =
        (0..140).map(|index| choice(index, if index < 128 { "b" } else { "<think>a</think>b" })).collect();
    assert_eq!(String::from_utf8(output).unwrap(), expected);
    assert_eq!(stats.over_cap, 12);
}

#[test]
fn an_event_beyond_the_bound_passes_and_is_counted() {
    let large = say(&("<think>".to_owned() + &"x".repeat(1 << 20)));
    let input = say("<th") + &large + &say("ink>a</think>b");
    let (output, stats) = run(&chat(Policy::Strip), input.as_bytes().chunks(16_384));
    assert_eq!(String::from_utf8(output).unwrap(), say("<th") + &large + &say("ink>a</think>b"));
    assert_eq!(stats.over_cap, 1);
}

#[test]
fn leading_white_space_beyond_the_bound_is_released() {
    let blank = " ".repeat(300);
    let (output, stats) = run(&chat(Policy::Strip), [(say(&blank) + &say("<think>a</think>b")).as_bytes()]);
    assert_eq!(String::from_utf8(output).unwrap(), say(&blank) + &say("b"));
    assert_eq!(stats.over_cap, 1);
}

#[test]
fn counts() {
    let strip = chat(Policy::Strip);
    let seen = stats(&strip, &(say("<think>ab") + &say("</thi") + &say("nk>x") + STOP));
    assert_eq!((seen.removed_bytes, seen.held_max, seen.edited_events, seen.dropped_events), (17, 5, 1, 2));
    assert_eq!(stats(&strip, &(say("<think>ab") + STOP)).unclosed, 1);
    assert_eq!(stats(&strip, &(say("plan</thi") + &say("nk>x") + &say("</think>") + STOP)).dangling_close, 1);
    assert_eq!(stats(&strip, &(say("plan") + &say(" a</think>x") + STOP)).dangling_close, 1);
    assert_eq!(stats(&strip, &(say("<think>a</think>x") + &say("</think>") + STOP)).dangling_close, 0);
    let (mut filter, mut out) = (Filter::new(&strip), Out::new());
    filter.feed(say("<think>").as_bytes(), &mut out);
    assert!(filter.stats().suppressing);
    filter.feed(say("</think>a").as_bytes(), &mut out);
    assert!(!filter.stats().suppressing);
}

#[test]
fn signs_of_life() {
    let (mut filter, mut out, mut beat) = (Filter::new(&chat(Policy::Strip)), Out::new(), vec![]);
    assert!(!filter.heartbeat(&mut beat), "nothing is known yet");
    filter.feed(say("<think>").as_bytes(), &mut out);
    assert!(filter.heartbeat(&mut beat));
    assert_eq!(beat, b": thinking\n\n");
    filter.feed(b"data: {\"cho", &mut out);
    assert!(filter.heartbeat(&mut beat), "what is held is not written yet");
    filter.feed(b"ices\":[]}\n\n: comm", &mut out);
    assert!(!filter.heartbeat(&mut beat), "in the middle of a comment");
    filter.feed(b"ent\n\nid: 7\n", &mut out);
    filter.feed(say("a</think>b").as_bytes(), &mut out);
    filter.feed(say("x").as_bytes(), &mut out);
    beat.clear();
    assert!(filter.heartbeat(&mut beat));
    assert_eq!(beat, b": thinking\n", "an empty line would be an event");
    // go-openai gives up after 300 lines without data.
    let mut filter = Filter::new(&chat(Policy::Strip));
    filter.feed(say("<think>").as_bytes(), &mut out);
    let mut lines = 0;
    for _ in 0..1000 {
        beat.clear();
        assert!(filter.heartbeat(&mut beat));
        lines = if beat.starts_with(b"data:") { 0 } else { lines + 2 };
        assert!(lines < 300);
    }
    let (mut written, mut input) = (vec![], String::new());
    (0..1000).for_each(|_| input.push_str(": hb\n\n"));
    filter.feed(input.as_bytes(), &mut out);
    out.copy_to(input.as_bytes(), &mut written);
    assert!(written.iter().filter(|b| **b == b'\n').count() < 300);
}

#[test]
fn signs_of_life_in_ndjson() {
    let line = |text: &str| {
        format!(
            "{{\"model\":\"m\",\"created_at\":\"t\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
        )
    };
    let (mut filter, mut out, mut beat) = (Filter::new(&spec(Format::OllamaChat, Policy::Strip)), Out::new(), vec![]);
    assert!(!filter.heartbeat(&mut beat));
    filter.feed(line("<think>").as_bytes(), &mut out);
    assert!(filter.heartbeat(&mut beat));
    assert_eq!(String::from_utf8(beat).unwrap(), line(""));
}

#[test]
fn bypass_when_nothing_can_follow() {
    let mut out = Out::new();
    let mut keep = Filter::new(&chat(Policy::Keep));
    assert!(keep.bypass());
    keep.feed(b"data: <think>", &mut out);
    assert_eq!(out.segs().len(), 1);
    let text = |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"{text}\"}}]}}\n\n");
    let mut legacy = Filter::new(&spec(Format::OpenAiCompletions, Policy::Strip));
    legacy.feed(text("<think>a").as_bytes(), &mut out);
    assert!(!legacy.bypass());
    legacy.feed(text("</think>b").as_bytes(), &mut out);
    assert!(legacy.bypass());
    let mut fields = Filter::new(&chat(Policy::Strip));
    fields.feed(say("<think>a</think>b").as_bytes(), &mut out);
    assert!(!fields.bypass(), "a reasoning member may still come");
}

#[test]
fn an_untouched_read_is_one_range() {
    let (mut filter, mut out) = (Filter::new(&chat(Policy::Strip)), Out::new());
    let read = (0..40).map(|nth| say(&format!("text {nth}"))).collect::<String>() + ": c\n\n" + &say("x");
    filter.feed(read.as_bytes(), &mut out);
    assert_eq!(out.segs(), [thinkgate::wire::think::Seg::Input { start: 0, end: read.len() }]);
}

#[test]
fn a_filter_is_small() {
    assert!(size_of::<Filter>() <= 256, "{}", size_of::<Filter>());
}

#[test]
fn anthropic_blocks_are_renumbered() {
    let event = |kind: &str, index: u32, rest: &str| {
        format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"index\":{index}{rest}}}\n\n")
    };
    let block = |index: u32, kind: &str, delta: &str| {
        event("content_block_start", index, &format!(",\"content_block\":{{\"type\":\"{kind}\"}}"))
            + &event("content_block_delta", index, &format!(",\"delta\":{{{delta}}}"))
            + &event("content_block_stop", index, "")
    };
    let thought = |index| block(index, "thinking", "\"type\":\"thinking_delta\",\"thinking\":\"t\"");
    let text = |index, text: &str| block(index, "text", &format!("\"type\":\"text_delta\",\"text\":\"{text}\""));
    let tool = |index| block(index, "tool_use", "\"type\":\"input_json_delta\",\"partial_json\":\"<think>\"");
    let redacted = |index| block(index, "redacted_thinking", "\"type\":\"x\"");
    let input = thought(0) + &text(1, "a") + &redacted(2) + &tool(3) + &thought(4) + &text(5, "b");
    let strip = spec(Format::AnthropicMessages, Policy::Strip);
    assert_eq!(filter(&strip, &input), text(0, "a") + &tool(1) + &text(2, "b"));
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{}}\n\n";
    let start = event("content_block_start", 0, ",\"content_block\":{\"type\":\"text\"}");
    let held = event("content_block_delta", 0, ",\"delta\":{\"type\":\"text_delta\",\"text\":\"<th\"}");
    assert_eq!(filter(&strip, &(start.clone() + &held + error)), start + &held + error);
    assert_eq!(
        body(
            Format::AnthropicMessages,
            Policy::Strip,
            r#"{"type":"message","content":[{"type":"thinking","thinking":"t"},{"type":"text","text":"<think>a</think>b"},{"type":"tool_use","input":{"a":"<think>"}}]}"#
        ),
        r#"{"type":"message","content":[{"type":"text","text":"b"},{"type":"tool_use","input":{"a":"<think>"}}]}"#
    );
}

#[test]
fn the_responses_api_repeats_no_thought() {
    let responses = spec(Format::OpenAiResponses, Policy::Strip);
    let event = |kind: &str, rest: &str| format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}}}\n\n");
    let delta = |text: &str| {
        event(
            "response.output_text.delta",
            &format!("\"item_id\":\"i\",\"output_index\":1,\"content_index\":0,\"delta\":\"{text}\""),
        )
    };
    let after = |text: &str| {
        let part = format!("{{\"type\":\"output_text\",\"text\":\"{text}\",\"annotations\":[]}}");
        let item = format!("{{\"type\":\"message\",\"content\":[{part}]}}");
        event("response.output_text.done", &format!("\"output_index\":1,\"text\":\"{text}\""))
            + &event("response.content_part.done", &format!("\"part\":{part}"))
            + &event("response.output_item.done", &format!("\"item\":{item}"))
            + &event(
                "response.completed",
                &format!("\"response\":{{\"output\":[{{\"type\":\"reasoning\",\"content\":[]}},{item}]}}"),
            )
    };
    let added =
        event("response.content_part.added", "\"output_index\":1,\"part\":{\"type\":\"output_text\",\"text\":\"\"}");
    let input = added.clone() + &delta("<think>a") + &delta("</think>b") + &delta(" c") + &after("<think>a</think>b c");
    assert_eq!(filter(&responses, &input), added + &delta("b") + &delta(" c") + &after("b c"));
    let input = delta("<th") + &after("<th");
    assert_eq!(filter(&responses, &input), input);
    assert_eq!(
        body(
            Format::OpenAiResponses,
            Policy::Strip,
            r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"<think>a</think>b","logprobs":[1]}]}]}"#
        ),
        r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"b","logprobs":[]}]}]}"#
    );
}

#[test]
fn whole_bodies() {
    let chat = |policy, input: &str| body(Format::OpenAiChat, policy, input);
    let input = r#"{"choices":[{"message":{"content":"a<th","reasoning":"r"},"logprobs":{},"finish_reason":"stop"}]}"#;
    assert_eq!(
        chat(Policy::Strip, input),
        r#"{"choices":[{"message":{"content":"a<th"},"logprobs":null,"finish_reason":"stop"}]}"#
    );
    assert_eq!(chat(Policy::Strip, "{\"error\":\"<think>\"}"), "{\"error\":\"<think>\"}");
    assert_eq!(chat(Policy::Strip, "no <think> json"), "no <think> json");
    assert_eq!(chat(Policy::Strip, ""), "");
    let only = r#"{"choices":[{"message":{"role":"assistant","reasoning_content":"r"},"finish_reason":"length"}]}"#;
    assert_eq!(chat(Policy::Strip, only), r#"{"choices":[{"message":{"role":"assistant"},"finish_reason":"length"}]}"#);
    assert_eq!(
        chat(Policy::Wrap, only),
        r#"{"choices":[{"message":{"content":"<think>\nr\n</think>\n\n","role":"assistant"},"finish_reason":"length"}]}"#
    );
    let generate = r#"{"model":"m","response":"\u003cthink\u003ea\u003c/think\u003e\n\nb","thinking":"t","done":true}"#;
    assert_eq!(body(Format::OllamaGenerate, Policy::Strip, generate), r#"{"model":"m","response":"b","done":true}"#);
}

#[test]
fn profiles_are_checked() {
    let def = |change: &dyn Fn(&mut ProfileDef)| {
        let mut def = ProfileDef::default();
        change(&mut def);
        Profile::new(&def).map(|_| ())
    };
    let word = String::from;
    assert_eq!(def(&|d| d.pairs.clear()), Err(ProfileError::NoPairs));
    assert_eq!(def(&|d| d.pairs[0].1.clear()), Err(ProfileError::Empty("pairs")));
    assert_eq!(def(&|d| d.ends.push(word(""))), Err(ProfileError::Empty("ends")));
    assert_eq!(def(&|d| d.glue.push("x".repeat(129))), Err(ProfileError::TooLong("x".repeat(129))));
    assert_eq!(def(&|d| d.glue.push(word("<think>x"))), Err(ProfileError::Prefix(word("<think>"), word("<think>x"))));
    assert_eq!(def(&|d| d.ends.push(word("</th"))), Err(ProfileError::Prefix(word("</th"), word("</think>"))));
    assert_eq!(def(&|d| d.glue.push(word("<think>"))), Err(ProfileError::Twice(word("<think>"))));
    assert_eq!(def(&|d| d.pairs.push((word("<think>"), word("<end>")))), Err(ProfileError::Twice(word("<think>"))));
    assert_eq!(def(&|d| d.glue.extend((0..70).map(|n| format!("<{n:03}>")))), Err(ProfileError::TooMany));
    assert_eq!(def(&|d| d.start = Start::Inside), Ok(()));
    assert!(Arc::strong_count(&Profile::think()) >= 1);
}
