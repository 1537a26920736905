//! Requests and answers pass as they came, whatever their framing.

use std::time::Duration;

use crate::both_drivers;
use crate::support::{After, Framing, Gateway, Io, LAST_CHUNK, Upstream, chunk, json_reply, noise, stream_head};

both_drivers![
    methods_and_targets_arrive_as_they_came,
    request_bodies_arrive_whole,
    answers_of_every_framing_arrive_whole,
    an_answer_to_head_has_no_body,
    bodiless_statuses_leave_the_connection_usable,
    interim_answers_come_before_the_final_one,
    a_switch_of_protocols_is_not_followed,
    trailers_end_a_body_and_stay_out_of_it,
    a_client_that_waits_for_100_gets_it,
    an_unknown_expectation_is_refused,
    http_1_0_clients_are_served,
    http_1_0_keep_alive_is_by_request_only,
    pipelined_requests_are_answered_in_order,
    one_connection_carries_many_requests,
    close_is_honoured,
    absolute_form_targets_are_served,
    the_upstream_url_may_have_a_prefix,
    localhost_is_tried_on_every_address,
    starts_while_the_upstream_is_down,
];

/// Says in JSON what it was asked.
fn echo() -> Upstream {
    Upstream::start(|conn, request| {
        let body = if request.method() == "HEAD" { String::new() } else { format!("{{\"line\":{:?}}}", request.line) };
        conn.send(json_reply(200, &body));
        After::Keep
    })
}

fn methods_and_targets_arrive_as_they_came(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let lines = [
        "GET /api/tags",
        "GET /api/tags?x=1&y=%2F%20+&z",
        "HEAD /api/version",
        "POST /api/pull",
        "DELETE /api/delete",
        "PUT /some/where/else%2Fthan?a=b",
        "PATCH /v1/threads/t_1",
        "OPTIONS /v1/models",
        "PROPFIND /dav",
        "GET /v1/models/vendor/model:free",
        "GET /search?q=a%3Fb=/v1/chat/completions",
        "GET /%7Euser/;param=1,2/@:!$&'()*+",
    ];
    for line in lines {
        gateway.exchange(format!("{line} HTTP/1.1\r\nHost: gateway\r\n\r\n"));
    }
    let seen: Vec<String> = upstream.requests().into_iter().map(|request| request.line).collect();
    let wanted: Vec<String> = lines.iter().map(|line| format!("{line} HTTP/1.1")).collect();
    assert_eq!(seen, wanted);
}

fn request_bodies_arrive_whole(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let mut wanted = Vec::new();
    for length in [0, 1, 4095, 65_536, 1_000_003] {
        let body = noise(length, length as u64);
        let mut client = gateway.connect();
        client.send(format!("PUT /sized HTTP/1.1\r\nHost: g\r\nContent-Length: {length}\r\n\r\n"));
        client.send(&body);
        assert_eq!(client.reply().status, 200);
        client.send("PUT /chunked HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(7001) {
            client.send(chunk(piece));
        }
        client.send(LAST_CHUNK);
        assert_eq!(client.reply().status, 200);
        wanted.extend([body.clone(), body]);
    }
    let seen: Vec<Vec<u8>> = upstream.requests().into_iter().map(|request| request.body).collect();
    assert!(seen == wanted, "bodies of {:?} bytes", seen.iter().map(Vec::len).collect::<Vec<_>>());
}

fn answers_of_every_framing_arrive_whole(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        let (kind, length) = request.target()[1..].split_once('/').unwrap();
        let body = noise(length.parse().unwrap(), 5);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n";
        match kind {
            "sized" => {
                conn.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
                conn.send(&body);
                After::Keep
            }
            "chunked" => {
                conn.send(stream_head("application/octet-stream"));
                for (at, piece) in body.chunks(9973).enumerate() {
                    let size = if at % 2 == 0 {
                        format!("{:X}", piece.len())
                    } else {
                        format!("000{:x};a=\"b c\"", piece.len())
                    };
                    conn.send([size.as_bytes(), b"\r\n", piece, b"\r\n"].concat());
                }
                conn.send(LAST_CHUNK);
                After::Keep
            }
            _ => {
                conn.send(format!("{head}\r\n"));
                conn.send(&body);
                After::Close
            }
        }
    });
    let gateway = Gateway::before(&upstream, io);
    for kind in ["sized", "chunked", "until-close"] {
        for length in [0, 1, 4096, 70_000, 1_000_003] {
            let reply = gateway.get(&format!("/{kind}/{length}"));
            assert_eq!(reply.status, 200, "{kind} {length}");
            assert!(reply.body == noise(length, 5), "{kind} {length}: {} bytes came", reply.body.len());
        }
    }
}

fn an_answer_to_head_has_no_body(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        match request.target() {
            "/sized" => conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12345\r\n\r\n"),
            "/chunked" => conn.send(stream_head("text/event-stream")),
            _ => conn.send(json_reply(200, "{}")),
        };
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    client.send("HEAD /sized HTTP/1.1\r\nHost: g\r\n\r\n");
    let reply = client.reply_to("HEAD");
    assert_eq!((reply.status, reply.field("content-length")), (200, Some("12345")));
    client.send("HEAD /chunked HTTP/1.1\r\nHost: g\r\n\r\n");
    assert_eq!(client.reply_to("HEAD").status, 200);
    client.send("GET /after HTTP/1.1\r\nHost: g\r\n\r\n");
    assert_eq!(client.reply().text(), "{}", "the connection goes on");
    assert_eq!(upstream.connections(), 1, "and so does the upstream's");
}

fn bodiless_statuses_leave_the_connection_usable(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        match request.target() {
            "/204" => conn.send("HTTP/1.1 204 No Content\r\n\r\n"),
            "/304" => conn.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n"),
            _ => conn.send(json_reply(200, "{}")),
        };
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for (path, status) in [("/204", 204), ("/304", 304), ("/200", 200)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: g\r\n\r\n"));
        let reply = client.reply();
        assert_eq!(reply.status, status);
        if status == 204 {
            let framing = [reply.field("content-length"), reply.field("transfer-encoding")];
            assert_eq!(framing, [None, None], "RFC 9112 §6.1: neither in a 204");
        }
    }
    assert_eq!(upstream.connections(), 1);
}

fn interim_answers_come_before_the_final_one(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        conn.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        conn.send(json_reply(200, "{\"final\":true}"));
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, "{\"final\":true}"));
        // Passing hints on is allowed, inventing one is not; 100 is between the gateway and the upstream.
        assert!(reply.interim.is_empty() || reply.interim == [103], "{:?}", reply.interim);
    }
    let old = gateway.exchange("GET /x HTTP/1.0\r\n\r\n");
    assert!(old.interim.is_empty(), "an HTTP/1.0 client knows no interim answers");
}

fn a_switch_of_protocols_is_not_followed(io: Io) {
    let upstream = Upstream::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.exchange("GET /x HTTP/1.1\r\nHost: g\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    assert!(reply.status >= 400 && reply.interim.is_empty(), "{}", reply.line);
    for request in upstream.requests() {
        assert_eq!((request.field("upgrade"), request.field("connection")), (None, None), "hop-by-hop");
    }
}

fn trailers_end_a_body_and_stay_out_of_it(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        assert_eq!(request.body, b"hello");
        conn.send(stream_head("text/plain"));
        conn.send([&chunk("answer")[..], b"0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n"].concat());
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("POST /v1/embeddings HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, "answer"));
        assert_eq!(reply.field("x-checksum"), None, "a trailer is no header");
    }
    assert_eq!(upstream.connections(), 1);
}

fn a_client_that_waits_for_100_gets_it(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for path in ["/v1/chat/completions", "/api/pull"] {
        client.send(format!("POST {path} HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
        assert!(client.readable_within(Duration::from_secs(1)), "{path}: curl gives up waiting after a second");
        assert_eq!(client.any_status(), 100);
        client.send("{}");
        assert_eq!(client.reply().status, 200);
    }
    assert!(upstream.requests().iter().all(|request| request.body == b"{}"));
    // An impatient client sends its body at once and may be spared the word.
    client.send("POST /x HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(client.reply().status, 200);
}

fn an_unknown_expectation_is_refused(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.exchange("POST /x HTTP/1.1\r\nHost: g\r\nExpect: a-miracle\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(reply.status, 417);
    assert!(upstream.requests().is_empty());
}

fn http_1_0_clients_are_served(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/stream" {
            conn.send(stream_head("text/plain"));
            conn.send(chunk("one "));
            conn.send(chunk("two"));
            conn.send(LAST_CHUNK);
        } else {
            conn.send(json_reply(200, "{\"whole\":1}"));
        }
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    for (path, wanted) in [("/stream", "one two"), ("/whole", "{\"whole\":1}")] {
        let mut client = gateway.connect();
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let reply = client.reply();
        assert_ne!(reply.framing, Framing::Chunked, "HTTP/1.0 knows no chunks");
        assert_eq!(reply.text(), wanted);
        client.expect_closed();
    }
    let mut client = gateway.connect();
    client.send("POST /whole HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.reply().status, 200);
    client.expect_closed();
    assert_eq!(upstream.requests()[2].body, b"abc");
    assert!(upstream.requests().iter().all(|request| request.line.ends_with(" HTTP/1.1")), "we speak 1.1 ourselves");
}

fn http_1_0_keep_alive_is_by_request_only(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let reply = client.reply();
        if reply.framing == Framing::UntilClose || reply.field("connection").is_none() {
            return; // closing all the same is allowed, as long as it is announced
        }
        assert!(reply.field("connection").unwrap().eq_ignore_ascii_case("keep-alive"));
    }
}

fn pipelined_requests_are_answered_in_order(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/0" {
            std::thread::sleep(Duration::from_millis(150));
        }
        conn.send(json_reply(200, &format!("{:?}", request.target())));
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    let mut bytes = String::new();
    for at in 0..8 {
        bytes.push_str(&match at % 3 {
            0 => format!("GET /{at} HTTP/1.1\r\nHost: g\r\n\r\n"),
            1 => format!("POST /{at} HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\nbody{at}"),
            _ => format!(
                "POST /{at} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbody{at}\r\n0\r\n\r\n"
            ),
        });
    }
    client.send(bytes);
    for at in 0..8 {
        assert_eq!(client.reply().text(), format!("\"/{at}\""));
    }
    assert_eq!(upstream.requests().len(), 8);
}

fn one_connection_carries_many_requests(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for at in 0..50 {
        client.send(format!("GET /{at} HTTP/1.1\r\nHost: g\r\n\r\n"));
        assert!(client.reply().text().contains(&format!("/{at} ")));
    }
    assert_eq!(upstream.connections(), 1, "kept alive on both sides");
}

fn close_is_honoured(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    for value in ["close", "Close", "keep-alive, close", "foo, CLOSE"] {
        let mut client = gateway.connect();
        client.send(format!("GET /x HTTP/1.1\r\nHost: g\r\nConnection: {value}\r\n\r\n"));
        let reply = client.reply();
        assert_eq!(reply.field("connection").map(str::to_lowercase).as_deref(), Some("close"), "after {value}");
        client.expect_closed();
    }
    assert_eq!(upstream.connections(), 1, "the client's wish is not the upstream's business");
}

fn absolute_form_targets_are_served(io: Io) {
    let upstream = echo();
    let gateway = Gateway::before(&upstream, io);
    let targets = [
        ("http://elsewhere.example/api/tags", "/api/tags"),
        ("http://elsewhere.example:11434/api/tags?x=1", "/api/tags?x=1"),
        ("HTTPS://elsewhere.example/v1/models", "/v1/models"),
        ("http://[::1]:99/x", "/x"),
    ];
    for (target, wanted) in targets {
        let reply = gateway.exchange(format!("GET {target} HTTP/1.1\r\nHost: other.example\r\n\r\n"));
        assert_eq!(reply.status, 200);
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.target(), wanted);
        assert_eq!(request.field("host"), Some(upstream.addr.to_string().as_str()), "never where a client says");
    }
    let root = gateway.exchange("GET http://elsewhere.example HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(root.text(), "Ollama is running", "an empty path is /");
}

fn the_upstream_url_may_have_a_prefix(io: Io) {
    let upstream = echo();
    for (prefix, path, wanted) in [
        ("/pre", "/x/y?q=1", "/pre/x/y?q=1"),
        ("/pre/", "/x", "/pre/x"),
        ("/a/b", "/v1/models", "/a/b/v1/models"),
        ("/", "/x", "/x"),
        // OpenAI-style bases end in /v1; the gateway's own paths hold it already.
        ("/openai/v1", "/v1/models", "/openai/v1/models"),
    ] {
        let gateway = Gateway::build(io).upstream(&format!("{}{prefix}", upstream.url())).start();
        gateway.get(path);
        assert_eq!(upstream.requests().pop().unwrap().target(), wanted, "{prefix} and {path}");
    }
}

fn localhost_is_tried_on_every_address(io: Io) {
    // Where the name has an IPv6 address as well, one of the two refuses; either order has to work.
    for host in ["127.0.0.1", "[::1]"] {
        let Ok(probe) = std::net::TcpListener::bind(format!("{host}:0")) else { continue };
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let names = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", port)).unwrap();
        if !names.into_iter().any(|addr| addr.to_string().starts_with(host)) {
            continue; // this machine's localhost is not that address
        }
        let upstream = Upstream::start_at(&format!("{host}:{port}"), |conn, _| {
            conn.send(json_reply(200, "{}"));
            After::Keep
        });
        let gateway = Gateway::build(io).upstream(&format!("http://localhost:{port}")).start();
        assert_eq!(gateway.get("/x").status, 200);
        let host = upstream.only_request().field("host").map(str::to_owned);
        assert_eq!(host, Some(format!("localhost:{port}")), "the name, not the address");
    }
}

fn starts_while_the_upstream_is_down(io: Io) {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::build(io).upstream(&format!("http://{addr}")).start();
    assert_eq!(gateway.get("/x").status, 502);
    let upstream = Upstream::start_at(&addr.to_string(), |conn, _| {
        conn.send(json_reply(200, "{}"));
        After::Keep
    });
    assert_eq!(gateway.get("/x").status, 200, "and works as soon as the upstream does");
    drop(upstream);
}
