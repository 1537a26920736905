//! Framing of event streams: cuts change nothing, no byte is lost, and the values are those that a plain reader finds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thinkgate::wire::{
    frame::{Frame, Place},
    sse::{Framer, fields},
};

#[allow(dead_code)]
#[path = "../../tests/think/oracle.rs"]
mod oracle;

type Joined = (Vec<(u8, Vec<u8>)>, Vec<u8>);

fn frames<'r>(reads: impl Iterator<Item = &'r [u8]>) -> Joined {
    let (mut framer, mut out) = (Framer::new(), Vec::<(u8, Vec<u8>)>::new());
    for read in reads {
        let mut from = 0;
        while let Some(frame) = framer.next(read, &mut from) {
            let mut place = |place| match place {
                Place::Input(span) => span.of(read).to_vec(),
                Place::Carried => framer.carry().take(),
            };
            let (kind, bytes, joins) = match frame {
                Frame::Comment(span) => (b'c', span.of(read).to_vec(), true),
                Frame::Blank(span) => (b'b', span.of(read).to_vec(), false),
                Frame::Event(at) => (b'e', place(at), false),
                Frame::Trailer(span) => {
                    out.last_mut().expect("a trailer follows a frame").1.extend_from_slice(span.of(read));
                    continue;
                }
                Frame::Oversize(at, first) => (b'o', place(at), !first),
                Frame::Foreign(span) => (b'f', span.of(read).to_vec(), true),
            };
            match out.last_mut() {
                Some((last, more)) if *last == kind && joins => more.extend(bytes),
                _ => out.push((kind, bytes)),
            }
        }
    }
    (out, framer.carry().take())
}

fuzz_target!(|data: &[u8]| {
    let Some((size, text)) = data.split_first() else { return };
    let whole = frames(std::iter::once(text));
    assert_eq!(frames(text.chunks(usize::from(*size).max(1))), whole);
    let mut bytes: Vec<u8> = whole.0.iter().flat_map(|(_, bytes)| bytes.clone()).chain(whole.1.clone()).collect();
    let mut input = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).to_vec();
    bytes.sort_unstable();
    input.sort_unstable();
    assert_eq!(bytes, input);
    if whole.0.iter().any(|(kind, _)| *kind == b'f') {
        return;
    }
    let events = whole.0.iter().filter(|(kind, _)| *kind == b'e').map(|(_, bytes)| (fields(bytes), bytes));
    let values: Vec<Vec<u8>> =
        events.filter(|(f, _)| f.data_lines > 0).map(|(f, bytes)| f.data.of(bytes).to_vec()).collect();
    let plain: Vec<Vec<u8>> = oracle::sse_events(text).into_iter().map(|(_, data)| data).collect();
    assert_eq!(values.len(), plain.len());
    assert!(values.iter().zip(&plain).all(|(value, plain)| plain.starts_with(value)));
});
