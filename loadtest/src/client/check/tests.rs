use super::*;
use crate::script::Script;
use crate::script::text::{self, Event};

fn script() -> Script {
    Script::parse("mock-stream-e4-b200-think2").unwrap()
}

fn sent(nonce: &[u8; NONCE_BYTES]) -> Vec<Vec<u8>> {
    let with_nonce = |event: Event| {
        let mut payload = event.payload;
        if let Some(at) = event.nonce_at {
            payload[at..at + NONCE_BYTES].copy_from_slice(nonce);
        }
        payload
    };
    let mut all: Vec<_> = text::events(&script(), Dialect::OpenAi).into_iter().map(with_nonce).collect();
    all.push(b"[DONE]".to_vec());
    all
}

fn judge(payloads: &[Vec<u8>], strictness: Strictness, thinking: Thinking) -> Result<u32, Fault> {
    let expected = Expected::new(&script(), Dialect::OpenAi, strictness, thinking);
    let mut check = Check::default();
    check.begin(&expected, *b"0000beef");
    for payload in payloads {
        check.event(payload, &expected)?;
    }
    check.end(&expected).map(|()| check.events)
}

#[test]
fn what_was_sent_is_right_kept_or_stripped() {
    let all = sent(b"0000beef");
    assert_eq!(judge(&all, Strictness::Bytes, Thinking::Kept), Ok(6));
    assert_eq!(judge(&all[2..], Strictness::Bytes, Thinking::Stripped), Ok(4));
    assert_eq!(judge(&all, Strictness::Bytes, Thinking::Stripped), Err(Fault::Leak));
    assert_eq!(judge(&all[2..], Strictness::Bytes, Thinking::Kept), Err(Fault::Text));
}

#[test]
fn every_missing_doubled_or_swapped_event_is_seen() {
    let all = sent(b"0000beef")[2..].to_vec();
    let judge = |events: &[Vec<u8>]| judge(events, Strictness::Text, Thinking::Stripped);
    for at in 0..all.len() {
        let mut missing = all.clone();
        missing.remove(at);
        assert!(judge(&missing).is_err(), "without {at}");
        let mut doubled = all.clone();
        doubled.insert(at, all[at].clone());
        assert!(judge(&doubled).is_err(), "twice {at}");
        if at > 0 {
            let mut swapped = all.clone();
            swapped.swap(at, at - 1);
            assert!(judge(&swapped).is_err(), "swapped {at}");
        }
    }
}

#[test]
fn every_changed_byte_is_seen_when_bytes_count() {
    let all = sent(b"0000beef")[2..].to_vec();
    for event in 0..all.len() {
        for at in 0..all[event].len() {
            let mut changed = all.clone();
            changed[event][at] ^= 1;
            let verdict = judge(&changed, Strictness::Bytes, Thinking::Stripped);
            assert!(verdict.is_err(), "event {event} byte {at}");
        }
    }
}

#[test]
fn foreign_text_has_a_name() {
    let all = sent(b"0000f00d")[2..].to_vec();
    assert_eq!(judge(&all, Strictness::Text, Thinking::Stripped), Err(Fault::Foreign));
    let texts = texts();
    let merged = chunk(&(texts[0].clone() + &texts[1].replace("0000beef", "0000f00d")), "null");
    assert_eq!(judge(&[merged], Strictness::Text, Thinking::Stripped), Err(Fault::Foreign), "in a merged event too");
    let changed = chunk(&texts[0].replace("0000beef.", "0000beef,"), "null");
    assert_eq!(judge(&[changed], Strictness::Text, Thinking::Stripped), Err(Fault::Text));
}

#[test]
fn text_may_come_in_other_pieces_and_escapes() {
    let whole = {
        let expected = Expected::new(&script(), Dialect::OpenAi, Strictness::Text, Thinking::Stripped);
        let mut check = Check::default();
        check.begin(&expected, *b"0000beef");
        String::from_utf8(check.text).unwrap()
    };
    let escaped: String = whole.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
    for text in [whole, escaped] {
        let one = format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#).into_bytes();
        let finish = br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_vec();
        let got = judge(&[one, finish, b"[DONE]".to_vec()], Strictness::Text, Thinking::Stripped);
        assert_eq!(got, Ok(4), "events are those of the script");
    }
}

#[test]
fn an_error_event_is_no_whole_answer() {
    let mut all = sent(b"0000beef")[2..].to_vec();
    all.insert(4, br#"{"error":{"message":"x"}}"#.to_vec());
    assert_eq!(judge(&all, Strictness::Framing, Thinking::Stripped), Err(Fault::End));
}

#[test]
fn a_json_reply_is_one_event() {
    let script = Script::parse("mock-json-b1024-think1").unwrap();
    let payload = text::events(&script, Dialect::Ollama).remove(0).payload;
    for (thinking, want) in [(Thinking::Kept, Ok(())), (Thinking::Stripped, Err(Fault::Leak))] {
        let expected = Expected::new(&script, Dialect::Ollama, Strictness::Bytes, thinking);
        let mut check = Check::default();
        check.begin(&expected, *text::NO_NONCE);
        assert_eq!(check.event(&payload, &expected), want);
        assert_eq!(check.end(&expected).is_ok(), want.is_ok());
    }
}

fn chunk(text: &str, finish: &str) -> Vec<u8> {
    format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}"#).into_bytes()
}

/// The visible text of each event of the script.
fn texts() -> Vec<String> {
    text::events(&script(), Dialect::OpenAi)
        .into_iter()
        .filter(|event| !event.thinking)
        .map(|event| String::from_utf8(event.text).unwrap().replace("00000000", "0000beef"))
        .collect()
}

#[test]
fn split_events_count_when_their_text_is_there() {
    let texts = texts();
    let expected = Expected::new(&script(), Dialect::OpenAi, Strictness::Text, Thinking::Stripped);
    let mut check = Check::default();
    check.begin(&expected, *b"0000beef");
    let mut seen = Vec::new();
    for piece in [&texts[0][..5], &texts[0][5..], &(texts[1].clone() + &texts[2] + "0000beef"), &texts[3][8..]] {
        check.event(&chunk(piece, "null"), &expected).unwrap();
        seen.push((check.begun, check.events));
    }
    assert_eq!(seen, [(true, 0), (true, 1), (true, 3), (true, 4)]);
}

#[test]
fn json_around_the_text_must_be_whole() {
    let texts = texts();
    for broken in [
        r#"{"choices":[{"delta":{"content":"TEXT"}}]"#,
        r#"{"choices":[{"delta":{"content":"TEXT"}}]}}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"},}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"#,
    ] {
        for strictness in [Strictness::Framing, Strictness::Text] {
            let first = broken.replace("TEXT", &texts[0]).into_bytes();
            assert_eq!(judge(&[first], strictness, Thinking::Stripped), Err(Fault::Framing), "{broken}");
        }
    }
}

#[test]
fn the_end_comes_once_behind_all_text_and_for_the_right_reason() {
    let texts = texts();
    let with = |finish: [&str; 4], more: &[Vec<u8>]| {
        let events = texts.iter().zip(finish).map(|(text, finish)| chunk(text, finish));
        let all: Vec<_> = events.chain(more.iter().cloned()).collect();
        [Strictness::Text, Strictness::Framing].map(|strictness| judge(&all, strictness, Thinking::Stripped).is_ok())
    };
    let done = b"[DONE]".to_vec();
    let (go, stop) = ("null", r#""stop""#);
    assert_eq!(with([go, go, go, stop], std::slice::from_ref(&done)), [true, true]);
    assert_eq!(with([go, go, go, r#""length""#], std::slice::from_ref(&done)), [false, true], "another reason");
    assert_eq!(with([go, go, stop, go], std::slice::from_ref(&done)), [false, false], "before the last text");
    assert_eq!(with([go, go, go, stop], &[chunk("more", "null"), done.clone()]), [false, false], "text behind it");
    assert_eq!(with([go, go, go, stop], &[done.clone(), done.clone()]), [false, false], "twice");
    let early = [chunk(&texts[0], go), chunk("", stop), chunk(&texts[1], go)];
    assert_eq!(judge(&early, Strictness::Text, Thinking::Stripped), Err(Fault::End), "alone and early");
    let ollama = Expected::new(&script(), Dialect::Ollama, Strictness::Text, Thinking::Stripped);
    for (reason, right) in [("stop", true), ("load", false)] {
        let mut check = Check::default();
        check.begin(&ollama, *b"0000beef");
        let whole = text::events(&script(), Dialect::Ollama).into_iter().filter(|event| !event.thinking);
        let text: Vec<u8> = whole.flat_map(|event| event.text).collect();
        let text = String::from_utf8(text).unwrap().replace("00000000", "0000beef");
        let one = format!(r#"{{"message":{{"content":"{text}"}},"done": true,"done_reason":"{reason}"}}"#);
        check.event(one.as_bytes(), &ollama).unwrap();
        assert_eq!(check.end(&ollama).is_ok(), right, "{reason}");
    }
}

#[test]
fn with_bytes_every_event_is_one_of_the_mock_servers() {
    let all = sent(b"0000beef")[2..].to_vec();
    let judge = |events: &[Vec<u8>]| judge(events, Strictness::Bytes, Thinking::Stripped);
    let around = text::envelope(Dialect::OpenAi, Shape::Stream);
    let event = |text: &str| format!("{}{text}{}", around.before, around.after).into_bytes();
    for added in [br#"{"choices":[]}"#.to_vec(), event("")] {
        let mut more = all.clone();
        more.insert(1, added);
        assert_eq!(judge(&more), Err(Fault::Envelope));
    }
    let texts = texts();
    let split = [&[event(&texts[0][..9]), event(&texts[0][9..])], &all[1..]].concat();
    assert_eq!(judge(&split), Err(Fault::Envelope));
    let merged = [&[event(&(texts[0].clone() + &texts[1]))], &all[2..]].concat();
    assert_eq!(judge(&merged), Err(Fault::Envelope));
    let escaped = [&[event(&texts[0].replace('a', "\\u0061"))], &all[1..]].concat();
    assert_eq!(judge(&escaped), Err(Fault::Envelope));
}

#[test]
fn a_real_models_words_may_have_any_sign() {
    let events = [chunk("about ~7 words", "null"), chunk("", r#""stop""#), b"[DONE]".to_vec()];
    assert_eq!(judge(&events, Strictness::Framing, Thinking::Stripped), Ok(1));
}
