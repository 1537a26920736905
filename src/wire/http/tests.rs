use super::*;
use crate::base::error::Kind;

#[test]
fn smoke() {
    let mut room = slots();
    let head = request::parse(
        b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x:1\r\nContent-Length: 2\r\n\r\n{}",
        &mut room,
    )
    .unwrap()
    .unwrap();
    assert_eq!((head.path, head.query, head.authority), ("/v1/chat/completions", Some("a=b"), "x:1"));
    assert_eq!(head.framing, Framing::Length(2));
    let mut room = slots();
    assert_eq!(request::parse(b"GET / HTTP/1.1\nHost: x\n\n", &mut room).unwrap_err(), Kind::BadRequest);
    let mut body = *b"5\r\nhello\r\n0\r\n\r\nGET";
    let decoded = BodyDecoder::request(Framing::Chunked).decode_in_place(&mut body).unwrap();
    assert_eq!(decoded, Decoded { payload: 5, consumed: 15, done: true });
    assert_eq!(&body[..5], b"hello");
}
