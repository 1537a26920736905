use crate::wire::http::write::{
    CHUNK_END, Credential, DownstreamLine, LAST_CHUNK, LocalResponse, UpstreamLine, Written, chunk, chunk_head,
    downstream_response, local_response, upstream_request,
};
use crate::wire::http::{AllowList, BodyDecoder, Framing, Method, Version, request, response, slots};
use proptest::prelude::*;

const LINE: UpstreamLine<'_> = UpstreamLine {
    authority: "up:11434",
    path_prefix: "",
    path_override: None,
    method_override: None,
    credential: Credential::Keep,
    request_id: "r1",
    framing: Framing::None,
    extra: &[],
};

/// The request as it goes upstream for a client's head.
fn upstream(client: &str, line: &UpstreamLine<'_>) -> String {
    let mut room = slots();
    let head = request::parse(client.as_bytes(), &mut room).unwrap().unwrap();
    let mut out = Vec::new();
    upstream_request(&mut out, &head, line);
    // Whatever was written is one message, for our reader as for the bare parser.
    let mut room = slots();
    let again = request::parse(&out, &mut room).unwrap().unwrap();
    assert_eq!((again.len, again.framing), (out.len(), line.framing));
    assert_eq!(again.authority, line.authority);
    assert_eq!((again.version, again.keep_alive), (Version::Http11, true));
    let mut bare = [httparse::EMPTY_HEADER; 100];
    let mut parser = httparse::Request::new(&mut bare);
    assert_eq!(parser.parse(&out), Ok(httparse::Status::Complete(out.len())));
    String::from_utf8(out).unwrap()
}

fn downstream(upstream: &str, line: &DownstreamLine<'_>) -> (String, Written) {
    let mut room = slots();
    let head = response::parse(upstream.as_bytes(), Method::Post, &mut room).unwrap().unwrap();
    let mut out = Vec::new();
    let written = downstream_response(&mut out, &head, line);
    let mut room = slots();
    let again = response::parse(&out, Method::Post, &mut room).unwrap().unwrap();
    assert_eq!((again.len, again.status), (out.len(), head.status));
    assert_eq!((again.framing, again.keep_alive), (written.framing, written.keep_alive));
    (String::from_utf8(out).unwrap(), written)
}

#[test]
fn what_goes_upstream() {
    let client = "POST /chat/completions?a=1 HTTP/1.0\r\nHost: gateway\r\nUser-Agent: curl\r\nAccept-Encoding: gzip\r\n\
        Connection: keep-alive, X-Private, Content-Type\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: a\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Authorization: secret\r\nProxy-Connection: close\r\nExpect: 100-continue\r\n\
        X-Request-Id: theirs\r\nX-Think: keep\r\nAuthorization: Bearer c\r\nX-Api-Key: c\r\nCookie: c\r\nContent-Length: 7\r\n\
        Content_Length: 9\r\nX_Api_Key: c\r\nSession_id: s\r\nAccept: */*\r\n\r\n";
    let line = UpstreamLine {
        path_prefix: "/pre",
        path_override: Some(["/v1/chat/completions", ""]),
        framing: Framing::Chunked,
        ..LINE
    };
    let expected = "POST /pre/v1/chat/completions?a=1 HTTP/1.1\r\nHost: up:11434\r\nUser-Agent: curl\r\n\
        Authorization: Bearer c\r\nX-Api-Key: c\r\nCookie: c\r\nSession_id: s\r\nAccept: */*\r\n\
        Accept-Encoding: identity\r\nX-Request-Id: r1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(upstream(client, &line), expected);
    let rest = "POST /pre/v1/chat/completions?a=1 HTTP/1.1\r\nHost: up:11434\r\nUser-Agent: curl\r\nSession_id: s\r\n";
    let removed =
        upstream(client, &UpstreamLine { credential: Credential::Remove, framing: Framing::Length(3), ..line });
    assert_eq!(
        removed,
        format!("{rest}Accept: */*\r\nAccept-Encoding: identity\r\nX-Request-Id: r1\r\nContent-Length: 3\r\n\r\n")
    );
    let ours = UpstreamLine {
        credential: Credential::Replace(b"Bearer ours"),
        extra: &[("User-Agent", b"tg"), ("X-Title", b"t")],
        ..line
    };
    assert_eq!(
        upstream(client, &ours),
        "POST /pre/v1/chat/completions?a=1 HTTP/1.1\r\nHost: up:11434\r\nSession_id: s\r\nAccept: */*\r\n\
        Authorization: Bearer ours\r\nAccept-Encoding: identity\r\nX-Request-Id: r1\r\nUser-Agent: tg\r\nX-Title: t\r\n\
        Transfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn targets_upstream() {
    let first = |client: &str, line: &UpstreamLine<'_>| upstream(client, line).split("\r\n").next().unwrap().to_owned();
    let get = "GET http://else/x?y HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(first(get, &LINE), "GET /x?y HTTP/1.1");
    let model = UpstreamLine { path_override: Some(["/v1/models/", "a%2Fb"]), method_override: Some("HEAD"), ..LINE };
    assert_eq!(first(get, &model), "HEAD /v1/models/a%2Fb?y HTTP/1.1");
    let prefixed = UpstreamLine { path_prefix: "/pre", ..LINE };
    assert_eq!(first("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &prefixed), "OPTIONS * HTTP/1.1");
    assert_eq!(first("GET /? HTTP/1.1\r\nHost: h\r\n\r\n", &LINE), "GET /? HTTP/1.1");
}

#[test]
fn what_reaches_the_client() {
    let answer = "HTTP/1.1 200 Fine\r\nDate: d\r\nServer: secret\r\nSet-Cookie: a\r\nContent-Type: text/event-stream\r\n\
        Cache-Control: max-age=9\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive, ETag\r\nETag: x\r\n\
        Access-Control-Allow-Origin: *\r\nX-Request-Id: theirs\r\nx-ratelimit-remaining-requests: 1\r\nopenai-version: v\r\n\
        Authorization: echo\r\nAlt-Svc: h3\r\nStrict-Transport-Security: x\r\nX-Accel-Buffering: yes\r\nX-Own: 1\r\n\
        Location: http://up\r\nKeep-Alive: timeout=1\r\n\r\n";
    let allow = AllowList::default();
    let line = DownstreamLine {
        framing: Framing::Chunked,
        stream: true,
        allow: &allow,
        extra: &[("x-request-id", b"r1")],
        keep_alive: true,
        version: Version::Http11,
    };
    let start = "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Type: text/event-stream\r\n";
    let limits = "x-ratelimit-remaining-requests: 1\r\nopenai-version: v\r\n";
    let stream = "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nx-request-id: r1\r\n";
    let (text, written) = downstream(answer, &line);
    assert_eq!(text, format!("{start}{limits}{stream}Transfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(written, Written { framing: Framing::Chunked, keep_alive: true });

    let (text, written) = downstream(answer, &DownstreamLine { version: Version::Http10, ..line });
    assert_eq!(text, format!("{start}{limits}{stream}Connection: close\r\n\r\n"));
    assert_eq!(written, Written { framing: Framing::UntilClose, keep_alive: false });

    let wide = AllowList::with(["x-own", "Loc*"]).unwrap();
    let whole = DownstreamLine { stream: false, framing: Framing::Length(10), allow: &wide, extra: &[], ..line };
    let (text, _) = downstream(answer, &whole);
    let own = "X-Own: 1\r\nLocation: http://up\r\nContent-Length: 10\r\n\r\n";
    assert_eq!(text, format!("{start}Cache-Control: max-age=9\r\nX-Request-Id: theirs\r\n{limits}{own}"));
    let (text, _) = downstream(answer, &DownstreamLine { version: Version::Http10, ..whole });
    assert!(text.ends_with("Content-Length: 10\r\nConnection: keep-alive\r\n\r\n"));
    let (text, _) = downstream(answer, &DownstreamLine { keep_alive: false, ..whole });
    assert!(text.ends_with("Content-Length: 10\r\nConnection: close\r\n\r\n"));
}

#[test]
fn answers_that_have_no_body_name_no_length() {
    let allow = AllowList::default();
    for framing in [Framing::Length(5), Framing::Chunked, Framing::None] {
        let line = DownstreamLine {
            framing,
            stream: false,
            allow: &allow,
            extra: &[],
            keep_alive: true,
            version: Version::Http11,
        };
        let (text, written) = downstream("HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", &line);
        assert_eq!(text, "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(written, Written { framing: Framing::None, keep_alive: true });
    }
}

#[test]
fn allow_list_patterns() {
    for pattern in [
        "",
        "*",
        "a b",
        "a**",
        "content-length",
        "Transfer-Encoding",
        "set-cookie",
        "Access-Control-Allow-Origin",
        "connection",
        "host",
        "authorization",
        "access-control-*",
        "x:",
    ] {
        assert_eq!(AllowList::with(["x-fine", pattern]).unwrap_err(), pattern);
    }
    // A prefix opens no door to what never passes.
    let wide = AllowList::with(["c*", "t*", "a*", "s*"]).unwrap();
    for name in [
        "Content-Length",
        "Connection",
        "Transfer-Encoding",
        "Access-Control-Allow-Origin",
        "Set-Cookie",
        "Authorization",
    ] {
        assert!(!wide.allows(name) && !AllowList::default().allows(name), "{name}");
    }
    assert!(wide.allows("Server") && wide.allows("Custom") && !AllowList::default().allows("Server"));
    for name in [
        "CONTENT-TYPE",
        "X-RateLimit-Limit-Tokens",
        "Anthropic-Organization-Id",
        "OpenAI-Processing-Ms",
        "RateLimit-Reset",
    ] {
        assert!(AllowList::default().allows(name), "{name}");
    }
    assert!(!AllowList::default().allows("x-ratelimit") && !AllowList::default().allows(""));
}

#[test]
fn local_answers() {
    let answer = LocalResponse {
        status: 429,
        content_type: "application/json",
        date: "Sun, 06 Nov 1994 08:49:37 GMT",
        extra: &[("Retry-After", b"3")],
        body: b"{}",
        keep_alive: true,
        head_only: false,
        version: Version::Http11,
    };
    let written = |answer: &LocalResponse<'_>| {
        let mut out = Vec::new();
        local_response(&mut out, answer);
        String::from_utf8(out).unwrap()
    };
    let head = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        Retry-After: 3\r\nContent-Length: 2\r\n";
    assert_eq!(written(&answer), format!("{head}\r\n{{}}"));
    assert_eq!(written(&LocalResponse { head_only: true, ..answer }), format!("{head}\r\n"));
    let closing = LocalResponse { keep_alive: false, version: Version::Http10, ..answer };
    assert_eq!(written(&closing), format!("{head}Connection: close\r\n\r\n{{}}"));
    let empty = LocalResponse { status: 204, content_type: "", date: "", extra: &[], body: b"", ..answer };
    assert_eq!(written(&empty), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(written(&LocalResponse { status: 777, ..empty }), "HTTP/1.1 777 \r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn chunk_sizes() {
    for (len, text) in
        [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xabcdef, "abcdef\r\n"), (usize::MAX, "ffffffffffffffff\r\n")]
    {
        let mut out = Vec::new();
        chunk_head(&mut out, len);
        assert_eq!(out, text.as_bytes());
    }
}

proptest! {
    /// What is written in chunks is read back as it was.
    #[test]
    fn chunks_are_read_back(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6)) {
        let mut out = Vec::new();
        parts.iter().for_each(|part| chunk(&mut out, part));
        prop_assert!(out.is_empty() || out.ends_with(CHUNK_END));
        out.extend_from_slice(LAST_CHUNK);
        let decoded = BodyDecoder::request(Framing::Chunked).decode_in_place(&mut out).unwrap();
        prop_assert!(decoded.done);
        prop_assert_eq!(decoded.consumed, out.len());
        prop_assert_eq!(&out[..decoded.payload], &parts.concat()[..]);
    }

    /// Whatever fields a client sends, what goes upstream is one message that ends where the framing says, and says
    /// nothing that belonged to the client's connection.
    #[test]
    fn any_fields_make_one_message(
        fields in prop::collection::vec(("[A-Za-z_-]{1,12}|Connection|Te|Keep-Alive|X-A", "[ -~\u{e9}]{0,20}|X-A|a, b"), 0..12),
        length in prop::option::of(any::<u64>()),
    ) {
        let mut client = "POST /x HTTP/1.1\r\nHost: h\r\n".to_owned();
        fields.iter().for_each(|(name, value)| client += &format!("{name}: {value}\r\n"));
        client += "\r\n";
        let mut room = slots();
        prop_assume!(request::parse(client.as_bytes(), &mut room).is_ok());
        let text = upstream(&client, &UpstreamLine { framing: length.map_or(Framing::Chunked, Framing::Length), ..LINE });
        let names: Vec<_> = text.split("\r\n").skip(1).filter_map(|line| line.split(':').next()).map(str::to_lowercase).collect();
        for gone in ["connection", "te", "keep-alive", "upgrade", "expect"] {
            prop_assert!(!names.iter().any(|name| name == gone));
        }
    }
}
