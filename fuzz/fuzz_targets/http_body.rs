//! Any bytes as a chunked body: squeezed, whole and in pieces, as the plain second reading reads them.
#![no_main]

#[path = "../../src/wire/http/tests/oracle.rs"]
#[allow(dead_code)]
mod oracle;

use libfuzzer_sys::fuzz_target;
use oracle::Verdict;
use thinkgate::base::error::Kind;
use thinkgate::wire::http::{BodyDecoder, Framing};

fuzz_target!(|data: &[u8]| {
    let Some((step, text)) = data.split_first() else { return };
    let whole = read(text, text.len().max(1));
    assert_eq!(read(text, usize::from(*step).max(1)), whole);
    match (oracle::chunked(text), whole) {
        (Verdict::Whole(theirs), Ok((payload, consumed, done))) => {
            assert_eq!((theirs.payload, theirs.len, true), (payload, consumed, done));
        }
        (Verdict::Refused | Verdict::Incomplete, Err(_)) => {}
        (Verdict::Incomplete, Ok((_, _, done))) => assert!(!done),
        (theirs, ours) => panic!("{theirs:?} {ours:?}"),
    }
});

fn read(text: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), Kind> {
    let mut decoder = BodyDecoder::request(Framing::Chunked);
    let (mut payload, mut consumed) = (Vec::new(), 0);
    for piece in text.chunks(step) {
        let mut buf = piece.to_vec();
        let decoded = decoder.decode_in_place(&mut buf).map_err(|refusal| refusal.kind)?;
        payload.extend_from_slice(&buf[..decoded.payload]);
        consumed += decoded.consumed;
        if decoded.done {
            break;
        }
    }
    Ok((payload, consumed, decoder.is_done()))
}
