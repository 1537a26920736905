use crate::base::bounds::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX};
use crate::base::error::Kind;
use crate::wire::http::response::{Media, ResponseHead, parse};
use crate::wire::http::{Framing, Method, slots};

fn with<R>(text: impl AsRef<[u8]>, method: Method, look: impl FnOnce(ResponseHead<'_>) -> R) -> R {
    let mut room = slots();
    let text = text.as_ref();
    look(parse(text, method, &mut room).unwrap_or_else(|kind| panic!("{kind:?}: {text:?}")).unwrap())
}

fn check_refused(text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    for cut in 0..text.len() {
        let mut room = slots();
        assert!(!matches!(parse(&text[..cut], Method::Post, &mut room), Ok(Some(_))), "{cut}");
    }
    let mut room = slots();
    let refusal = parse(text, Method::Post, &mut room).err().map(|refusal| refusal.kind);
    assert_eq!(refusal, Some(Kind::UpstreamInvalid), "{:?}", String::from_utf8_lossy(text));
}

/// An answer with one more field.
fn and(status: &str, field: &str) -> String {
    format!("HTTP/1.1 {status}\r\nA: b\r\n{field}\r\n\r\n")
}

#[test]
fn a_usual_answer() {
    let text = "HTTP/1.1 429 Too Many\r\nContent-Type: application/json; charset=utf-8\r\nContent-Encoding: gzip\r\n\
        Retry-After: 12\r\nKeep-Alive: max=5, timeout = 30\r\nConnection: keep-alive, X-A\r\nContent-Length: 2\r\n\r\n{}";
    with(text, Method::Post, |head| {
        assert_eq!((head.status, head.reason), (429, "Too Many"));
        assert_eq!((head.framing, head.content_length), (Framing::Length(2), Some(2)));
        assert_eq!((head.keep_alive, head.keep_alive_timeout), (true, Some(30)));
        assert_eq!((head.media, head.is_encoded), (Media::Json, true));
        assert_eq!((head.retry_after, head.retry_after_seconds()), (Some(&b"12"[..]), Some(12)));
        assert!(head.has_connection_fields && !head.is_success() && !head.is_informational());
        assert_eq!(head.len, text.len() - 2);
    });
}

/// RFC 9112 §6.3 as a table: status, method, fields, then framing and whether the connection may be used again.
#[test]
fn where_the_body_ends() {
    let (length, chunked, nothing) = ("Content-Length: 5", "Transfer-Encoding: chunked", "X: y");
    for (status, method, field, framing, keep_alive) in [
        ("200 OK", Method::Post, length, Framing::Length(5), true),
        ("200 OK", Method::Post, chunked, Framing::Chunked, true),
        ("200 OK", Method::Post, nothing, Framing::UntilClose, false),
        ("200 OK", Method::Post, "Content-Length: 0", Framing::Length(0), true),
        ("200 OK", Method::Head, length, Framing::None, true),
        ("200 OK", Method::Head, chunked, Framing::None, true),
        ("200 OK", Method::Head, nothing, Framing::None, true),
        ("100 Continue", Method::Post, nothing, Framing::None, true),
        ("103 Early Hints", Method::Post, length, Framing::None, false),
        ("204 No Content", Method::Post, nothing, Framing::None, true),
        ("204 No Content", Method::Post, "Content-Length: 0", Framing::None, true),
        ("204 No Content", Method::Post, length, Framing::None, false),
        ("204 No Content", Method::Post, chunked, Framing::None, false),
        ("304 Not Modified", Method::Get, length, Framing::None, true),
        ("500 Oops", Method::Post, nothing, Framing::UntilClose, false),
    ] {
        with(and(status, field), method, |head| {
            assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{status} {method:?} {field}");
        });
    }
}

#[test]
fn keep_alive() {
    let keeps = |start: &str, field: &str| {
        with(format!("{start} 200 OK\r\nContent-Length: 0\r\n{field}\r\n\r\n"), Method::Get, |head| head.keep_alive)
    };
    assert!(keeps("HTTP/1.1", "X: y"));
    assert!(!keeps("HTTP/1.1", "Connection: close"));
    assert!(!keeps("HTTP/1.1", "connection: foo, CLOSE"));
    assert!(!keeps("HTTP/1.0", "X: y"));
    assert!(keeps("HTTP/1.0", "Connection: keep-alive"));
}

#[test]
fn refused() {
    for text in [
        and("200 OK", "Content-Length: 5\r\nContent-Length: 6"),
        and("200 OK", "Content-Length: 5\r\nContent-Length: 5"),
        and("200 OK", "Content-Length: 5, 5"),
        and("200 OK", "Content-Length: +5"),
        and("200 OK", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        and("204 No Content", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        and("200 OK", "Transfer-Encoding: gzip, chunked"),
        and("200 OK", "Transfer-Encoding: identity"),
        and("200 OK", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        and("200 OK", "X : y"),
        and("200 OK", "X: y\r\n z"),
        and("200 OK", "X: y\nZ: z"),
        and("200 OK", "X: y\rZ: z"),
        and("200 OK", "X: \0"),
        and("101 Switching Protocols", "Upgrade: x"),
        and("099 Low", "X: y"),
        and("600 High", "X: y"),
        and("20 OK", "X: y"),
        and("2000 OK", "X: y"),
        "HTTP/1.1 200 OK\nX: y\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nX: y\r\n\n".into(),
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        "HTTP/2.0 200 OK\r\n\r\n".into(),
        "HTTP/1.1  200 OK\r\n\r\n".into(),
        "\r\nHTTP/1.1 200 OK\r\n\r\n".into(),
        "ICY 200 OK\r\n\r\n".into(),
        "{\"error\":\"x\"}\r\n\r\n".into(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEAD_FIELDS_MAX + 1)),
    ] {
        check_refused(text);
    }
    let mut room = slots();
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(HEAD_BYTES_MAX));
    let refusal = parse(endless.as_bytes(), Method::Get, &mut room).err();
    assert_eq!(refusal.map(|refusal| refusal.kind), Some(Kind::UpstreamInvalid));
}

#[test]
fn status_lines_without_a_reason_and_heads_without_fields() {
    for text in ["HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200 \u{e9}\r\n\r\n"] {
        with(text, Method::Get, |head| assert_eq!((head.status, head.len), (200, text.len())));
    }
}

#[test]
fn media() {
    for (value, media) in [
        ("text/event-stream", Media::EventStream),
        ("TEXT/Event-Stream;charset=utf-8", Media::EventStream),
        ("application/x-ndjson", Media::Ndjson),
        ("application/ndjson", Media::Ndjson),
        ("application/jsonl", Media::Ndjson),
        ("application/json", Media::Json),
        ("application/json ; charset=utf-8", Media::Json),
        ("application/problem+JSON", Media::Json),
        ("text/html", Media::Other),
        ("+json", Media::Other),
        ("application/jsonx", Media::Other),
        ("", Media::Absent),
        (";", Media::Absent),
    ] {
        assert_eq!(Media::of(value.as_bytes()), media, "{value}");
        assert_eq!(with(and("200 OK", &format!("Content-Type: {value}")), Method::Get, |head| head.media), media);
    }
    let encoded =
        |value: &str| with(and("200 OK", &format!("Content-Encoding: {value}")), Method::Get, |h| h.is_encoded);
    assert!(encoded("gzip") && encoded("br") && !encoded("Identity"));
}
