use super::oracle::{self, Verdict};
use crate::base::bounds::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::base::error::Kind;
use crate::wire::http::{BodyDecoder, Decoded, Framing};
use proptest::prelude::*;

/// What a whole body came to.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    payload: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    done: bool,
}

/// Feeds the pieces between `ends`.
fn read(framing: Framing, text: &[u8], ends: &[usize]) -> Result<Read, Kind> {
    let mut decoder = BodyDecoder::request(framing);
    let mut read = Read { payload: vec![], trailers: vec![], consumed: 0, done: decoder.is_done() };
    for end in ends.iter().chain([&text.len()]) {
        if read.done || *end < read.consumed {
            continue;
        }
        let piece = &text[read.consumed..*end];
        let mut buf = piece.to_vec();
        let decoded = decoder.decode_in_place(&mut buf).map_err(|refusal| refusal.kind)?;
        assert!(decoded.done || decoded.consumed == piece.len());
        assert_eq!(&buf[decoded.consumed..], &piece[decoded.consumed..], "bytes behind the body are left alone");
        read.payload.extend_from_slice(&buf[..decoded.payload]);
        read.consumed += decoded.consumed;
        read.done = decoded.done;
    }
    assert_eq!(decoder.payload(), read.payload.len() as u64);
    assert_eq!(decoder.is_done(), read.done);
    read.trailers = decoder.trailers().to_vec();
    Ok(read)
}

/// The next bytes of a body.
fn feed(decoder: &mut BodyDecoder, bytes: &[u8]) -> Result<Decoded, Kind> {
    decoder.decode_in_place(&mut bytes.to_vec()).map_err(|refusal| refusal.kind)
}

fn chunked(text: impl AsRef<[u8]>) -> Result<Read, Kind> {
    read(Framing::Chunked, text.as_ref(), &[])
}

#[test]
fn lengths() {
    let none = read(Framing::None, b"GET", &[]).unwrap();
    assert_eq!((none.consumed, none.done), (0, true));
    assert!(read(Framing::Length(0), b"GET", &[]).unwrap().done);
    for cut in 0..8 {
        let body = read(Framing::Length(5), b"helloGET", &[cut]).unwrap();
        assert_eq!((&body.payload[..], body.consumed, body.done), (&b"hello"[..], 5, true));
        let half = read(Framing::Length(9), b"helloGET", &[cut]).unwrap();
        assert_eq!((half.payload.len(), half.done), (8, false));
    }
    let mut decoder = BodyDecoder::response(Framing::UntilClose);
    assert_eq!(decoder.decode_in_place(&mut b"abc".to_vec()), Ok(Decoded { payload: 3, consumed: 3, done: false }));
    assert_eq!(feed(&mut decoder, b"de"), Ok(Decoded { payload: 2, consumed: 2, done: false }));
    assert_eq!((decoder.finish(), decoder.is_done(), decoder.payload()), (Ok(()), true, 5));
}

#[test]
fn the_end_of_the_connection() {
    for framing in [Framing::Length(3), Framing::Chunked] {
        assert_eq!(BodyDecoder::request(framing).finish(), Err(Kind::ClientGone));
        assert_eq!(BodyDecoder::response(framing).finish(), Err(Kind::UpstreamCut));
    }
    let mut decoder = BodyDecoder::response(Framing::Chunked);
    feed(&mut decoder, b"5\r\nhello\r\n0\r\n").unwrap();
    assert_eq!(decoder.finish(), Err(Kind::UpstreamCut));
    feed(&mut decoder, b"\r\n").unwrap();
    assert_eq!(decoder.finish(), Ok(()));
    assert_eq!(feed(&mut BodyDecoder::response(Framing::Chunked), b"x"), Err(Kind::UpstreamInvalid));
    assert_eq!(feed(&mut BodyDecoder::request(Framing::Chunked), b"x"), Err(Kind::BadRequest));
}

#[test]
fn accepted_chunks() {
    for (text, payload) in [
        ("0\r\n\r\n", ""),
        ("0000000000000000\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("000A\r\n0123456789\r\na;b\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("1;a=b;c=\"d e\"\r\nx\r\n0;last\r\n\r\n", "x"),
        ("1 \t;a\r\nx\r\n0\r\n\r\n", "x"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
    ] {
        let body = chunked(text).unwrap();
        assert_eq!((String::from_utf8(body.payload).unwrap().as_str(), body.done), (payload, true));
        assert_eq!(body.consumed, text.len());
    }
}

#[test]
fn refused_chunks() {
    for text in [
        "\r\n",
        " 5\r\n",
        "+5\r\n",
        "-5\r\n",
        "0x5\r\n",
        "5h\r\n",
        "g\r\n",
        ";a\r\n",
        "5\n",
        "5\r5",
        "5 \r\n",
        "5 5\r\n",
        "5\t\r\n",
        "5;a\nb",
        "5;a\rb",
        "5;\"a\r\nb\"\r\nhelloX",
        "5;\0\r\n",
        "5;\x7f\r\n",
        "5\r\nhello0\r\n",
        "5\r\nhello\n0",
        "5\r\nhello\rX",
        "5\r\nhello\r\n\r\n",
        "00000000000000005\r\n",
        "1ffffffffffffffff\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\n\r\n",
        "0\r\n a: b\r\n",
        "0\r\na\r\n",
        "0\r\na : b\r\n",
        "0\r\n: b\r\n",
        "0\r\na: b\n",
        "0\r\na: b\rc",
        "0\r\na: \0\r\n",
        "0\r\na: b\r\n c\r\n",
        "1\r\nx\r\nffffffffffffffff\r\n",
    ] {
        assert_eq!(chunked(text).unwrap_err(), Kind::BadRequest, "{text:?}");
        for cut in 0..text.len() {
            assert!(read(Framing::Chunked, text.as_bytes(), &[cut]).is_err(), "{text:?} {cut}");
        }
    }
}

#[test]
fn limits() {
    let extended = |bytes: usize| format!("1;{}\r\nx\r\n", "a".repeat(bytes));
    let longest = CHUNK_LINE_BYTES_MAX - 16 - 1;
    assert!(chunked(extended(longest)).is_ok());
    assert!(chunked(extended(longest + 1)).is_err());
    let chunks = CHUNK_EXTENSION_BYTES_MAX / (longest + 1);
    assert!(chunked(extended(longest).repeat(chunks)).is_ok());
    assert!(chunked(extended(longest).repeat(chunks + 1)).is_err());

    let trailers = |bytes: usize| format!("0\r\na: {}\r\n\r\n", "b".repeat(bytes - "a: \r\n".len()));
    assert!(chunked(trailers(TRAILER_BYTES_MAX)).unwrap().done);
    assert!(chunked(trailers(TRAILER_BYTES_MAX + 1)).is_err());
    assert!(chunked("0\r\n".to_owned() + &"host: dropped\r\n".repeat(TRAILER_BYTES_MAX / 15 + 1)).is_err());
    assert_eq!(chunked("ffffffffffffffff\r\nabc").unwrap().payload, b"abc");
}

#[test]
fn trailers_are_kept_but_for_the_forbidden_ones() {
    let text = "3\r\nabc\r\n0\r\nX-Checksum: 1\r\nContent-Length: 5\r\ntransfer-encoding: x\r\nAUTHORIZATION: x\r\nhost: x\r\n\
        if-match: x\r\ncontent-foo: x\r\nAccess-Control-Allow-Origin: *\r\nset-cookie: a\r\netag:\r\n\r\nGET";
    for cut in 0..text.len() {
        let body = read(Framing::Chunked, text.as_bytes(), &[cut]).unwrap();
        assert_eq!(body.payload, b"abc");
        assert_eq!(body.trailers, b"X-Checksum: 1\r\netag:\r\n");
        assert_eq!(body.consumed, text.len() - 3);
    }
}

#[test]
fn what_is_announced() {
    let mut decoder = BodyDecoder::request(Framing::Chunked);
    feed(&mut decoder, b"10\r\nabc").unwrap();
    assert_eq!(decoder.announced(), 13);
    assert_eq!(BodyDecoder::request(Framing::Length(7)).announced(), 7);
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let chunk =
        (prop::collection::vec(any::<u8>(), 1..20), prop::sample::select(&["", "", ";a", " ;b=\"c\"", " "][..]));
    let trailer =
        prop::sample::select(&["X-Checksum: 1", "etag: \"e\"", "Host: h", "Content-Length: 3", " x", "a"][..]);
    let tail = prop::sample::select(&["\r\n", "\r\n", "\r\n", "\r\nGET / HTTP/1.1\r\n", "\n", ""][..]);
    (prop::collection::vec(chunk, 0..5), prop::collection::vec(trailer, 0..3), tail).prop_map(
        |(chunks, trailers, tail)| {
            let mut text = Vec::new();
            for (bytes, extension) in chunks {
                text.extend(format!("{:x}{extension}\r\n", bytes.len()).bytes());
                text.extend(bytes);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n");
            trailers.iter().for_each(|trailer| text.extend(trailer.bytes().chain(*b"\r\n")));
            text.extend(tail.bytes());
            text
        },
    )
}

fn check_against_oracle(text: &[u8]) {
    let ours = chunked(text);
    match (oracle::chunked(text), &ours) {
        (Verdict::Whole(theirs), Ok(ours)) => {
            assert!(ours.done);
            assert_eq!((&ours.payload, &ours.trailers, ours.consumed), (&theirs.payload, &theirs.trailers, theirs.len));
        }
        (Verdict::Refused, Err(_)) | (Verdict::Incomplete, Err(_)) => {}
        (Verdict::Incomplete, Ok(ours)) => assert!(!ours.done),
        (theirs, ours) => panic!("{theirs:?}\n{ours:?}\n{:?}", String::from_utf8_lossy(text)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_the_oracle(text in pieces(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..4) {
        let mut text = text;
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => drop(text.remove(at)),
            2 => text.insert(at, byte),
            _ => {}
        }
        check_against_oracle(&text);
    }

    /// Every single cut, and a random set of cuts, give what the uncut body gives.
    #[test]
    fn any_cut_gives_the_same_body(text in pieces(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let whole = chunked(&text);
        for cut in 0..=text.len() {
            prop_assert_eq!(&read(Framing::Chunked, &text, &[cut]), &whole);
        }
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(&read(Framing::Chunked, &text, &ends), &whole);
        let bytewise: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(&read(Framing::Chunked, &text, &bytewise), &whole);
    }
}
