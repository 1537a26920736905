//! One request never becomes two: whatever two servers could read differently is refused, and the connection closed.

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Upstream, json_reply};

both_drivers![
    ambiguous_heads_are_refused,
    ambiguous_bodies_are_refused,
    limits_have_their_own_answers,
    unusual_but_clear_requests_are_served,
    a_request_in_a_body_stays_in_it,
    refusals_do_not_wait_for_the_end,
];

/// What an attacker wants to get through.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: g\r\n\r\n";

fn echo() -> Upstream {
    Upstream::start(|conn, request| {
        conn.send(json_reply(200, &format!("{:?}", request.target())));
        After::Keep
    })
}

/// Sends `request`, then one to smuggle, in one piece and cut in two; expects one of `statuses` and the end, and that
/// the upstream has seen no whole request.
fn check(gateway: &Gateway, upstream: &Upstream, name: &str, request: &[u8], statuses: &[u16]) -> Result<(), String> {
    let bytes = [request, SMUGGLED.as_bytes()].concat();
    for cut in [0, request.len() / 2, request.len().saturating_sub(3)] {
        let mut client = gateway.connect();
        // Sending may fail where the refusal comes first.
        let _ = client.try_send(&bytes[..cut]);
        if cut > 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let _ = client.try_send(&bytes[cut..]);
        let said = String::from_utf8_lossy(&client.drain()).into_owned();
        let status = said.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
        if !statuses.contains(&status) {
            return Err(format!("{name} (cut at {cut}): {}", said.lines().next().unwrap_or("closed without a word")));
        }
        if said.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count() != 1 {
            return Err(format!("{name} (cut at {cut}): more than one answer: {said}"));
        }
        if let Some(request) = upstream.requests().first() {
            return Err(format!("{name} (cut at {cut}): the upstream got {}", request.line));
        }
    }
    Ok(())
}

fn check_all<'a>(io: Io, cases: impl IntoIterator<Item = (&'a str, Vec<u8>, &'a [u16])>) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let failures: Vec<String> = cases
        .into_iter()
        .filter_map(|(name, request, statuses)| check(&gateway, &upstream, name, &request, statuses).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(gateway.get("/after").text(), "\"/after\"");
}

/// A POST whose head has these lines, and a body of `hello`.
fn with(lines: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: g\r\n{lines}\r\n\r\nhello").into_bytes()
}

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: g\r\n\r\n").into_bytes()
}

fn ambiguous_heads_are_refused(io: Io) {
    const BAD: &[u16] = &[400];
    let framing = [
        ("length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6"),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5"),
        ("signed length", "Content-Length: +5"),
        ("negative length", "Content-Length: -5"),
        ("listed length", "Content-Length: 5, 5"),
        ("hex length", "Content-Length: 0x5"),
        ("split length", "Content-Length: 5 5"),
        ("no length", "Content-Length:"),
        ("length with a dot", "Content-Length: 5.0"),
        ("length in other digits", "Content-Length: \u{0665}"),
        ("length beyond 64 bits", "Content-Length: 18446744073709551621"),
        ("length with a tab inside", "Content-Length: 5\t5"),
        ("two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("coding and identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
        ("chunks twice", "Transfer-Encoding: chunked, chunked"),
        ("chunks not last", "Transfer-Encoding: chunked, gzip"),
        ("coding with a blank before the colon", "Transfer-Encoding : chunked"),
        ("length with a blank before the colon", "Content-Length : 5"),
        ("length with a tab before the colon", "Content-Length\t: 5"),
        ("coding folded", "Transfer-Encoding:\r\n chunked"),
        ("folded line", "X-A: b\r\n c\r\nContent-Length: 5"),
        ("folded with a tab", "X-A: b\r\n\tc\r\nContent-Length: 5"),
        ("bare LF", "X-A: b\nContent-Length: 5"),
        ("bare CR", "X-A: b\rContent-Length: 5"),
        ("CR CR LF", "X-A: b\r\r\nContent-Length: 5"),
        ("NUL in a value", "X-A: b\0c\r\nContent-Length: 5"),
        ("NUL in a name", "X\0A: b\r\nContent-Length: 5"),
        ("DEL in a value", "X-A: b\x7fc\r\nContent-Length: 5"),
        ("VT in a value", "X-A: b\x0bc\r\nContent-Length: 5"),
        ("blank in a name", "X A: b\r\nContent-Length: 5"),
        ("empty name", ": b\r\nContent-Length: 5"),
        ("no colon", "X-A\r\nContent-Length: 5"),
        ("bytes in a name", "X-\u{e9}: b\r\nContent-Length: 5"),
        ("a blank before the first field", " X-A: b\r\nContent-Length: 5"),
        ("two hosts", "Host: h\r\nContent-Length: 5"),
        ("the same host twice", "Host: g\r\nContent-Length: 5"),
    ];
    let odd_codings = [
        ("unknown coding", "Transfer-Encoding: x"),
        ("identity", "Transfer-Encoding: identity"),
        ("chunked with a prefix", "Transfer-Encoding: xchunked"),
        ("chunked with a tail", "Transfer-Encoding: chunkedx"),
        ("chunked with a control", "Transfer-Encoding: \x0bchunked"),
        ("chunked in quotes", "Transfer-Encoding: \"chunked\""),
        ("empty coding", "Transfer-Encoding:"),
        ("gzip", "Transfer-Encoding: gzip, chunked"),
        ("a parameter", "Transfer-Encoding: chunked;q=1"),
    ];
    let hosts = ["a b", "a/b", "user@g", "g:port", "g:99999", "a,b", "[::1", "g\\h", "<g>", "g#h", "g?h"];
    let lines = [
        ("no version", "GET /x"),
        ("lower-case protocol", "GET /x http/1.1"),
        ("blank in the target", "GET /x y HTTP/1.1"),
        ("two blanks", "GET  /x HTTP/1.1"),
        ("blank at the end", "GET /x HTTP/1.1 "),
        ("tabs", "GET\t/x\tHTTP/1.1"),
        ("blank first", " GET /x HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("target without a slash", "GET x HTTP/1.1"),
        ("bytes in the target", "GET /\u{e9} HTTP/1.1"),
        ("NUL in the target", "GET /\0 HTTP/1.1"),
        ("DEL in the target", "GET /\x7f HTTP/1.1"),
        ("fragment in the target", "GET /x#y HTTP/1.1"),
        ("unknown scheme", "GET ftp://g/x HTTP/1.1"),
        ("user in the target", "GET http://user@g/x HTTP/1.1"),
        ("no authority", "GET http:///x HTTP/1.1"),
        ("star with GET", "GET * HTTP/1.1"),
        ("bytes in the method", "G\u{e9}T /x HTTP/1.1"),
        ("brackets in the method", "G(E)T /x HTTP/1.1"),
        ("bare LF after the line", "GET /x HTTP/1.1\nX: y"),
        ("version with more digits", "GET /x HTTP/1.10"),
        ("version without a dot", "GET /x HTTP/11"),
    ];
    let mut cases: Vec<(&str, Vec<u8>, &[u16])> = Vec::new();
    cases.extend(framing.iter().map(|(name, lines)| (*name, with(lines), BAD)));
    cases.extend(odd_codings.iter().map(|(name, lines)| (*name, with(lines), &[400, 501][..])));
    cases
        .extend(hosts.iter().map(|host| (*host, format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(), BAD)));
    cases.extend(lines.iter().map(|(name, text)| (*name, line(text), &[400, 505][..])));
    cases.push(("no host", b"GET /x HTTP/1.1\r\n\r\n".to_vec(), BAD));
    cases.push((
        "chunks in HTTP/1.0",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
        BAD,
    ));
    cases.push((
        "both in HTTP/1.0",
        b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
        BAD,
    ));
    cases.push(("LF only", b"GET /x HTTP/1.1\nHost: g\n\n".to_vec(), BAD));
    cases.push(("LF ends the head", b"GET /x HTTP/1.1\r\nHost: g\r\n\n".to_vec(), BAD));
    cases.push(("CR ends the head", b"GET /x HTTP/1.1\r\nHost: g\r\n\r\r\n".to_vec(), BAD));
    cases.push(("bytes before the line", b"\0GET /x HTTP/1.1\r\nHost: g\r\n\r\n".to_vec(), BAD));
    cases.push(("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), BAD));
    check_all(io, cases);
}

/// A chunked POST with these bytes as its body.
fn chunked(body: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

fn ambiguous_bodies_are_refused(io: Io) {
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    let many = format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(200));
    let bodies = [
        ("size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("size that wraps to 5", "FFFFFFFFFFFFFFFFFFFF5\r\nhello\r\n0\r\n\r\n"),
        ("sum beyond 64 bits", "5\r\nhello\r\nFFFFFFFFFFFFFFFF\r\nx"),
        ("signed size", "+5\r\nhello\r\n0\r\n\r\n"),
        ("negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("size with a blank before", " 5\r\nhello\r\n0\r\n\r\n"),
        ("size with a blank after", "5 \r\nhello\r\n0\r\n\r\n"),
        ("size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("only an extension", ";a=b\r\nhello\r\n0\r\n\r\n"),
        ("size in no hex", "5g\r\nhello\r\n0\r\n\r\n"),
        ("LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("CR after the size", "5\rhello\r\n0\r\n\r\n"),
        ("CR CR LF after the size", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("LF in an extension", "5;a=\nb\r\nhello\r\n0\r\n\r\n"),
        ("LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
        ("CR in an extension", "5;a=\rb\r\nhello\r\n0\r\n\r\n"),
        ("NUL in an extension", "5;a=\0\r\nhello\r\n0\r\n\r\n"),
        ("data too long", "5\r\nhelloX\r\n0\r\n\r\n"),
        ("data too short", "6\r\nhello\r\n0\r\n\r\n"),
        ("LF after the data", "5\r\nhello\n0\r\n\r\n"),
        ("nothing after the data", "5\r\nhello0\r\n\r\n"),
        ("LF after the last size", "5\r\nhello\r\n0\n\r\n"),
        ("LF ends the body", "5\r\nhello\r\n0\r\n\n"),
        ("trailer without a colon", "0\r\nX-A\r\n\r\n"),
        ("trailer with NUL", "0\r\nX-A: \0\r\n\r\n"),
        ("trailer with a bare LF", "0\r\nX-A: b\nX-B: c\r\n\r\n"),
        ("folded trailer", "0\r\nX-A: b\r\n c\r\n\r\n"),
        ("trailer with a blank name", "0\r\nX A: b\r\n\r\n"),
    ];
    let mut cases: Vec<(&str, Vec<u8>, &[u16])> =
        bodies.iter().map(|(name, body)| (*name, chunked(body), &[400][..])).collect();
    cases.push(("extension too long", chunked(&long), &[400, 413]));
    cases.push(("extensions too many", chunked(&many), &[400, 413]));
    cases.push(("trailers too large", chunked(&format!("0\r\nX-A: {}\r\n\r\n", "x".repeat(20_000))), &[400, 413, 431]));
    check_all(io, cases);
}

fn limits_have_their_own_answers(io: Io) {
    let fields = |count: usize| (0..count).map(|at| format!("X-{at}: y\r\n")).collect::<String>();
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("long target", line(&format!("GET /{} HTTP/1.1", "x".repeat(9000))), &[414]),
        ("endless target", [b"GET /".to_vec(), vec![b'x'; 200_000]].concat(), &[414]),
        (
            "long value",
            format!("GET /x HTTP/1.1\r\nHost: g\r\nX-A: {}\r\n\r\n", "x".repeat(70_000)).into_bytes(),
            &[431],
        ),
        ("long name", format!("GET /x HTTP/1.1\r\nHost: g\r\n{}: b\r\n\r\n", "x".repeat(70_000)).into_bytes(), &[431]),
        ("endless value", [b"GET /x HTTP/1.1\r\nHost: g\r\nX-A: ".to_vec(), vec![b'x'; 300_000]].concat(), &[431]),
        ("many fields", format!("GET /x HTTP/1.1\r\nHost: g\r\n{}\r\n", fields(101)).into_bytes(), &[431]),
        ("endless fields", format!("GET /x HTTP/1.1\r\nHost: g\r\n{}", fields(8000)).into_bytes(), &[431]),
        ("body beyond the limit", with("Content-Length: 99999999999999"), &[413]),
        ("HTTP/2", line("GET /x HTTP/2.0"), &[505]),
        ("HTTP/3", line("GET /x HTTP/3.0"), &[505]),
        ("HTTP/0.9 spelt out", line("GET /x HTTP/0.9"), &[505]),
        ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400, 505]),
        ("CONNECT", line("CONNECT g:443 HTTP/1.1"), &[400, 405, 501]),
        ("TRACE", line("TRACE /x HTTP/1.1"), &[405, 501]),
    ];
    check_all(io, cases);
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let almost = format!("GET /{} HTTP/1.1\r\nHost: g\r\n{}\r\n", "x".repeat(7000), fields(90));
    assert_eq!(gateway.exchange(almost).status, 200, "just below the limits");
    let wide = format!("GET /x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {}\r\n\r\n", "x".repeat(32_000));
    assert_eq!(gateway.exchange(wide).status, 200, "a long token is no attack");
}

fn unusual_but_clear_requests_are_served(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let head = |lines: &str| format!("POST /x HTTP/1.1\r\n{lines}\r\n\r\n");
    let cases = [
        ("empty lines first", format!("\r\n\r\n{}hello", head("Host: g\r\nContent-Length: 5"))),
        ("no blank after the colon", head("Host:g\r\nContent-Length:5") + "hello"),
        ("tabs and blanks around a value", head("Host: \t g \t\r\nContent-Length:  \t5 ") + "hello"),
        ("names in any case", head("hOST: g\r\ncontent-LENGTH: 5") + "hello"),
        ("empty value", head("Host: g\r\nX-A:\r\nContent-Length: 5") + "hello"),
        ("bytes in a value", head("Host: g\r\nX-A: \u{e9}\u{1f999}\r\nContent-Length: 5") + "hello"),
        ("leading zeros", head("Host: g\r\nContent-Length: 005") + "hello"),
        ("coding in any case", head("Host: g\r\nTransfer-Encoding: ChunKed") + "5\r\nhello\r\n0\r\n\r\n"),
        ("sizes in any spelling", head("Host: g\r\nTransfer-Encoding: chunked") + "0005\r\nhello\r\n0000\r\n\r\n"),
        ("extensions", head("Host: g\r\nTransfer-Encoding: chunked") + "5;a=b;c=\"d;e\"\r\nhello\r\n0;f\r\n\r\n"),
        (
            "one byte a chunk",
            head("Host: g\r\nTransfer-Encoding: chunked")
                + "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n",
        ),
        ("host with a port", head("Host: g.example:3000\r\nContent-Length: 5") + "hello"),
        ("host as an address", head("Host: [::1]:3000\r\nContent-Length: 5") + "hello"),
    ];
    for (name, request) in &cases {
        let reply = gateway.exchange(request);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let seen = upstream.requests().pop().unwrap();
        assert_eq!(seen.body, b"hello", "{name}");
    }
    // And cut at every byte.
    for (name, request) in &cases[..3] {
        let mut client = gateway.connect();
        for byte in request.as_bytes().chunks(1) {
            client.send(byte);
        }
        assert_eq!(client.reply().status, 200, "{name}");
    }
    assert_eq!(upstream.requests().len(), cases.len() + 3);
}

fn a_request_in_a_body_stays_in_it(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let length = SMUGGLED.len();
    let mut client = gateway.connect();
    client.send(format!("POST /sized HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"));
    client.send(format!(
        "POST /chunked HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
    ));
    // GET with a body is odd, but clear.
    client.send(format!("GET /odd HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"));
    // Ours, too: the body of a probe is no request.
    client.send(format!("GET /health HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"));
    client.send("GET /end HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
    for wanted in ["\"/sized\"", "\"/chunked\"", "\"/odd\""] {
        assert_eq!(client.reply().text(), wanted);
    }
    assert_eq!(client.reply().status, 200);
    let rest = String::from_utf8_lossy(&client.drain()).into_owned();
    assert!(rest.is_empty() || rest.ends_with("\"/end\""), "{rest}");
    let seen: Vec<String> = upstream.requests().iter().map(|request| request.target().to_owned()).collect();
    assert!(!seen.iter().any(|target| target == "/smuggled"), "{seen:?}");
    assert!(upstream.requests()[..3].iter().all(|request| request.body == SMUGGLED.as_bytes()));
}

fn refusals_do_not_wait_for_the_end(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    // The head alone says that it is wrong; its body never comes, and the connection stays open on the client's side.
    for lines in ["Content-Length: 5\r\nContent-Length: 6", "Transfer-Encoding: x", "Content-Length: 99999999999999"] {
        let mut client = gateway.connect();
        client.send(format!("POST /x HTTP/1.1\r\nHost: g\r\n{lines}\r\n\r\n"));
        assert!(client.reply().status >= 400);
        assert!(client.expect_closed() < std::time::Duration::from_secs(5));
    }
}
