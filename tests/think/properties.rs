//! What must hold for every stream, tried on generated ones. A failure names the seed.

use crate::drive::run;
use crate::generate::{Source, Stream, stream};
use crate::oracle::{self, Json, Kind, Splitter, Text, Units};
use std::collections::BTreeMap;
use thinkgate::wire::think::{Filter, Out};

const SEEDS: u64 = if cfg!(debug_assertions) { 3_000 } else { 60_000 };

fn for_each_stream(salt: u64, mut check: impl FnMut(u64, &Stream, &mut Source)) {
    for seed in 0..SEEDS {
        let mut source = Source::seed(seed << 8 | salt);
        let stream = stream(&mut source);
        check(seed, &stream, &mut source);
    }
}

fn about(seed: u64, stream: &Stream, output: &[u8]) -> String {
    let (input, output) = (stream.bytes(), String::from_utf8_lossy(output).into_owned());
    format!(
        "seed {seed}, {} {} {}\n{}\n---\n{output}",
        stream.format,
        stream.policy,
        stream.profile,
        String::from_utf8_lossy(&input)
    )
}

/// Any cut of the input gives the same bytes, and the same counts.
#[test]
fn cuts_change_nothing() {
    for_each_stream(1, |seed, stream, source| {
        let input = stream.bytes();
        let (whole, stats) = run(&stream.spec, [&input[..]]);
        let (single, single_stats) = run(&stream.spec, input.chunks(1));
        assert_eq!(
            String::from_utf8_lossy(&single),
            String::from_utf8_lossy(&whole),
            "{}",
            about(seed, stream, &whole)
        );
        assert_eq!(single_stats, stats, "{}", about(seed, stream, &whole));
        let (mut reads, mut rest) = (vec![], &input[..]);
        while !rest.is_empty() {
            let (read, more) = rest.split_at((1 + source.below(400)).min(rest.len()));
            reads.push(read);
            rest = more;
        }
        let (cut, cut_stats) = run(&stream.spec, reads);
        assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole), "{}", about(seed, stream, &whole));
        assert_eq!(cut_stats, stats);
    });
}

/// A client reads what the oracle says.
#[test]
fn the_oracle_agrees() {
    for_each_stream(2, |seed, stream, _| {
        let input = stream.bytes();
        let (output, stats) = run(&stream.spec, [&input[..]]);
        let units = Units::new(&stream.def);
        let wanted = oracle::apply_policy(&oracle::read_deltas(&input, stream.format), stream.policy, &units);
        let found = oracle::apply_policy(&oracle::read_deltas(&output, stream.format), "keep", &units);
        assert_eq!(found.0, wanted.0, "visible: {}", about(seed, stream, &output));
        assert_eq!(found.1, wanted.1, "thinking: {}", about(seed, stream, &output));
        let longest = stream
            .def
            .pairs
            .iter()
            .flat_map(|(o, c)| [o, c])
            .chain(&stream.def.ends)
            .chain(&stream.def.glue)
            .map(String::len)
            .max();
        assert!(stats.held_max as usize <= 256 + 6 * longest.unwrap_or(0), "{}", about(seed, stream, &output));
    });
}

/// The splitter and the whole-text reading of the oracle agree with each other.
#[test]
fn the_oracle_agrees_with_itself() {
    for_each_stream(3, |seed, stream, _| {
        let units = Units::new(&stream.def);
        let text: Text = oracle::read_deltas(&stream.bytes(), stream.format)
            .into_iter()
            .filter(|d| d.1 == Kind::Content)
            .flat_map(|d| d.2)
            .collect();
        let mut splitter = Splitter::new(&units);
        for unit in &text {
            splitter.feed(&[*unit]);
        }
        splitter.finish();
        assert_eq!(
            (splitter.vis, splitter.rea),
            oracle::split_full(&text, &units),
            "seed {seed} {:?}",
            oracle::show(&text)
        );
    });
}

/// After every whole event, all text whose fate is decided has been written.
#[test]
fn nothing_is_delayed() {
    for_each_stream(4, |seed, stream, _| {
        if stream.policy == "wrap" {
            return;
        }
        let units = Units::new(&stream.def);
        let mut splitters: BTreeMap<i64, Splitter> = BTreeMap::new();
        let (mut filter, mut out, mut written) = (Filter::new(&stream.spec), Out::new(), vec![]);
        let mut ended = vec![];
        for event in &stream.events {
            filter.feed(event, &mut out);
            out.copy_to(event, &mut written);
            for (choice, kind, text) in oracle::read_deltas(event, stream.format) {
                let all = choice < 0;
                match kind {
                    Kind::Content => splitters.entry(choice).or_insert_with(|| Splitter::new(&units)).feed(&text),
                    Kind::Reasoning => {}
                    _ => ended.extend(splitters.keys().filter(|c| all || **c == choice).copied()),
                }
            }
            let seen = oracle::read_deltas(&written, stream.format);
            for (choice, splitter) in splitters.iter().filter(|(choice, _)| !ended.contains(choice)) {
                let visible: Text =
                    seen.iter().filter(|d| d.0 == *choice && d.1 == Kind::Content).flat_map(|d| d.2.clone()).collect();
                assert_eq!(oracle::show(&visible), oracle::show(&splitter.vis), "{}", about(seed, stream, &written));
            }
        }
    });
}

fn payloads(raw: &[u8], format: &str) -> Vec<Vec<u8>> {
    if format.ends_with("sse") {
        oracle::sse_events(raw).into_iter().map(|(_, data)| data).collect()
    } else {
        raw.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }
}

/// Everything but text, thinking and logprobs.
fn blanked(json: &Json) -> Json {
    const OURS: [&str; 7] = ["content", "text", "response", "reasoning_content", "reasoning", "thinking", "logprobs"];
    match json {
        Json::Array(items) => Json::Array(items.iter().map(blanked).collect()),
        Json::Object(members) => {
            let others = members.iter().filter(|(key, _)| !OURS.contains(&oracle::show(key).as_str()));
            Json::Object(others.map(|(key, value)| (key.clone(), blanked(value))).collect())
        }
        other => other.clone(),
    }
}

fn same(one: &[u8], other: &[u8]) -> bool {
    match (Json::parse(one), Json::parse(other)) {
        (Some(one), Some(other)) => blanked(&one) == blanked(&other),
        _ => one == other,
    }
}

fn says_something(event: &[u8]) -> bool {
    let Some(json) = Json::parse(event) else { return true };
    let choices = json.get("choices").map_or(&[][..], Json::array);
    let message = |m: &Json| m.get("tool_calls").is_some_and(Json::truthy) || m.get("role").is_some_and(Json::truthy);
    json.get("error").is_some()
        || json.get("done").is_some_and(Json::truthy)
        || json.get("usage").is_some_and(Json::truthy)
        || json.get("message").is_some_and(|m| m.get("tool_calls").is_some_and(Json::truthy))
        || choices
            .iter()
            .any(|c| c.get("finish_reason").is_some_and(Json::truthy) || c.get("delta").is_some_and(message))
}

/// Events stay JSON, keep their order and everything that is neither text nor thinking; those that go said nothing else;
/// the ones that come are no longer than an envelope each.
#[test]
fn everything_else_stays() {
    for_each_stream(5, |seed, stream, _| {
        let input = stream.bytes();
        let (output, _) = run(&stream.spec, [&input[..]]);
        let (before, after) = (payloads(&input, stream.format), payloads(&output, stream.format));
        let mut left = before.iter();
        let mut ours = 0;
        for data in &after {
            let mut ahead = left.clone();
            let found = loop {
                match ahead.next() {
                    Some(event) if same(event, data) => break true,
                    Some(event) if !says_something(event) => {}
                    _ => break false,
                }
            };
            if found {
                left = ahead;
            } else {
                ours += 1;
            }
        }
        let lost: Vec<_> =
            left.filter(|event| says_something(event)).map(|event| String::from_utf8_lossy(event)).collect();
        assert!(lost.is_empty(), "lost {lost:?}: {}", about(seed, stream, &output));
        let most = usize::from(stream.spec.choices) * 2 + if stream.policy == "strip" { 0 } else { input.len() };
        assert!(ours <= most, "{ours} events of our own: {}", about(seed, stream, &output));
        for data in &after {
            let mark = before.contains(data);
            assert!(
                mark || Json::parse(data).is_some(),
                "{:?}: {}",
                String::from_utf8_lossy(data),
                about(seed, stream, &output)
            );
        }
        if stream.policy == "strip" {
            let lanes = usize::from(stream.spec.choices);
            assert!(output.len() <= input.len() + 200 * lanes, "{}", about(seed, stream, &output));
        }
    });
}

/// A choice reads the same whether others are in the stream or not.
#[test]
fn choices_do_not_touch_each_other() {
    for_each_stream(6, |seed, stream, _| {
        if stream.spec.choices < 2 {
            return;
        }
        let read = |events: Vec<u8>| {
            let (output, _) = run(&stream.spec, [&events[..]]);
            oracle::read_deltas(&output, stream.format)
        };
        let both = read(stream.bytes());
        for choice in 0..i64::from(stream.spec.choices) {
            let own =
                |event: &&Vec<u8>| oracle::read_deltas(event, stream.format).iter().all(|d| d.0 == choice || d.0 < 0);
            let alone = read(stream.events.iter().filter(own).flatten().copied().collect());
            let texts = |deltas: &[oracle::Delta], kind| {
                deltas.iter().filter(|d| d.0 == choice && d.1 == kind).flat_map(|d| d.2.clone()).collect::<Text>()
            };
            for kind in [Kind::Content, Kind::Reasoning] {
                assert_eq!(
                    texts(&both, kind),
                    texts(&alone, kind),
                    "choice {choice}: {}",
                    about(seed, stream, &stream.bytes())
                );
            }
        }
    });
}

/// Sixteen times the input costs about sixteen times as much, whatever the input. The margin is wide, for machines that
/// do other things too: a quadratic filter would need 256 times as much.
/// Seconds that this thread has worked: what others do on the machine does not count.
fn cpu_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[test]
fn time_is_linear() {
    let event =
        |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let mut spec = crate::corpus::cases().remove(0).spec;
    spec.profile = thinkgate::wire::think::table::builtin("think_anywhere").unwrap();
    let streams: [Box<dyn Fn(usize) -> String>; 5] = [
        Box::new(|n| event("<").repeat(n)),
        Box::new(|n| event(&"<think".repeat(n))),
        Box::new(|n| event("<think>") + &event("</thin").repeat(n)),
        Box::new(|n| event(&" ".repeat(n))),
        Box::new(|n| event(" ").repeat(n)),
    ];
    for (nth, make) in streams.iter().enumerate() {
        let time = |n: usize| {
            let input = make(n);
            let best = (0..5).map(|_| {
                let start = cpu_time();
                run(&spec, input.as_bytes().chunks(4096));
                cpu_time() - start
            });
            best.fold(f64::MAX, f64::min)
        };
        let (short, long) = (time(1_000).max(1e-4), time(16_000));
        assert!(long < short * 16.0 * 6.0, "stream {nth}: {short} s, then {long} s for 16 times as much");
    }
}
