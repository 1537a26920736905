//! The think filter against its oracle, on streams made from the fuzzer's bytes (any escapes, any cuts), and on the bytes
//! themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thinkgate::wire::think::{Format, Framing, Out, Policy, Profile, Spec, may_need_edit, table, whole};

#[path = "../../tests/think/drive.rs"]
mod drive;
#[allow(dead_code)]
#[path = "../../tests/think/generate.rs"]
mod generate;
#[allow(dead_code)]
#[path = "../../tests/think/oracle.rs"]
mod oracle;

fn same_in_any_cut(spec: &Spec, input: &[u8], size: usize) -> Vec<u8> {
    let whole = drive::run(spec, std::iter::once(input));
    let cut = drive::run(spec, input.chunks(size.max(1)));
    assert_eq!(String::from_utf8_lossy(&cut.0), String::from_utf8_lossy(&whole.0));
    assert_eq!(cut.1, whole.1);
    whole.0
}

fn made(data: &[u8], size: usize) {
    let stream = generate::stream(&mut generate::Source::bytes(data));
    let input = stream.bytes();
    let output = same_in_any_cut(&stream.spec, &input, size);
    let units = oracle::Units::new(&stream.def);
    let wanted = oracle::apply_policy(&oracle::read_deltas(&input, stream.format), stream.policy, &units);
    let found = oracle::apply_policy(&oracle::read_deltas(&output, stream.format), "keep", &units);
    assert_eq!((found.0, found.1), (wanted.0, wanted.1), "{} {} {}", stream.format, stream.policy, stream.profile);
}

fn raw(how: u8, data: &[u8], size: usize) {
    const FORMATS: [(Format, Framing); 8] = [
        (Format::OpenAiChat, Framing::Sse),
        (Format::OpenAiCompletions, Framing::Sse),
        (Format::OllamaChat, Framing::Ndjson),
        (Format::OllamaGenerate, Framing::Ndjson),
        (Format::AnthropicMessages, Framing::Sse),
        (Format::OpenAiResponses, Framing::Sse),
        (Format::OpenAiChat, Framing::Json),
        (Format::AnthropicMessages, Framing::Json),
    ];
    const POLICIES: [Policy; 4] = [Policy::Strip, Policy::Separate, Policy::Wrap, Policy::Strip];
    const PROFILES: [&str; 4] = ["think", "think_prefilled", "harmony", "think_anywhere"];
    let (format, framing) = FORMATS[usize::from(how & 7)];
    let profile = table::builtin(PROFILES[usize::from(how >> 5 & 3)]).unwrap_or_else(Profile::think);
    let spec = Spec::new(format, framing, POLICIES[usize::from(how >> 3 & 3)], profile);
    let output = same_in_any_cut(&spec, data, size);
    if framing == Framing::Json {
        let (mut out, mut written) = (Out::new(), vec![]);
        whole(&spec, data, &mut out);
        out.copy_to(data, &mut written);
        assert_eq!(written, output);
        assert!(may_need_edit(&spec, data) || written == data);
        let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
        assert!(!read(data) || read(&written), "no longer JSON: {}", String::from_utf8_lossy(&written));
    }
}

fuzz_target!(|data: &[u8]| {
    let [how, size, rest @ ..] = data else { return };
    if how & 0x80 == 0 { raw(*how, rest, usize::from(*size)) } else { made(rest, usize::from(*size)) }
});
