//! Every wait has a limit, and reaching it says so.

use std::time::{Duration, Instant};

use crate::both_drivers;
use crate::support::{
    After, Client, Deaf, Gateway, Io, Reply, Upstream, chat_event, chunk, eventually, json_reply, post, stream_head,
};

both_drivers![
    connecting,
    the_first_byte,
    the_first_byte_counts_the_whole_head,
    silence_in_a_stream,
    silence_in_the_middle_of_a_line,
    the_whole_request,
    a_request_head_that_dribbles,
    a_request_head_that_stops,
    a_request_body_that_stops,
    a_request_body_that_dribbles,
    a_kept_connection_without_a_request,
    a_reader_that_stops_for_good,
    an_upstream_that_stops_reading,
    a_body_that_is_too_large,
];

/// Far less than the other limits' defaults, far more than a busy machine is late.
const SOON: Duration = Duration::from_secs(8);

fn gateway(io: Io, upstream: &Upstream, args: [&str; 2]) -> Gateway {
    Gateway::build(io).upstream(&upstream.url()).args(args).start()
}

/// Runs `exchange` and checks that the limit, not something else, ended it.
fn timed<T>(limit: Duration, exchange: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let outcome = exchange();
    let took = started.elapsed();
    assert!(took >= limit.mul_f32(0.9) && took < limit + SOON, "{took:?} for a limit of {limit:?}");
    outcome
}

fn expect_error(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.json()["error"]["code"], code);
}

fn connecting(io: Io) {
    let deaf = Deaf::start();
    let url = format!("http://{}", deaf.addr);
    let gateway = Gateway::build(io).upstream(&url).args(["--connect-timeout", "400ms"]).start();
    let reply = timed(Duration::from_millis(400), || gateway.post("/v1/chat/completions", "{}"));
    expect_error(&reply, 502, "upstream_unreachable");
    assert!(reply.text().contains(&deaf.addr.to_string()), "says which upstream: {}", reply.text());
    assert_eq!(gateway.metric("thinkgate_errors_total", &["connect_timeout"]), 1.0);
}

fn silent() -> Upstream {
    Upstream::start(|conn, _| {
        conn.wait_closed();
        After::Close
    })
}

fn the_first_byte(io: Io) {
    let upstream = silent();
    let gateway = gateway(io, &upstream, ["--first-byte-timeout", "1s"]);
    let reply = timed(Duration::from_secs(1), || gateway.post("/v1/chat/completions", "{}"));
    expect_error(&reply, 504, "upstream_timeout");
    upstream.wait_for_close();
    assert_eq!(upstream.requests().len(), 1, "not sent again");
}

fn the_first_byte_counts_the_whole_head(io: Io) {
    // A head that dribbles in must not hold a request for ever.
    let upstream = Upstream::start(|conn, _| {
        conn.send_slowly("HTTP/1.1 200 OK\r\nX-Slow: ".to_owned() + &"x".repeat(1000), Duration::from_millis(100));
        After::Close
    });
    let gateway = gateway(io, &upstream, ["--first-byte-timeout", "1s"]);
    let reply = timed(Duration::from_secs(1), || gateway.get("/v1/models"));
    expect_error(&reply, 504, "upstream_timeout");
}

fn silence_in_a_stream(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        conn.send(stream_head(if request.target().starts_with("/api") {
            "application/x-ndjson"
        } else {
            "text/event-stream"
        }));
        if request.target().starts_with("/api") {
            conn.send(chunk(
                "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"done\":false}\n",
            ));
        } else {
            conn.send(chunk(chat_event("hi")));
        }
        conn.wait_closed();
        After::Close
    });
    let gateway = gateway(io, &upstream, ["--idle-timeout", "1s"]);
    // One error event in the dialect, then the end, never `[DONE]`; the body is ended, so that clients read the event.
    let reply =
        timed(Duration::from_secs(1), || gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#));
    let text = reply.text();
    assert!(text.contains("\"hi\"") && !text.contains("[DONE]"), "{text}");
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("data: {\"error\":"), "go-openai reads it only like this: {last}");
    let reply = timed(Duration::from_secs(1), || gateway.post("/api/chat", r#"{"model":"m"}"#));
    let text = reply.text();
    let last: serde_json::Value = serde_json::from_str(text.trim_end().lines().last().unwrap()).unwrap();
    assert!(last["error"].is_string() && last.get("done").is_none(), "{text}");
}

fn silence_in_the_middle_of_a_line(io: Io) {
    const LINE: &str = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"done\":false}\n";
    let upstream = Upstream::start(|conn, request| {
        let ollama = request.target().starts_with("/api");
        let whole = if ollama { LINE.to_owned() } else { chat_event("hi") };
        let cut: usize = request.field("x-cut").and_then(|cut| cut.parse().ok()).unwrap_or(0);
        conn.send(stream_head(if ollama { "application/x-ndjson" } else { "text/event-stream" }));
        conn.send(chunk(&whole));
        conn.send(chunk(&whole.as_bytes()[..whole.len() - cut]));
        conn.wait_closed();
        After::Close
    });
    for args in
        [["--idle-timeout", "1s", "--think-policy", "strip"], ["--idle-timeout", "1s", "--think-policy", "keep"]]
    {
        let gateway = Gateway::build(io).upstream(&upstream.url()).args(args).start();
        let asked: Vec<_> = [1, 2, 9]
            .into_iter()
            .flat_map(|cut| [("/v1/chat/completions", cut), ("/api/chat", cut)])
            .map(|(path, cut)| {
                let mut client = gateway.connect();
                client.send(post(path, &format!("X-Cut: {cut}\r\n"), r#"{"model":"m","stream":true}"#));
                (path, cut, client)
            })
            .collect();
        for (path, cut, mut client) in asked {
            // The error begins a line (an event) of its own, whatever was left open before it.
            let text = client.reply().text();
            let mark = if path == "/api/chat" { "\n{\"error\":" } else { "\n\ndata: {\"error\":" };
            assert!(text.contains(mark), "{path}, {cut} bytes missing: {text:?}");
        }
    }
}

fn the_whole_request(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/v1/models" {
            conn.wait_closed();
            return After::Close;
        }
        conn.send(stream_head("text/event-stream"));
        while conn.send(chunk(chat_event("x "))) {
            std::thread::sleep(Duration::from_millis(50));
        }
        After::Close
    });
    let gateway = gateway(io, &upstream, ["--timeout", "1000ms"]);
    expect_error(&timed(Duration::from_secs(1), || gateway.get("/v1/models")), 504, "upstream_timeout");
    let text =
        timed(Duration::from_secs(1), || gateway.post("/v1/chat/completions", r#"{"model":"m","stream":true}"#).text());
    assert!(text.contains("\"x \"") && text.contains("data: {\"error\":"), "{text}");
}

/// The connection is ended by the gateway; what it said before, if anything, is a 408.
fn expect_cut(client: &mut Client) {
    let said = String::from_utf8_lossy(&client.drain()).into_owned();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
}

fn a_request_head_that_dribbles(io: Io) {
    let upstream = silent();
    let gateway = gateway(io, &upstream, ["--head-timeout", "1s"]);
    let mut client = gateway.connect();
    timed(Duration::from_secs(1), || {
        client.send("GET /x HTTP/1.1\r\nHost: g\r\nX-Slow: ");
        while !client.readable_within(Duration::from_millis(100)) {
            if client.try_send("x").is_err() {
                break;
            }
        }
        expect_cut(&mut client);
    });
    assert!(upstream.requests().is_empty());
}

fn a_request_head_that_stops(io: Io) {
    let upstream = silent();
    let gateway = gateway(io, &upstream, ["--head-timeout", "1s"]);
    let mut client = gateway.connect();
    timed(Duration::from_secs(1), || {
        client.send("G");
        expect_cut(&mut client);
    });
    assert_eq!(gateway.get("/health").status, 200);
}

fn a_request_body_that_stops(io: Io) {
    let upstream = silent();
    let gateway = gateway(io, &upstream, ["--body-timeout", "1s"]);
    for path in ["/v1/chat/completions", "/api/blobs/sha256:x"] {
        let mut client = gateway.connect();
        timed(Duration::from_secs(1), || {
            client.send(format!("POST {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\nsome"));
            expect_cut(&mut client);
        });
    }
    assert!(upstream.requests().is_empty(), "half a request is none");
}

fn a_request_body_that_dribbles(io: Io) {
    // The limit of the body as a whole may be longer than the limit of one silence, but the total one always holds.
    let upstream = silent();
    let gateway = gateway(io, &upstream, ["--timeout", "1s"]);
    let mut client = gateway.connect();
    timed(Duration::from_secs(1), || {
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 10000\r\n\r\n");
        while !client.readable_within(Duration::from_millis(50)) {
            if client.try_send("x").is_err() {
                break;
            }
        }
        let said = String::from_utf8_lossy(&client.drain()).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 ") || said.starts_with("HTTP/1.1 504 "), "{said}");
    });
}

fn a_kept_connection_without_a_request(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = gateway(io, &upstream, ["--keep-alive", "1s"]);
    let mut used = gateway.connect();
    used.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
    assert_eq!(used.reply().status, 200);
    let mut unused = gateway.connect();
    timed(Duration::from_secs(1), || {
        used.expect_closed();
        unused.expect_closed();
    });
}

fn a_reader_that_stops_for_good(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send(stream_head("text/plain"));
        let piece = chunk("x".repeat(16_000));
        while conn.send(&piece) {}
        After::Close
    });
    let gateway = gateway(io, &upstream, ["--idle-timeout", "1s"]);
    let mut client = Client::connect_with_small_window(gateway.addr);
    client.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
    timed(Duration::from_secs(1), || upstream.wait_for_close());
    drop(client);
}

fn an_upstream_that_stops_reading(io: Io) {
    let upstream = Upstream::start_heads_only(|_, _| {
        std::thread::sleep(Duration::from_secs(12));
        After::Close
    });
    let gateway =
        Gateway::build(io).upstream(&upstream.url()).args(["--idle-timeout", "1s", "--max-body", "1GiB"]).start();
    let mut client = gateway.connect();
    timed(Duration::from_secs(1), || {
        client.send("POST /api/blobs/sha256:x HTTP/1.1\r\nHost: g\r\nContent-Length: 900000000\r\n\r\n");
        let piece = vec![b'x'; 256 * 1024];
        while !client.readable_within(Duration::from_millis(1)) && client.try_send(&piece).is_ok() {}
        let said = String::from_utf8_lossy(&client.drain()).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 50"), "{said}");
    });
}

fn a_body_that_is_too_large(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = gateway(io, &upstream, ["--max-body", "1024"]);
    assert_eq!(gateway.post("/v1/chat/completions", &"x".repeat(1024)).status, 200);
    for path in ["/v1/chat/completions", "/api/blobs/sha256:x"] {
        let announced = gateway.exchange(format!("POST {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 1025\r\n\r\n"));
        assert_eq!(announced.status, 413, "{path}: refused before a byte of it is read");
        let mut client = gateway.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"));
        for _ in 0..2 {
            client.send(chunk("x".repeat(600)));
        }
        assert_eq!(client.reply().status, 413, "{path} in chunks");
        client.expect_closed();
        let expecting = gateway.exchange(
            post(path, "Expect: 100-continue\r\n", &"x".repeat(1025)).split("\r\n\r\nx").next().unwrap().to_owned()
                + "\r\n\r\n",
        );
        assert!(expecting.status == 413 && expecting.interim.is_empty(), "not asked for: {:?}", expecting.interim);
    }
    eventually("the upstream saw the good one only", || upstream.requests().len() == 1);
}
