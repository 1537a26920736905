use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::think::{self, Format, Framing, Policy, Profile, ReasoningFields, Spec};

fn record(kind: Kind, form: Framing, body: &[u8]) -> Result<Answer<'static>, Unstorable> {
    record_cut(kind, form, &[body], End::Whole)
}

fn record_cut(kind: Kind, form: Framing, parts: &[&[u8]], end: End) -> Result<Answer<'static>, Unstorable> {
    let mut recorder = Recorder::new(kind, form, 200, true);
    parts.iter().for_each(|part| recorder.feed(part));
    recorder.finish(end)
}

fn context(kind: Kind, stream: bool) -> Context<'static> {
    Context {
        kind,
        stream,
        model: "m\"1",
        id: "chatcmpl-0123456789abcdefghijklmn",
        now_unix_micros: 1_795_216_504_000_001,
        elapsed_nanos: 5000,
        include_usage: true,
        base64: false,
        words: false,
        reasoning_fields: ReasoningFields::ReasoningContent,
    }
}

fn replayed(answer: &Answer<'_>, context: Context<'_>) -> Vec<Vec<u8>> {
    let mut replay = Replay::new(answer, context).unwrap_or_else(|| panic!("{context:?}"));
    let mut events = Vec::new();
    loop {
        let mut event = Vec::new();
        if !replay.next_event(&mut event) {
            assert!(event.is_empty());
            return events;
        }
        assert!(!event.is_empty());
        events.push(event);
    }
}

fn form_of(context: &Context<'_>) -> Framing {
    match (context.stream, context.kind.is_openai()) {
        (false, _) => Framing::Json,
        (true, true) => Framing::Sse,
        (true, false) => Framing::Ndjson,
    }
}

/// Joins neighbours of one kind, as the recorder does.
fn append(pieces: &mut Vec<Piece<'_>>, thinking: bool, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) if !thinking => last.to_mut().push_str(text),
        Some(Piece::Thinking(last)) if thinking => last.to_mut().push_str(text),
        _ if thinking => pieces.push(Piece::Thinking(Cow::Owned(text.to_owned()))),
        _ => pieces.push(Piece::Text(Cow::Owned(text.to_owned()))),
    }
}

const TEXT_KINDS: [Kind; 4] = [Kind::OpenAiChat, Kind::OllamaChat, Kind::OpenAiCompletions, Kind::OllamaGenerate];

fn piece() -> impl Strategy<Value = Piece<'static>> {
    let text = prop_oneof![".{1,300}", "[a-c \\n\"\\\\]{1,20}", Just("<think>x</think>\u{2028}".to_owned())];
    prop_oneof![
        text.clone().prop_map(|text| Piece::Text(Cow::Owned(text))),
        text.prop_map(|text| Piece::Thinking(Cow::Owned(text))),
        ("call_[a-z0-9]{8}", "[a-z_]{1,10}", ".{0,20}", any::<bool>()).prop_map(|(id, name, value, pretty)| {
            let arguments = json!({"b": value, "a": [1, {"c": null}]});
            let arguments =
                if pretty { serde_json::to_string_pretty(&arguments) } else { serde_json::to_string(&arguments) };
            Piece::Call(Call { id: id.into(), name: name.into(), arguments: arguments.unwrap_or_default().into() })
        }),
    ]
}

fn answer() -> impl Strategy<Value = Answer<'static>> {
    let usage =
        (any::<u32>(), any::<u32>(), proptest::option::of(any::<u32>())).prop_map(|(prompt, completion, cached)| {
            let (prompt, completion) = (prompt.into(), completion.into());
            Usage { prompt, completion, total: prompt + completion, reasoning: None, cached: cached.map(Into::into) }
        });
    (proptest::collection::vec(piece(), 0..6), ".{1,20}", usage, ".{0,8}").prop_map(|(pieces, last, usage, model)| {
        let mut answer = Answer::new(Kind::OpenAiChat);
        answer.model = model.into();
        for piece in pieces {
            match piece {
                Piece::Call(call) => {
                    answer.finish = Finish::ToolCalls;
                    answer.pieces.push(Piece::Call(call));
                }
                Piece::Text(text) => append(&mut answer.pieces, false, &text),
                Piece::Thinking(text) => append(&mut answer.pieces, true, &text),
            }
        }
        append(&mut answer.pieces, false, &last);
        answer.usage = Some(usage);
        answer
    })
}

/// What a client puts together of it.
fn summary(answer: &Answer<'_>) -> (String, String, Vec<(String, String, Value)>, Finish) {
    let calls = answer.calls().map(|call| {
        let arguments = serde_json::from_str(&call.arguments).unwrap_or_default();
        (call.id.to_string(), call.name.to_string(), arguments)
    });
    (answer.text().collect(), answer.thinking().collect(), calls.collect(), answer.finish)
}

proptest! {
    /// What was recorded is what any client gets, in every form: written, then read by the recorder again, cut anywhere.
    #[test]
    fn replay_and_record(answer in answer(), at in 0usize..4, stream: bool, cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let context = context(TEXT_KINDS[at], stream);
        let events = replayed(&answer, context);
        let body = events.concat();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        let back = record_cut(context.kind, form_of(&context), &parts, End::Whole);
        let named = if answer.model.is_empty() { context.model } else { &answer.model };
        prop_assert!(back.as_ref().is_ok_and(|back| back.model == named));
        let (text, thinking, calls, finish) = summary(&answer);
        if context.kind == Kind::OpenAiCompletions {
            // Completions have a place for text only.
            prop_assert_eq!(back.map(|back| summary(&back)), Ok((text, String::new(), vec![], Finish::Stop)));
            return Ok(());
        }
        let back = back.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        prop_assert_eq!(summary(&back), (text, thinking, calls, finish));
        let (got, wanted) = (back.usage.unwrap_or_default(), answer.usage.unwrap_or_default());
        prop_assert_eq!((got.prompt, got.completion, got.total), (wanted.prompt, wanted.completion, wanted.total));
        if stream {
            // Order survives as well.
            prop_assert_eq!(back.pieces.len(), answer.pieces.len());
            prop_assert!(events.len() > answer.pieces.len());
            prop_assert!(events.iter().all(|event| event.len() < 2000 || event.len() < body.len() / 2));
        }
    }

    #[test]
    fn bytes_and_back(answer in answer(), state: Vec<u32>, floats in proptest::collection::vec(any::<[u8; 4]>(), 0..4)) {
        let mut answer = answer;
        answer.state = state;
        answer.vectors = vec![Vector::Json("[1, -2.5e-3]".into()), Vector::Floats(floats.concat().into())];
        let mut bytes = Vec::new();
        encode(&answer, &mut bytes);
        prop_assert_eq!(decode(&bytes), Ok(answer));
        for cut in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..cut]), Err(Broken), "cut at {}", cut);
        }
        bytes.push(0);
        prop_assert_eq!(decode(&bytes), Err(Broken));
    }

    #[test]
    fn decode_any_bytes(mut bytes: Vec<u8>) {
        let _ = decode(&bytes);
        bytes.splice(..0, [1, 0, 0, 0, 0, 0]);
        let _ = decode(&bytes);
    }

    #[test]
    fn decode_changed_bytes(answer in answer(), at: prop::sample::Index, byte: u8) {
        let mut bytes = Vec::new();
        encode(&answer, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode(&bytes) {
            for kind in TEXT_KINDS {
                replayed(&read, context(kind, true));
            }
        }
    }

    #[test]
    fn record_any_bytes(bytes: Vec<u8>, at in 0usize..7) {
        for form in [Framing::Sse, Framing::Ndjson, Framing::Json] {
            let _ = record(Kind::ALL[at], form, &bytes);
        }
    }

    /// A stream that is cut is never kept, wherever the cut is, unless all that matters had come.
    #[test]
    fn cut_streams(answer in answer(), at: prop::sample::Index, ollama: bool) {
        let context = context(if ollama { Kind::OllamaChat } else { Kind::OpenAiChat }, true);
        let body = replayed(&answer, context).concat();
        let cut = &body[..at.index(body.len())];
        let back = record_cut(context.kind, form_of(&context), &[cut], End::Closed);
        if let Ok(back) = back {
            prop_assert_eq!(summary(&back), summary(&answer));
            prop_assert!(cut.len() + 2 >= body.len(), "{} of {}", cut.len(), body.len());
        }
        let back = record_cut(context.kind, form_of(&context), &[&body], End::Cut);
        prop_assert_eq!(back, Err(Unstorable::Unfinished));
    }
}

const LLAMA: &str = r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"c","model":"tiny","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"Okay"}}],"created":1,"id":"c","model":"tiny","object":"chat.completion.chunk"}

: ping

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hi \ud83d"}}],"created":1,"id":"c"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"\ude00 <think>"}}],"created":1,"id":"c"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"id":"z","type":"function","function":{"name":"f","arguments":"{"}}]}}]}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"a\": 1}"}}]}}]}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"tool_calls":[{"index":1,"id":"y","type":"function","function":{"name":"g","arguments":""}}]}}]}

data: {"choices":[{"finish_reason":"tool_calls","index":0,"delta":{}}],"timings":{"cache_n":6}}

data: {"choices":[],"usage":{"completion_tokens":47,"prompt_tokens":7,"total_tokens":54,"prompt_tokens_details":{"cached_tokens":6}}}

data: [DONE]

"#;

fn llama_answer() -> Answer<'static> {
    let mut answer = Answer::new(Kind::OpenAiChat);
    answer.pieces = vec![
        Piece::Thinking("Okay".into()),
        Piece::Text("Hi \u{1f600} <think>".into()),
        Piece::Call(Call { id: "z".into(), name: "f".into(), arguments: r#"{"a": 1}"#.into() }),
        Piece::Call(Call { id: "y".into(), name: "g".into(), arguments: "{}".into() }),
    ];
    answer.finish = Finish::ToolCalls;
    answer.field = ReasoningField::Content;
    answer.model = "tiny".into();
    answer.usage = Some(Usage { prompt: 7, completion: 47, total: 54, reasoning: None, cached: Some(6) });
    answer
}

#[test]
fn every_cut_of_a_stream() {
    let crlf = LLAMA.replace('\n', "\r\n");
    let cr = format!("\u{feff}{}", LLAMA.replace('\n', "\r"));
    for body in [LLAMA, &crlf, &cr].map(str::as_bytes) {
        for at in 0..=body.len() {
            let parts = [&body[..at], &[], &body[at..]];
            let got = record_cut(Kind::OpenAiChat, Framing::Sse, &parts, End::Closed);
            assert_eq!(got, Ok(llama_answer()), "cut at {at}");
        }
        let single: Vec<_> = body.chunks(1).collect();
        assert_eq!(record_cut(Kind::OpenAiChat, Framing::Sse, &single, End::Closed), Ok(llama_answer()));
    }
}

#[test]
fn tool_calls_only_if_wanted() {
    let mut recorder = Recorder::new(Kind::OpenAiChat, Framing::Sse, 200, false);
    recorder.feed(LLAMA.as_bytes());
    assert_eq!(recorder.given_up(), Some(Unstorable::ToolCall));
    assert_eq!(recorder.finish(End::Whole), Err(Unstorable::ToolCall));
}

/// One choice of a whole OpenAI body.
fn body(message: Value, finish: &str) -> String {
    json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}).to_string()
}

#[test]
fn what_is_not_kept() {
    use Unstorable as U;
    let chat = |text: &str| record(Kind::OpenAiChat, Framing::Json, text.as_bytes()).map(|_| ());
    assert_eq!(chat(&body(json!({"content": "x"}), "stop")), Ok(()));
    for (text, wanted) in [
        (body(json!({"content": "x"}), "length"), U::Finish),
        (body(json!({"content": "x"}), "content_filter"), U::Finish),
        (body(json!({"content": ""}), "stop"), U::Empty),
        (body(json!({"content": null, "reasoning": "hm"}), "stop"), U::Empty),
        (body(json!({"content": "x", "refusal": "no"}), "stop"), U::Unsupported),
        (body(json!({"content": "x", "audio": {"id": "1"}}), "stop"), U::Unsupported),
        (body(json!({"content": "x", "annotations": [{}]}), "stop"), U::Unsupported),
        (body(json!({"content": "x", "reasoning": "a", "reasoning_content": "b"}), "stop"), U::Unsupported),
        (body(json!({"content": "x", "reasoning_details": [{"type": "t", "data": "sealed"}]}), "stop"), U::Unsupported),
        (body(json!({"content": null, "function_call": {"name": "f"}}), "stop"), U::Unsupported),
        (
            body(
                json!({"content": "x", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{\"a\":"}}]}),
                "stop",
            ),
            U::ToolCall,
        ),
        (
            body(
                json!({"content": "x", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}{}"}}]}),
                "stop",
            ),
            U::ToolCall,
        ),
        (
            body(
                json!({"content": "x", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]}),
                "stop",
            ),
            U::ToolCall,
        ),
        (
            body(json!({"content": "x", "tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}), "stop"),
            U::ToolCall,
        ),
        (body(json!({"content": "x"}), "tool_calls"), U::ToolCall),
        (body(json!({"content": "\u{0}x"}), "stop").replace("\\u0000", "\\ud800"), U::Unreadable),
        (json!({"error": {"message": "x"}}).to_string(), U::Error),
        (
            json!({"choices": [{"message": {"content": "x"}, "finish_reason": "stop", "error": {"code": 1}}]})
                .to_string(),
            U::Error,
        ),
        (
            json!({"choices": [{"index": 1, "message": {"content": "x"}, "finish_reason": "stop"}]}).to_string(),
            U::ManyAnswers,
        ),
        (json!({"choices": []}).to_string(), U::Unfinished),
        (json!({"choices": [{"message": {"content": "x"}}]}).to_string(), U::Unfinished),
        ("{\"choices\":".to_owned(), U::Unreadable),
        (String::new(), U::Unreadable),
    ] {
        assert_eq!(chat(&text), Err(wanted), "{text}");
    }
    assert_eq!(Recorder::new(Kind::OpenAiChat, Framing::Json, 500, true).given_up(), Some(U::Status));
    let mut recorder = Recorder::new(Kind::OpenAiChat, Framing::Json, 200, true);
    for _ in 0..5 {
        recorder.feed(&vec![b' '; 1 << 20]);
    }
    assert_eq!(recorder.given_up(), Some(U::TooLarge));
}

#[test]
fn streams_that_are_not_kept() {
    use Unstorable as U;
    let chat = |events: &[&str]| {
        let text: String = events.iter().map(|event| format!("{event}\n\n")).collect();
        record(Kind::OpenAiChat, Framing::Sse, text.as_bytes()).map(|_| ())
    };
    let hello = r#"data: {"choices":[{"delta":{"content":"Hello"}}]}"#;
    let stop = r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    assert_eq!(chat(&[hello, stop, "data: [DONE]"]), Ok(()));
    assert_eq!(chat(&[hello, stop]), Ok(()));
    assert_eq!(chat(&[hello, stop, "data: [DONE]", "data: {\"error\":1}"]), Ok(()));
    assert_eq!(chat(&[hello, "data: [DONE]"]), Err(U::Unfinished));
    assert_eq!(chat(&[hello]), Err(U::Unfinished));
    assert_eq!(chat(&[hello, r#"data: {"error":{"message":"overloaded"}}"#, stop]), Err(U::Error));
    assert_eq!(chat(&[hello, "event: error\ndata: {}", stop]), Err(U::Error));
    assert_eq!(chat(&[hello, "data: oops", stop]), Err(U::Unreadable));
    assert_eq!(chat(&[r#"{"error":{"message":"json under an SSE type"}}"#]), Err(U::Unfinished));
    assert_eq!(chat(&[]), Err(U::Unfinished));
    let line = |lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        record(Kind::OllamaChat, Framing::Ndjson, text.as_bytes()).map(|_| ())
    };
    let hello = json!({"message": {"content": "Hello"}, "done": false});
    assert_eq!(line(&[hello.clone(), json!({"done": true, "done_reason": "stop"})]), Ok(()));
    for reason in ["length", "load", "unload", ""] {
        assert_eq!(line(&[hello.clone(), json!({"done": true, "done_reason": reason})]), Err(U::Finish));
    }
    assert_eq!(line(&[hello.clone(), json!({"done": true})]), Err(U::Finish));
    assert_eq!(line(&[hello.clone(), json!({"error": "gone"})]), Err(U::Error));
    assert_eq!(line(&[hello]), Err(U::Unfinished));
}

#[test]
fn shapes_of_upstreams() {
    // Mistral's parts, two data lines in an event, indexes missing, the name repeated, arguments as an object.
    let text = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]},\n",
        "data: {\"type\":\"text\",\"text\":\"so\"}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"}\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"b\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":2}}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
        "data: [DONE]",
    );
    let got = record(Kind::OpenAiChat, Framing::Sse, text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let (said, thought, calls, finish) = summary(&got);
    assert_eq!((said.as_str(), thought.as_str(), finish), ("so", "hm", Finish::Stop));
    assert_eq!(calls, [("a".into(), "f".into(), json!({})), ("b".into(), "f".into(), json!({"x": 2}))]);
    // Old servers give every call the index 0.
    let text = concat!(
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    );
    let got = record(Kind::OpenAiChat, Framing::Sse, text.as_bytes()).map(|answer| summary(&answer).2.len());
    assert_eq!(got, Ok(2));
    // Ollama: calls on the last line, thinking and text on one line, two calls with the index 0, no ids.
    let text = concat!(
        "{\"message\":{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":\"t\"},\"done\":false}\n\n",
        "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"b\": 1, \"a\":2}}},",
        "{\"function\":{\"index\":0,\"name\":\"g\",\"arguments\":{}}}]},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":3}",
    );
    let got = record(Kind::OllamaChat, Framing::Ndjson, text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(got.pieces[0], Piece::Thinking("t".into()));
    assert_eq!(got.calls().map(|call| call.arguments.as_ref()).collect::<Vec<_>>(), [r#"{"b": 1, "a":2}"#, "{}"]);
    assert_eq!(got.usage.map(|usage| (usage.prompt, usage.completion, usage.total)), Some((0, 3, 3)));
    // An O client gets ids that differ.
    let stream = String::from_utf8(replayed(&got, context(Kind::OpenAiChat, true)).concat()).unwrap_or_default();
    assert!(
        stream.contains("\"id\":\"call_456789abcdefghijklmn0\"")
            && stream.contains("\"id\":\"call_456789abcdefghijklmn1\""),
        "{stream}"
    );
    // Generate keeps its state.
    let text = r#"{"response":"x","done":true,"done_reason":"stop","context":[1,70000],"prompt_eval_count":2}"#;
    let got = record(Kind::OllamaGenerate, Framing::Json, text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(got.state, [1, 70000]);
    let whole = replayed(&got, context(Kind::OllamaGenerate, false)).concat();
    assert_eq!(serde_json::from_slice::<Value>(&whole).unwrap_or_default()["context"], json!([1, 70000]));
}

#[test]
fn a_replay_to_the_letter() {
    // Without a name of its own it gets the client's.
    let mut answer = Answer { model: "".into(), ..llama_answer() };
    answer.pieces.truncate(3);
    let stream = replayed(&answer, context(Kind::OpenAiChat, true)).concat();
    let head = r#"data: {"id":"chatcmpl-0123456789abcdefghijklmn","object":"chat.completion.chunk","created":1795216504,"model":"m\"1","#;
    let wanted: String = [
        r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        r#""choices":[{"index":0,"delta":{"reasoning_content":"Okay"},"finish_reason":null}]}"#,
        r#""choices":[{"index":0,"delta":{"content":"Hi 😀 <think>"},"finish_reason":null}]}"#,
        r#""choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"z","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},"finish_reason":null}]}"#,
        r#""choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#""choices":[],"usage":{"prompt_tokens":7,"completion_tokens":47,"total_tokens":54,"prompt_tokens_details":{"cached_tokens":6}}}"#,
    ]
    .map(|rest| format!("{head}{rest}\n\n"))
    .concat();
    assert_eq!(String::from_utf8_lossy(&stream), wanted + "data: [DONE]\n\n");

    let stream = replayed(&answer, context(Kind::OllamaChat, true)).concat();
    let head = r#"{"model":"m\"1","created_at":"2026-11-20T23:15:04.000001Z","#;
    let wanted: String = [
        r#""message":{"role":"assistant","content":"","thinking":"Okay"},"done":false}"#,
        r#""message":{"role":"assistant","content":"Hi 😀 <think>"},"done":false}"#,
        r#""message":{"role":"assistant","content":"","tool_calls":[{"id":"z","function":{"index":0,"name":"f","arguments":{"a":1}}}]},"done":false}"#,
        r#""message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":5000,"load_duration":1,"prompt_eval_count":7,"prompt_eval_duration":1,"eval_count":47,"eval_duration":4998}"#,
    ]
    .map(|rest| format!("{head}{rest}\n"))
    .concat();
    assert_eq!(String::from_utf8_lossy(&stream), wanted);

    let whole = replayed(&answer, context(Kind::OpenAiChat, false)).concat();
    let whole: Value = serde_json::from_slice(&whole).unwrap_or_default();
    assert_eq!(whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{\"a\": 1}");
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(whole["usage"]["total_tokens"], 54);
    assert_eq!(whole["object"], "chat.completion");
}

#[test]
fn usage_only_if_asked() {
    let answer = llama_answer();
    let asked = Context { include_usage: false, ..context(Kind::OpenAiChat, true) };
    let stream = String::from_utf8(replayed(&answer, asked).concat()).unwrap_or_default();
    assert!(!stream.contains("usage") && stream.ends_with("data: [DONE]\n\n"));
}

/// The way of a hit: replayed, then through the think filter.
fn filtered(answer: &Answer<'_>, context: Context<'_>, policy: Policy) -> Vec<u8> {
    let format = if context.kind.is_openai() { Format::OpenAiChat } else { Format::OllamaChat };
    let spec = Spec::new(format, form_of(&context), policy, Profile::think());
    let (mut body, mut out) = (Vec::new(), think::Out::new());
    let events = replayed(answer, context);
    if !context.stream {
        think::whole(&spec, &events[0], &mut out);
        out.copy_to(&events[0], &mut body);
        return body;
    }
    let mut filter = think::Filter::new(&spec);
    for event in &events {
        filter.feed(event, &mut out);
        out.copy_to(event, &mut body);
    }
    filter.finish(&mut out);
    out.copy_to(b"", &mut body);
    body
}

/// Thinking in a field and in the text, stored as it came, shown by every policy in every form.
#[test]
fn policies_on_the_way_out() {
    let thought = "hm ".repeat(60);
    for (field, kind_of_answer) in
        [(ReasoningField::Thinking, Kind::OllamaChat), (ReasoningField::Content, Kind::OpenAiChat)]
    {
        let mut answer = Answer::new(kind_of_answer);
        answer.field = field;
        let mut inline = answer.clone();
        answer.pieces = vec![Piece::Thinking(thought.clone().into()), Piece::Text("so".into())];
        inline.field = ReasoningField::None;
        inline.pieces = vec![Piece::Text(format!("<think>{thought}</think>\n\nso").into())];
        for kind in [Kind::OpenAiChat, Kind::OllamaChat] {
            for stream in [true, false] {
                let seen = |answer: &Answer<'_>, policy| {
                    let context = context(kind, stream);
                    let body = filtered(answer, context, policy);
                    let back = record(kind, form_of(&context), &body).unwrap_or_else(|error| panic!("{error:?}"));
                    let (text, thinking, ..) = summary(&back);
                    (text.trim().to_owned(), thinking.trim().to_owned())
                };
                let (said, thought) = ("so".to_owned(), thought.trim().to_owned());
                assert_eq!(seen(&answer, Policy::Strip), (said.clone(), String::new()));
                assert_eq!(seen(&inline, Policy::Strip), (said.clone(), String::new()));
                assert_eq!(seen(&answer, Policy::Keep), (said.clone(), thought.clone()));
                assert_eq!(seen(&answer, Policy::Separate), (said.clone(), thought.clone()));
                assert_eq!(seen(&inline, Policy::Separate), (said.clone(), thought.clone()));
                assert_eq!(
                    seen(&answer, Policy::Wrap),
                    (format!("<think>\n{thought} \n</think>\n\nso"), String::new())
                );
                assert_eq!(seen(&inline, Policy::Keep), (format!("<think>{thought} </think>\n\nso"), String::new()));
            }
        }
    }
}

#[test]
fn fields_of_reasoning() {
    let mut answer = Answer::new(Kind::OllamaChat);
    answer.pieces = vec![Piece::Thinking("hm".into()), Piece::Text("so".into())];
    let shown = |answer: &Answer<'_>, reasoning_fields| {
        let context = Context { reasoning_fields, ..context(Kind::OpenAiChat, true) };
        record(context.kind, Framing::Sse, &replayed(answer, context).concat()).map(|back| back.field)
    };
    answer.field = ReasoningField::Thinking;
    assert_eq!(shown(&answer, ReasoningFields::ReasoningContent), Ok(ReasoningField::Content));
    assert_eq!(shown(&answer, ReasoningFields::Reasoning), Ok(ReasoningField::Plain));
    assert_eq!(shown(&answer, ReasoningFields::Both), Ok(ReasoningField::Both));
    // The upstream's own stays.
    for field in [ReasoningField::Content, ReasoningField::Plain, ReasoningField::Both] {
        answer.field = field;
        assert_eq!(shown(&answer, ReasoningFields::Reasoning), Ok(field));
    }
}

#[test]
fn embeddings_in_every_form() {
    let body = r#"{"object":"list","data":[{"index":1,"embedding":[0.6, -0.8]},{"index":0,"embedding":[1.5,2e0]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let answer =
        record(Kind::OpenAiEmbeddings, Framing::Json, body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let json = |context| serde_json::from_slice::<Value>(&replayed(&answer, context).concat()).unwrap_or_default();
    let openai = json(context(Kind::OpenAiEmbeddings, false));
    assert_eq!(openai["data"][0]["embedding"], json!([1.5, 2.0]));
    assert_eq!(openai["data"][1]["embedding"], json!([0.6, -0.8]));
    assert_eq!(openai["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    // Ollama's have the length 1.
    let ollama = json(context(Kind::OllamaEmbed, true));
    assert_eq!(ollama["embeddings"], json!([[0.6, 0.8], [0.6, -0.8]]));
    assert_eq!(ollama["prompt_eval_count"], 4);
    let base64 = json(Context { base64: true, ..context(Kind::OpenAiEmbeddings, false) });
    assert_eq!(base64["data"][0]["embedding"], "AADAPwAAAEA=");
    // And from base64.
    let body = r#"{"data":[{"embedding":"AADAPwAAAEA="}]}"#;
    let answer =
        record(Kind::OpenAiEmbeddings, Framing::Json, body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let openai = replayed(&answer, context(Kind::OpenAiEmbeddings, false)).concat();
    assert!(String::from_utf8_lossy(&openai).contains("\"embedding\":[1.5,2.0]"));
    // A text answer is no vector, and many vectors are no single one.
    assert!(Replay::new(&answer, context(Kind::OpenAiChat, false)).is_none());
    let body = r#"{"embeddings":[[1],[2]]}"#;
    let many = record(Kind::OllamaEmbed, Framing::Json, body.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(Replay::new(&many, context(Kind::OllamaEmbeddings, false)).is_none());
    for bad in [
        r#"{"embeddings":[["x"]]}"#,
        r#"{"embeddings":[[null]]}"#,
        r#"{"embeddings":[[[1]]]}"#,
        r#"{"embeddings":[{}]}"#,
    ] {
        assert_eq!(record(Kind::OllamaEmbed, Framing::Json, bad.as_bytes()), Err(Unstorable::Unreadable), "{bad}");
    }
    assert_eq!(record(Kind::OllamaEmbed, Framing::Json, br#"{"embeddings":[]}"#), Err(Unstorable::Empty));
    assert_eq!(
        record(Kind::OllamaEmbeddings, Framing::Json, br#"{"embedding":[0.5]}"#).map(|answer| answer.vectors.len()),
        Ok(1)
    );
}

/// Word by word, the text is the same; every event has a word, and the words are whole where they are words.
#[test]
fn words() {
    for text in ["one two  three\n\nfour", " lead", "", "x", "\u{e9}".repeat(60).as_str(), "a\u{3000}b  "] {
        let mut answer = Answer::new(Kind::OpenAiChat);
        answer.pieces = if text.is_empty() { vec![] } else { vec![Piece::Text(text.to_owned().into())] };
        let context = Context { words: true, ..context(Kind::OllamaChat, true) };
        let events = replayed(&answer, context);
        let told = |event: &Vec<u8>| {
            let event: Value = serde_json::from_slice(event).unwrap_or_default();
            event["message"]["content"].as_str().unwrap_or_default().to_owned()
        };
        let told: Vec<_> = events.iter().map(told).filter(|text| !text.is_empty()).collect();
        assert_eq!(told.concat(), text);
        assert!(told.iter().all(|part| part.split_whitespace().count() <= 1), "{told:?}");
        assert!(told.iter().all(|part| part.trim().chars().count() <= 24), "{told:?}");
    }
}
