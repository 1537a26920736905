use crate::wire::http::request::parse;
use crate::wire::http::{BodyDecoder, Framing, request_line, slots};

/// Whoever has to mend a client learns what is wrong with it.
#[test]
fn refusals_name_their_rule() {
    let line = "POST / HTTP/1.1\r\n";
    let field = |field: &str| format!("{line}Host: h\r\n{field}\r\n\r\n");
    for (text, named) in [
        (field("Content-Length: 3\r\nContent-Length: 3"), "Content-Length stands twice"),
        (field("Content-Length: +3"), "Content-Length is not"),
        (field("Content-Length: 3\r\nTransfer-Encoding: chunked"), "both"),
        (field("Transfer-Encoding: chunked, gzip"), "last"),
        (field("Transfer-Encoding: gzip"), "only transfer coding"),
        (field("Host: i"), "Host stands twice"),
        (field("authorization: a\r\nAuthorization: b"), "Authorization stands twice"),
        (field("Bad Name: x"), "name"),
        (field("Folded: a\r\n b"), "folded"),
        (field("Nul: \0"), "control character"),
        (format!("{line}Host: h\n\r\n"), "CR LF"),
        (format!("{line}\r\n"), "Host is missing"),
        (format!("{line}Host: a b\r\n\r\n"), "Host is not"),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "first line"),
        ("GET http//x HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "neither a path"),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "1.0"),
        (format!("{line}Host: h\r\n{}\r\n", "A: b\r\n".repeat(300)), "too many fields"),
        ("\r\n".repeat(9), "empty lines"),
        ("\u{16}\u{3}\u{1}\u{2}".to_owned(), "TLS"),
    ] {
        let mut room = slots();
        let rule = parse(text.as_bytes(), &mut room).err().map_or("", |refusal| refusal.rule);
        assert!(rule.contains(named) && rule.ends_with('.'), "{text:?}: {rule:?}");
    }
}

#[test]
fn what_is_shown_of_an_unreadable_head() {
    for (head, shown) in [
        ("GET /a?secret HTTP/1.1\r\n", "GET /a"),
        ("GET /a b HTTP/1.1\r\n", "GET /a"),
        ("GET /a\u{7}b HTTP/1.1\r\n", "GET /a"),
        ("\r\n\r\nGET /a", "GET /a"),
        ("GET", ""),
        ("GET  /a", ""),
        (" /a", ""),
        ("PRI * HTTP/2.0", ""),
        ("Authorization: secret\r\n", ""),
        ("{\"messages\":", ""),
        ("", ""),
    ] {
        assert_eq!(request_line(head.as_bytes()), shown.as_bytes(), "{head:?}");
    }
    assert_eq!(request_line(&[b"GET /", &[b'x'; 70_000][..]].concat()).len(), 256);
}

#[test]
fn broken_chunks_name_their_rule() {
    for (text, named) in [
        ("zz\r\n", "hexadecimal"),
        ("3\r\nabcd", "longer than its size"),
        ("0\r\n: x\r\n\r\n", "not a field"),
        ("ffffffffffffffff\r\n", "counted"),
        (&format!("1;{}\r\n", "x".repeat(70_000)), "extensions"),
        (&format!("0\r\na: {}\r\n\r\n", "x".repeat(70_000)), "after the last chunk are too long"),
    ] {
        // The first one makes the sum too large for the fourth.
        let mut decoder = BodyDecoder::request(Framing::Chunked);
        let text = ["1\r\nx\r\n", text].concat();
        let rule = decoder.decode_in_place(&mut text.into_bytes()).err().map_or("", |refusal| refusal.rule);
        assert!(rule.contains(named), "{rule:?} instead of {named:?}");
    }
}
