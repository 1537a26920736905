//! Several messages on one connection: every cut finds the same ones.

use crate::base::error::Kind;
use crate::wire::http::request::{Progress, parse_growing};
use crate::wire::http::{BodyDecoder, Framing, Method, response, slots};

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Head { target: String, framing: Framing },
    Body(Vec<u8>),
    Refused(Kind),
}

enum Reading {
    Head(Progress),
    Body(BodyDecoder, Vec<u8>),
}

/// A connection in small: what a core does, without a socket.
fn read(pieces: &[&[u8]]) -> Vec<Event> {
    let (mut buf, mut reading, mut events) = (Vec::new(), Reading::Head(Progress::default()), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match &mut reading {
                Reading::Head(progress) => {
                    let mut room = slots();
                    let (len, framing) = match parse_growing(&buf, progress, &mut room) {
                        Ok(None) => break,
                        Err(refusal) => {
                            events.push(Event::Refused(refusal.kind));
                            return events;
                        }
                        Ok(Some(head)) => {
                            let target = format!("{}{}", head.path, head.query.unwrap_or_default());
                            events.push(Event::Head { target, framing: head.framing });
                            (head.len, head.framing)
                        }
                    };
                    buf.drain(..len);
                    reading = Reading::Body(BodyDecoder::request(framing), Vec::new());
                }
                Reading::Body(decoder, body) => {
                    let decoded = match decoder.decode_in_place(&mut buf) {
                        Ok(decoded) => decoded,
                        Err(refusal) => {
                            events.push(Event::Refused(refusal.kind));
                            return events;
                        }
                    };
                    body.extend_from_slice(&buf[..decoded.payload]);
                    buf.drain(..decoded.consumed);
                    if !decoded.done {
                        break;
                    }
                    events.push(Event::Body(std::mem::take(body)));
                    reading = Reading::Head(Progress::default());
                }
            }
        }
    }
    events
}

const PIPELINE: &[u8] = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nGET /b\
    POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n3\r\nGET\r\n9;x=\"y\"\r\n / HTTP/1\r\n0\r\nHost: i\r\n\r\n\
    \r\nGET /d?e HTTP/1.1\r\nHost: h\r\n\r\nGET http://i/f HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";

fn expected() -> Vec<Event> {
    let head = |target: &str, framing| Event::Head { target: target.to_owned(), framing };
    vec![
        head("/a", Framing::Length(6)),
        Event::Body(b"GET /b".to_vec()),
        head("/c", Framing::Chunked),
        Event::Body(b"GET / HTTP/1".to_vec()),
        head("/de", Framing::None),
        Event::Body(vec![]),
        head("/f", Framing::Length(0)),
        Event::Body(vec![]),
    ]
}

#[test]
fn every_cut_of_pipelined_requests_finds_the_same_requests() {
    assert_eq!(read(&[PIPELINE]), expected());
    for cut in 0..PIPELINE.len() {
        let (front, back) = PIPELINE.split_at(cut);
        assert_eq!(read(&[front, back]), expected(), "{cut}");
        for next in cut..PIPELINE.len() {
            assert_eq!(read(&[front, &PIPELINE[cut..next], &PIPELINE[next..]]), expected(), "{cut} {next}");
        }
    }
    let bytes: Vec<&[u8]> = PIPELINE.chunks(1).collect();
    assert_eq!(read(&bytes), expected());
}

#[test]
fn nothing_behind_a_refusal_is_read() {
    let smuggled = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n";
    for cut in 0..smuggled.len() {
        let (front, back) = smuggled.split_at(cut);
        assert_eq!(read(&[front, back]), [Event::Refused(Kind::BadRequest)]);
    }
}

#[test]
fn every_cut_of_answers_finds_the_same_answers() {
    let text =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
    for cut in 0..text.len() {
        let mut found = Vec::new();
        let mut rest = text.to_vec();
        let mut seen = cut;
        while !rest.is_empty() {
            let mut room = slots();
            let Some(head) = response::parse(&rest[..seen], Method::Post, &mut room).unwrap() else {
                seen = rest.len();
                continue;
            };
            let (status, len, mut decoder) = (head.status, head.len, BodyDecoder::response(head.framing));
            rest.drain(..len);
            seen -= len;
            let mut body = Vec::new();
            while !decoder.is_done() {
                assert!(!rest.is_empty(), "the body has no end: {cut}");
                let decoded = decoder.decode_in_place(&mut rest[..seen]).unwrap();
                body.extend_from_slice(&rest[..decoded.payload]);
                rest.drain(..decoded.consumed);
                seen = rest.len();
            }
            found.push((status, body));
        }
        let body = |text: &str| text.as_bytes().to_vec();
        assert_eq!(found, [(100, body("")), (200, body("hello")), (204, body("")), (404, body("{}"))], "{cut}");
    }
}
